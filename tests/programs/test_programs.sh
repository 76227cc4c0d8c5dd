#!/bin/sh
# The four programs as a user runs them: exit codes, outputs, files, refusals. TAP.
# usage: test_programs.sh BUILD/bench JSON_CHECK
set -u
bin=$1
json_check=$2
work=$(mktemp -d "${TMPDIR:-/tmp}/clflash-programs.XXXXXX")
trap 'rm -rf "$work"' EXIT
export CLFLASH_CACHE_DIR="$work/cache" NO_COLOR=1
n=0

# result NAME STATUS: one test; what the command printed follows a failure.
result() {
    n=$((n + 1))
    if [ "$2" -eq 0 ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        sed 's/^/# /' "$work/out" "$work/err"
    fi
}

# expect CODE NAME COMMAND...: runs it, keeps its output, compares the exit code.
expect() {
    wanted=$1 name=$2
    shift 2
    timeout 120 "$@" >"$work/out" 2>"$work/err"
    code=$?
    [ "$code" -eq "$wanted" ]
    result "$name (exit $code, expected $wanted)" $?
}

says() { # says NAME PATTERN FILE
    grep -q -e "$2" "$work/$3"
    result "$1" $?
}

small="fwd f32 hq2 sq64 d32 causal"

for program in bench run info tune; do
    expect 0 "$program --help" "$bin/clflash_$program" --help
    says "$program --help shows the usage" "^Usage: clflash_$program" out
    expect 0 "$program --version" "$bin/clflash_$program" --version
    says "$program --version" "^clflash_$program [0-9]*\.[0-9]*\.[0-9]*$" out
    expect 2 "$program with an unknown option" "$bin/clflash_$program" --colour
    says "$program names the unknown option" "\-\-colour" err
done
for program in bench run tune; do
    expect 2 "$program with an unknown word" "$bin/clflash_$program" "$small purple"
    says "$program names the unknown word" "purple" err
    expect 2 "$program with decode" "$bin/clflash_$program" "decode f32 hq2 sq64 d32"
    says "$program says what it runs" "runs .* only" err
    expect 2 "$program on a device that is not there" "$bin/clflash_$program" "$small" --device 999
done

# clflash_info
expect 0 "info" "$bin/clflash_info"
says "info lists an engine" "standard: \(yes\|no: \)" out
expect 0 "info --json" "$bin/clflash_info" --json
"$json_check" version devices.0.name devices.0.engines.0.name devices.0.tuning_file \
    <"$work/out" 2>"$work/err"
result "info --json is JSON with its keys" $?
expect 2 "info with a problem" "$bin/clflash_info" "$small"

# clflash_run
expect 0 "run --check" "$bin/clflash_run" "$small" --check --out "$work/a"
says "run --check prints error and tolerance" "max error .* tolerance" out
expect 0 "run with a problem in several words" "$bin/clflash_run" fwd f16 b2 hq4 hk2 sq33 d40 --check
expect 0 "run writes and reads NPY" "$bin/clflash_run" "$small" --check \
    --q "$work/a/o.npy" --k "$work/a/o.npy" --v "$work/a/o.npy" --out "$work/b"
expect 0 "run again" "$bin/clflash_run" "$small" \
    --q "$work/a/o.npy" --k "$work/a/o.npy" --v "$work/a/o.npy" --out "$work/c"
cmp -s "$work/b/o.npy" "$work/c/o.npy" && cmp -s "$work/b/lse.npy" "$work/c/lse.npy"
result "run gives the same bits twice" $?
expect 0 "run bf16 as uint16" "$bin/clflash_run" "fwd bf16 hq2 sq64 d32" --out "$work/bf16"
expect 0 "run reads uint16 as bf16" "$bin/clflash_run" "fwd bf16 hq2 sq64 d32" --check \
    --k "$work/bf16/o.npy"
expect 0 "run layout=bhsd" "$bin/clflash_run" "fwd f32 hq2 sq48 d32 layout=bhsd" --out "$work/bhsd"
grep -a -q "'shape': (1, 2, 48, 32)" "$work/bhsd/o.npy"
result "run writes the layout's shape" $?
# Large enough for CLBlast's indirect kernel, which forgot the offsets of its operands.
expect 0 "run standard attention on 2048 tokens" "$bin/clflash_run" \
    "fwd f32 hq1 sq2048 d64 algo=standard" --check

expect 2 "run refuses a wrong shape" "$bin/clflash_run" "$small" --q "$work/a/lse.npy"
says "run says the shapes" "found shape (1, 2, 64), expected (1, 64, 2, 32)" err
expect 2 "run refuses a wrong dtype" "$bin/clflash_run" "$small" --q "$work/bf16/o.npy"
says "run says the dtypes" "found dtype <u2, expected <f4" err
LC_ALL=C sed "s/'fortran_order': False/'fortran_order': True /" "$work/a/o.npy" >"$work/f.npy"
expect 2 "run refuses Fortran order" "$bin/clflash_run" "$small" --q "$work/f.npy"
says "run says the order" "Fortran order" err
head -c 1000 "$work/a/o.npy" >"$work/cut.npy"
expect 2 "run refuses a cut file" "$bin/clflash_run" "$small" --q "$work/cut.npy"
echo hello >"$work/text.npy"
expect 2 "run refuses another file" "$bin/clflash_run" "$small" --q "$work/text.npy"
expect 2 "run refuses a file that is not there" "$bin/clflash_run" "$small" --q "$work/none.npy"
expect 2 "run refuses an array that the problem lacks" "$bin/clflash_run" "$small" \
    --sink "$work/a/lse.npy"
expect 2 "run without a problem" "$bin/clflash_run"
expect 0 "run bwd" "$bin/clflash_run" "bwd f16 b2 hq2 hk1 sq33 sk40 d24 causal sink" --check \
    --out "$work/b"
says "run bwd checks its gradients" "checked dq, dk and dv against the reference: ok" out
says "run bwd writes the sink's gradient" "dsink.npy" out
expect 0 "run bwd on a gradient from a file" "$bin/clflash_run" \
    "bwd f16 b2 hq2 hk1 sq33 sk40 d24 causal" --do "$work/b/o.npy" --check
expect 2 "run --do" "$bin/clflash_run" "$small" --do "$work/a/o.npy"
expect 1 "run into a place that cannot be written" "$bin/clflash_run" "$small" --out /proc/none/x

# clflash_bench
expect 0 "bench --list-suites" "$bin/clflash_bench" --list-suites
says "bench lists the suite smoke" "^smoke:" out
expect 2 "bench with an unknown suite" "$bin/clflash_bench" --suite nothing
expect 2 "bench with an unknown baseline" "$bin/clflash_bench" "$small" --baseline fast
expect 2 "bench with no seconds" "$bin/clflash_bench" "$small" --seconds 0
expect 0 "bench" "$bin/clflash_bench" "$small" "fwd f32 hq2 sq512 d32 docs=4 causal" --seconds 0.05 \
    --baseline none --json "$work/b.json" --csv "$work/b.csv" --svg "$work/b.svg"
says "bench prints the problem" "^$small$" out
says "bench prints the blocks of documents" "blocks visited" out
"$json_check" device.peak_gflops device.peak_gbs device.driver device.platform device.type \
    commit results.0.problem results.0.engine results.0.tunables results.0.device_ms.median \
    results.0.device_ms.min results.0.device_ms.max results.0.wall_ms results.0.gflops \
    results.0.gbs results.0.peak_share results.0.bytes results.0.max_error results.0.tolerance \
    results.0.ok results.0.standard results.1.blocks.total results.1.blocks.visited \
    results.1.blocks.masked <"$work/b.json" 2>"$work/err"
result "bench --json is JSON with its keys" $?
[ "$(wc -l <"$work/b.csv")" -eq 3 ]
result "bench --csv has a head and two lines" $?
grep -q "</svg>" "$work/b.svg"
result "bench --svg is written" $?
expect 0 "bench --no-check beside standard attention" "$bin/clflash_bench" "$small" \
    --seconds 0.05 --no-check --json -
says "bench prints the ratio" "the speed of standard attention" err
"$json_check" results.0.standard.device_ms <"$work/out" 2>>"$work/err"
result "bench --json - gives JSON and nothing else" $?

# clflash_tune
expect 0 "tune" "$bin/clflash_tune" "$small" --seconds 1 --file "$work/tuned.txt"
says "tune prints before and after" "before ms" out
[ -s "$work/tuned.txt" ]
result "tune writes its file" $?
"$bin/clflash_tune" "fwd f32 hq2 sq96 d48" --seconds 60 --file "$work/stopped.txt" \
    >"$work/out" 2>"$work/err" &
pid=$!
sleep 3
kill -INT $pid
wait $pid
[ $? -eq 1 ] && grep -q "goes on" "$work/err"
result "tune stops on Ctrl-C and says how to go on" $?

echo "1..$n"
