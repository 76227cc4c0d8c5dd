#!/bin/sh
# Everything on a bare NVIDIA machine: build, kernel tests, bench, peers, a table of ratios last.
# usage: bench/peers/run_gpu.sh [OUTPUT FOLDER]      as root, from the root of the checkout
#
# Needs gcc, meson, ninja and a python3 with PyTorch there. What else is missing comes as Debian
# packages in .deb/ (git-ignored): libclblast1 libclblast-dev check libjansson4 libjansson-dev
# libsubunit0 libsubunit-dev, fetched beforehand by `apt-get download`.
set -u
cd "$(dirname "$0")/../.." || exit 1
out=${1:-${OUT:-/tmp/clflash-gpu}}
build=${CLFLASH_BUILD:-/tmp/clflash-build}
mkdir -p "$out" /etc/OpenCL/vendors
for package in .deb/*.deb; do
    [ -e "$package" ] && dpkg -x "$package" /
done
ldconfig
[ -e /etc/OpenCL/vendors/nvidia.icd ] || echo libnvidia-opencl.so.1 >/etc/OpenCL/vendors/nvidia.icd
export CLFLASH_CACHE_DIR="$out/cache"

{ meson setup "$build" --buildtype=release && ninja -C "$build"; } >"$out/build.log" 2>&1 || {
    tail -30 "$out/build.log"
    exit 1
}
timeout 60 "$build/bench/clflash_info" >"$out/info.txt" 2>&1
timeout "${TEST_SECONDS:-150}" meson test -C "$build" --no-rebuild --suite kernels \
    >"$out/tests.log" 2>&1
echo "kernel tests: exit $?"
grep -E '(FAIL|TIMEOUT|ERROR)' "$out/tests.log" | head -20

set -- \
    "fwd f32 b4 hq32 sq4096 d64" \
    "fwd f32 b4 hq32 sq4096 d64 causal" \
    "fwd f32 b4 hq16 sq4096 d128" \
    "fwd f32 b4 hq16 sq4096 d128 causal" \
    "fwd f32 b4 hq16 sq8192 d128" \
    "fwd f32 b4 hq16 sq8192 d128 causal docs=12" \
    "fwd bf16 b4 hq16 sq4096 d128" \
    "fwd bf16 b4 hq16 sq4096 d128 causal"
timeout "${BENCH_SECONDS:-150}" "$build/bench/clflash_bench" "$@" --baseline none \
    --json "$out/bench.json" >"$out/bench.txt" 2>"$out/bench.log"
echo "bench: exit $?"
timeout 120 python3 bench/peers/attn_fwd_peers.py "$@" >"$out/peers.jsonl" 2>"$out/peers.log"
echo "peers: exit $?"
python3 bench/peers/compare.py "$out/bench.json" "$out/peers.jsonl"
