#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a guest notices of its TPM service, in one run and interleaved, beside swtpm and beside no TPM at
# all: the time from QEMU's start until its /init runs, with OVMF, and the downtime of a live migration.
#
#   guest.sh VTPM_INSTANCE [ROUNDS]
#
# Ratios and differences are what counts; QEMU interprets here (TCG), so times are long. It prints the
# load of the machine, for who else works on it works on these figures, least on processor time.
set -u
instance=$1 rounds=${2:-5}
command -v swtpm >/dev/null || { echo "no swtpm here"; exit 77; }
. "$(dirname "$0")/../system/guest.sh"
declare -A boots processor downtimes

# serve NAME CONTESTANT [--incoming]: its control socket is $control.
serve() {
    control=$work/$1.ctrl
    case $2 in
    ours) start_service "$1" "$instance" --vmgs "$work/$1.vmgs" --create --ctrl "$control" --state-blobs plain "${@:3}" ;;
    swtpm)
        mkdir "$work/$1.state"
        serve_swtpm "$1" swtpm "$work/$1.state"
        ;;
    none) control= service= ;;
    esac
}

# used PID...: processor milliseconds that these have taken.
used() {
    local pid fields sum=0
    for pid in "$@"; do
        read -ra fields <"/proc/$pid/stat"
        sum=$((sum + fields[13] + fields[14]))
    done
    echo $((sum * 1000 / $(getconf CLK_TCK)))
}

milliseconds() { echo $((${EPOCHREALTIME/./} / 1000)); }

one_round() {
    local who=$1 name=$1$2 begun before source_qmp source_qemu source_service
    new_machine
    serve "$name" "$who"
    before=$(used $service)
    begun=$(milliseconds)
    boot "$name" "$control"
    next_answer
    boots[$who]+="$(($(milliseconds) - begun)) "
    processor[$who]+="$(($(used "$qemu" $service) - before)) "
    source_qmp=$qmp source_qemu=$qemu source_service=$service
    serve "$name-there" "$who" $([ "$who" != ours ] || echo --incoming)
    boot "$name-there" "$control" -incoming "unix:$work/$name.migration"
    migrate "$name" "$source_qmp" "unix:$work/$name.migration"
    echo '{"execute": "query-migrate"}' >&"$source_qmp"
    expect_line '"downtime"' "$work/$name.qemu.log"
    downtimes[$who]+="$(sed -n 's/.*"downtime": \([0-9]*\).*/\1/p' "$work/$name.qemu.log" | sed -n '$p') "
    kill -KILL "$source_qemu" "$qemu" $source_service $service
    wait "$source_qemu" "$qemu" $source_service $service 2>/dev/null
}

median() { tr ' ' '\n' <<<"$1" | sed '/^$/d' | sort -n | awk '{v[NR]=$1} END {print (v[int((NR+1)/2)]+v[int((NR+2)/2)])/2}'; }

echo "load of the machine: $(cut -d' ' -f1-3 /proc/loadavg), processors: $(nproc)"
for ((round = 1; round <= rounds; ++round)); do
    for who in ours swtpm none; do one_round "$who" "$round"; done
done
for who in ours swtpm none; do
    printf '%-6s boot %s ms (%s)  processor time of it %s ms (%s)  downtime %s ms (%s)\n' "$who" \
        "$(median "${boots[$who]}")" "${boots[$who]% }" "$(median "${processor[$who]}")" "${processor[$who]% }" \
        "$(median "${downtimes[$who]}")" "${downtimes[$who]% }"
done
ratio() { awk -v what="$1" -v ours="$2" -v swtpm="$3" 'BEGIN {printf "%s, ours / swtpm: %.2f\n", what, ours / swtpm}'; }
ratio boot "$(median "${boots[ours]}")" "$(median "${boots[swtpm]}")"
ratio 'processor time of a boot' "$(median "${processor[ours]}")" "$(median "${processor[swtpm]}")"
awk -v ours="$(median "${downtimes[ours]}")" -v swtpm="$(median "${downtimes[swtpm]}")" -v none="$(median "${downtimes[none]}")" \
    'BEGIN {printf "downtime that the TPM adds: ours %.0f ms, swtpm %.0f ms\n", ours - none, swtpm - none}'
echo "load of the machine: $(cut -d' ' -f1-3 /proc/loadavg)"
