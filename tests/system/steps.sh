# SPDX-License-Identifier: Apache-2.0
# What system tests share: a folder of their own, programs that end with the test, and waiting.
#
# Sourced. $work is the test's folder, $limit how many seconds anything may take.
limit=${GUEST_SECONDS:-180}
pids=()
checks=0

# skip WHY: not on this machine. CI has all of it.
skip() {
    echo "skipped: $1"
    [ "${CI:-}" = true ] && exit 1
    exit 77
}

work=$(mktemp -d)
cleanup() {
    local pid
    for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null; done
    wait 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT

fail() {
    echo "FAIL $1"
    tail -n 8 "$work"/*.log
    exit 1
}

pass() {
    checks=$((checks + 1))
    echo "PASS $1"
}

# expect_line PATTERN FILE: waits for a line in a file that somebody writes, or fails.
expect_line() {
    timeout "$limit" tail -n +1 -F "$2" 2>/dev/null | grep -q -m 1 -a -- "$1" ||
        fail "no '$1' in $(basename "$2")"
}

# expect_end PID STATUS WHO
expect_end() {
    local status=0
    wait "$1" || status=$?
    [ "$status" = "$2" ] || fail "$3 ended with $status"
}
