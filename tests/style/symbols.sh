#!/bin/sh
# symbols.sh ROOT STATIC SHARED -- every global of the static library starts with clflash_ or
# clfi_, the shared one exports clflash_ only.
set -eu
. "$1/tests/style/tap.sh"
static=$2 shared=$3

globals() { nm -g --defined-only "$@" 2>/dev/null | awk 'NF == 3 { print $3 }'; }
# The sanitizers' own symbols are not ours.
named() { # PATTERN
    ! grep -vE "^($1|__asan_|__odr_asan|__ubsan_|__tsan_|_init$|_fini$)" ||
        return 1
}
static_names() { globals "$static" | named 'clflash_|clfi_'; }
shared_names() { globals -D "$shared" | named 'clflash_'; }
shared_some() { globals -D "$shared" | grep -q '^clflash_attn_fwd$'; }
no_data() { ! nm -g --defined-only "$static" 2>/dev/null | awk '$2 ~ /^[BDCS]$/' | grep -v asan | grep -E 'clf'; }
check 'globals of the static library' static_names
check 'exports of the shared library' shared_names
check 'the shared library exports the interface' shared_some
check 'no mutable global in the static library' no_data
finish
