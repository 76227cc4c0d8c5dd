#!/bin/sh
# leftovers.sh ROOT -- what must not stay in the sources: notes to oneself, dead code, prints
# in the library, files that are too long; and the scripts are clean.
# shellcheck disable=SC2317 # functions are called through check
set -eu
cd "$1"
# shellcheck source=tests/style/tap.sh
. tests/style/tap.sh

sources() { find lib host cl_kernels include bench tests packaging \( -name '*.[ch]' -o -name '*.cl' -o -name '*.clh' \) -print; }
notes() { ! sources | xargs grep -nE '\b(TO''DO|FIX''ME|XX''X)\b'; }
dead() { ! sources | xargs grep -nE '^[[:space:]]*#[[:space:]]*if[[:space:]]+0\b'; }
prints() { ! { grep -rnE '\b(printf|puts|perror|exit|abort|putchar)[[:space:]]*\(' lib host --include='*.[ch]' ||
    grep -rnE '\((stdout|stderr)|(stdout|stderr)[,)]' lib host --include='*.[ch]'; }; }
# free(owned): the text of a file under $CLFLASH_KERNEL_DIR, made by the embedder's own code.
memory() { ! grep -rnE '\b(malloc|calloc|realloc|strdup|free)[[:space:]]*\(' lib host --include='*.c' | grep -vE '^lib/base/alloc.c:|free\(owned\)'; }
long() { ! sources | xargs wc -l | awk '$2 != "total" && $1 > 600' | grep .; }
# Tables that clang-format aligns run wide, in tests above all.
wide() { ! grep -rnE '^.{121,}$' lib host include --include='*.[ch]'; }
fast_math() { ! grep -rnE '[-]cl-(finite-math-only|fast-relaxed-math|unsafe-math-optimizations)' lib host bench --include='*.[ch]'; }
short_macros() { ! grep -rnE '^[[:space:]]*#[[:space:]]*define[[:space:]]+[A-Z0-9_]{1,2}\b' cl_kernels; }
headed() { # every file says what it is in its first line
    for file in $(sources); do
        head -n 1 "$file" | grep -qE "^/\* ${file##*/}\b" || echo "$file"
    done | if grep .; then false; fi
}
check 'no notes to oneself' notes
check 'no #if 0' dead
check 'the library neither prints nor exits' prints
check 'the library allocates through its hooks' memory
check 'no file is too long' long
check 'no line of the library of more than 120 columns' wide
check 'no option that breaks NaN and infinities' fast_math
check 'no macro of one or two letters in kernels' short_macros
check 'every file begins with its name and what it is' headed
scripts() { git ls-files 2>/dev/null | grep -E '(^dev|\.sh|^\.ci/run)$' | xargs shellcheck -x; }
if command -v shellcheck >/dev/null 2>&1 && git rev-parse >/dev/null 2>&1; then
    check 'shellcheck of the scripts' scripts
else
    skip 'shellcheck of the scripts' 'no shellcheck, or not a git checkout'
fi
finish
