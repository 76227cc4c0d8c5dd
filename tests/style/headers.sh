#!/bin/sh
# headers.sh ROOT -- each public header alone compiles in C11 and C++17 without a warning.
# shellcheck disable=SC2317 # functions are called through check
set -eu
cd "$1"
# shellcheck source=tests/style/tap.sh
. tests/style/tap.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags='-Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only'

alone() { # COMPILER STANDARD SUFFIX HEADER
    printf '#include <%s>\nint main(void) { return 0; }\n' "$4" >"$work/one.$3"
    # shellcheck disable=SC2086 # a list of words
    "$1" "-std=$2" $flags "$work/one.$3"
}
for header in include/clflash/*.h; do
    name=clflash/${header##*/}
    check "$name in C11" alone "${CC:-cc}" c11 c "$name"
    if command -v "${CXX:-c++}" >/dev/null 2>&1; then
        check "$name in C++17" alone "${CXX:-c++}" c++17 cpp "$name"
    else
        skip "$name in C++17" 'no C++ compiler'
    fi
done
finish
