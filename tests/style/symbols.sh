#!/bin/sh
# symbols.sh ROOT STATIC SHARED -- every global of the static library starts with clflash_ or
# clfi_, the shared one exports clflash_ only.
# shellcheck disable=SC2317 # functions are called through check
set -eu
# shellcheck source=tests/style/tap.sh
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
# Also file-local ones; tables of pointers lie in .data.rel.ro, which is read-only at run time.
no_data() {
    ! objdump -t "$static" 2>/dev/null |
        awk '$(NF - 2) ~ /^\.(data|bss|tdata|tbss)$/ && $(NF - 1) !~ /^0+$/' | grep -vE 'asan|tsan|ubsan'
}
check 'globals of the static library' static_names
check 'exports of the shared library' shared_names
check 'the shared library exports the interface' shared_some
check 'no mutable global in the static library' no_data
finish
