#!/bin/sh
# calls_wrapped.sh LIBRARY NAME... -- every OpenCL function that the static library calls is
# in the list of functions that the fault tests make fail, and none is there in vain.
echo 1..1
library=$1
shift
called=$(nm -A "$library" 2>/dev/null | sed -n 's/.* U \(cl[A-Z][A-Za-z0-9]*\)$/\1/p' | sort -u)
listed=$(printf '%s\n' "$@" | sort -u)
if [ -z "$called" ]; then
    echo "ok 1 - calls_wrapped # SKIP nm lists nothing"
elif [ "$called" = "$listed" ]; then
    echo "ok 1 - calls_wrapped"
else
    echo "not ok 1 - calls_wrapped"
    printf 'called:\n%s\nlisted:\n%s\n' "$called" "$listed" | sed 's/^/# /'
fi
