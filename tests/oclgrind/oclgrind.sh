#!/bin/sh
# oclgrind.sh ROOT PROGRAM [--uninitialized] -- small cases of every portable engine under
# Oclgrind: reads and writes past an end, data races; any finding fails. Buffers are just as
# large as their data (views=3) or full of gaps (views=2).
#
# --uninitialized (the long suite): reads of memory nobody wrote. Oclgrind 21.10 knows no
# `freeze` instruction there, so kernels are built without optimisation, which takes a
# minute a case; and the vector engines do not load that way (it knows no
# llvm.experimental.noalias.scope.decl either), so this is for simt alone.
# shellcheck disable=SC2317 # functions are called through check
set -eu
root=$1 program=$2 mode=${3:-}
# shellcheck source=tests/style/tap.sh
. "$root/tests/style/tap.sh"
if ! command -v oclgrind >/dev/null 2>&1; then
    skip oclgrind 'oclgrind is not installed'
    finish
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CK_TAP_LOG_FILE_NAME=- CK_VERBOSITY=silent

options='--data-races'
[ -z "$mode" ] || options='--data-races --uninitialized'

run() { # ENGINE CASE
    : >"$work/log"
    # Oclgrind 21.10 computes something else than the optimised simt kernel says where D is no
    # multiple of 4 (right without optimisation, right on PoCL and on an H100).
    plain=
    [ "$1" != simt ] || plain='--build-options -cl-opt-disable'
    # shellcheck disable=SC2086 # a list of words
    CLFT_ENGINE=$1 CLFT_CASE=$2 oclgrind $options $plain --log "$work/log" "$program" >"$work/out" 2>&1 &&
        grep -q '^ok 1 ' "$work/out" && [ ! -s "$work/log" ] && return
    cat "$work/out" "$work/log"
    return 1
}

if [ -n "$mode" ]; then
    engines='simt'
    cases='fwd f32 hq2 hk1 sq5 sk19 d8 dv7 causal seg kvlen | views=3 seg=3'
else
    engines='vector vector_few simt'
    cases='fwd f32 hq2 hk1 sq5 sk19 d8 dv7 | views=3
fwd f32 b2 hq2 hk1 sq7 sk35 d8 dv7 causal seg kvlen | views=2 seg=3 mask=1 len=1
fwd f32 hq2 sq9 sk33 d5 window=3:2 alibi sink softcap=2 | views=3
fwd f32 hq2 sq9 sk33 d16 bias bool pos causal | views=3 bias=4 bool=2 pos=1
fwd f16 hq2 sq3 sk17 d7 dv9 causal bias | views=3 bias=8
fwd bf16 hq3 sq16 sk40 d8 causal layout=bhsd | views=2 nolse=1
fwd f32 hq2 sq3 sk0 d8 sink | views=3'
fi
for engine in $engines; do
    while read -r case; do
        check "$engine: $case" run "$engine" "$case"
    done <<EOF
$cases
EOF
done
finish
