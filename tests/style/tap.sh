# shellcheck shell=sh
# tap.sh -- sourced by the test scripts: `check NAME COMMAND...` is one TAP test, whose
# output is shown where it fails; `finish` ends the script.
n=0 bad=0

check() {
    tap_name=$1
    shift
    n=$((n + 1))
    if said=$("$@" 2>&1); then
        echo "ok $n - $tap_name"
    else
        bad=$((bad + 1))
        echo "not ok $n - $tap_name"
        printf '%s\n' "$said" | head -n 60 | sed 's/^/# /'
    fi
}

skip() { # NAME REASON
    n=$((n + 1))
    echo "ok $n - $1 # SKIP $2"
}

finish() {
    echo "1..$n"
    [ "$bad" -eq 0 ]
    exit
}
