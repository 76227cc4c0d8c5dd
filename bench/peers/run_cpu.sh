#!/bin/sh
# clflash on a CPU driver beside PyTorch on the same cores: rounds in turn, a table of ratios last.
# usage: bench/peers/run_cpu.sh PYTHON [ROUNDS] [OUTPUT FOLDER]
#
# PYTHON is a python3 that has PyTorch. Builds with ./dev; CLFLASH_BUILD names the folder.
set -eu
cd "$(dirname "$0")/../.."
python=${1:?a python3 with PyTorch}
rounds=${2:-3}
out=${3:-/tmp/clflash-cpu}
build=${CLFLASH_BUILD:-build}
mkdir -p "$out"
./dev build >"$out/build.log" 2>&1 || { tail -20 "$out/build.log"; exit 1; }

set --
for d in 64 80 96 128; do
    set -- "$@" "fwd f32 hq8 sq2048 d$d" "fwd f32 hq8 sq2048 d$d causal"
done
for d in 64 128; do
    set -- "$@" "fwd f32 hq8 sq4096 d$d" "fwd f32 hq8 sq4096 d$d causal" \
        "fwd f32 hq8 sq1023 d$d" "fwd f32 hq8 sq1023 d$d causal" "fwd f32 hq1 sq512 d$d" \
        "fwd f16 hq8 sq2048 d$d" "fwd bf16 hq8 sq2048 d$d" \
        "fwd f32 hq8 sq1 sk4096 d$d" "fwd f32 hq8 sq4 sk4096 d$d" "fwd f32 hq8 sq8 sk4096 d$d"
done
set -- "$@" "fwd f32 hq2 sq8192 d64 causal" "fwd f32 hq2 sq8192 d64 causal docs=12"
for d in 64 128; do
    set -- "$@" "bwd f32 hq8 sq2048 d$d" "bwd f32 hq8 sq2048 d$d causal"
done
if [ -n "${PROBLEMS:-}" ]; then # one a line
    set --
    while read -r problem; do
        set -- "$@" "$problem"
    done <<LINES
$PROBLEMS
LINES
fi
files=''
round=1
while [ "$round" -le "$rounds" ]; do
    "$build/bench/clflash_bench" --baseline none --seconds "${SECONDS_EACH:-0.4}" \
        --json "$out/bench-$round.json" "$@" >"$out/bench-$round.txt" 2>>"$out/log"
    "$python" bench/peers/attn_fwd_peers.py --device cpu "$@" >"$out/peers-$round.jsonl" 2>>"$out/log"
    files="$files $out/bench-$round.json $out/peers-$round.jsonl"
    round=$((round + 1))
done
# shellcheck disable=SC2086 # a list of file names
"$python" bench/peers/compare.py $files
