# SPDX-License-Identifier: Apache-2.0
# What system tests with a guest share: a QEMU whose guest (guest/init) does what is written to its
# serial line.
#
# Sourced. $here is tests/system.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/steps.sh"

command -v qemu-system-x86_64 >/dev/null || skip "no qemu-system-x86_64 here"
code=/usr/share/OVMF/OVMF_CODE.fd
variables=/usr/share/OVMF/OVMF_VARS.fd
[ -r "$code" ] && [ -r "$variables" ] || skip "no OVMF here (package ovmf)"
guest=$("$here/guest/build.sh")
case $? in 0) ;; 77) exit 77 ;; *) exit 1 ;; esac

# start_service NAME COMMAND...: a program whose log is $work/NAME.log; its pid is $service. It is
# waited for until it is ready.
start_service() {
    local name=$1
    shift
    : >"$work/$name.log"
    "$@" 2>>"$work/$name.log" >&2 &
    service=$!
    pids+=("$service")
    expect_line '^[a-z-]*: \(ready\|report-missing.*\|the TPM.s state is still to arrive\)$' "$work/$name.log"
}

# start_vtpmd VTPMD VTPM_INSTANCE [HOST]: a vtpmd whose pid is $daemon, with what an earlier one left in
# $work/HOST; ctl speaks to it, by $vtpmctl, and to that of another host with HOST=NAME before it.
start_vtpmd() {
    local host=$work/${3:-here}
    mkdir -p "$host/run"
    : >"$host.log"
    "$1" --state "$host/state" --runtime "$host/run" --instance "$2" >>"$host.log" 2>&1 &
    daemon=$!
    pids+=("$daemon")
    expect_line 'serving .* registered VMs' "$host.log"
}
ctl() { "$vtpmctl" "$@" --socket "$work/${HOST:-here}/run/vtpmd.sock"; }

# serve_swtpm NAME SWTPM FOLDER: swtpm, or ours in its place, for the TPM in a folder; its pid is $service
# and its control socket $work/NAME.ctrl.
serve_swtpm() {
    # It says nothing, but writes its process id when it can be spoken to.
    mkfifo "$work/$1.pid"
    "$2" socket --tpm2 --tpmstate "dir=$3" --ctrl "type=unixio,path=$work/$1.ctrl" \
        --pid "file=$work/$1.pid" >"$work/$1.log" 2>&1 &
    service=$!
    pids+=("$service")
    timeout "$limit" head -c 1 "$work/$1.pid" >/dev/null || fail "$2 does not serve"
}

# boot NAME CONTROL_SOCKET [OPTION...]: a QEMU of that name, without a TPM if the socket is "", whose pid is $qemu. Its serial line is
# read into $work/NAME.serial.log and written by tell; QMP commands go to the descriptor $qmp, and
# what comes back is in $work/NAME.qemu.log.
boot() {
    local name=$1 control=$2
    shift 2
    mkfifo "$work/$name.in" "$work/$name.out" "$work/$name.qmp"
    : >"$work/$name.serial.log"
    exec {serial}<>"$work/$name.in" {qmp}<>"$work/$name.qmp"
    # Held open for writing as well: the reader goes on over QEMU's end, and ends with the test.
    cat <>"$work/$name.out" >"$work/$name.serial.log" &
    pids+=($!)
    qemu-system-x86_64 -nodefaults -no-user-config -display none -machine q35 -m 256 \
        -accel tcg,tb-size=32 -cpu max \
        ${GUEST_BIOS:+-bios "$GUEST_BIOS"} \
        $([ -n "${GUEST_BIOS:-}" ] || echo "-drive if=pflash,unit=0,format=raw,readonly=on,file=$code -drive if=pflash,unit=1,format=raw,${GUEST_FLASH:-file=$work/variables.fd}") \
        -kernel "$guest/vmlinuz" -initrd "$guest/initramfs.img" \
        -append 'console=ttyS0 quiet mitigations=off panic=-1' \
        -drive "if=virtio,format=raw,file=$work/disk.img" \
        $([ -z "$control" ] || echo "-chardev socket,id=chrtpm,path=$control -tpmdev emulator,id=tpm0,chardev=chrtpm -device ${GUEST_TPM:-tpm-crb},tpmdev=tpm0") \
        -chardev "pipe,id=chrserial,path=$work/$name" -serial chardev:chrserial -qmp stdio \
        "$@" <"$work/$name.qmp" >>"$work/$name.qemu.log" 2>&1 &
    qemu=$!
    pids+=("$qemu")
    vm=$name
    answered=0
    ask '{"execute": "qmp_capabilities"}'
    expect_line '{"return": {}}' "$work/$name.qemu.log"
}

# ask QMP: has QEMU do something.
ask() { echo "$1" >&"$qmp"; }

# migrate NAME QMP URI: has the QEMU of that name and descriptor migrate to there, until it has.
migrate() {
    local events='{"capabilities": [{"capability": "events", "state": true}]}'
    {
        echo '{"execute": "migrate-set-capabilities", "arguments": '"$events"'}'
        echo '{"execute": "migrate-set-parameters", "arguments": {"downtime-limit": 3000}}'
        echo '{"execute": "migrate", "arguments": {"uri": "'"$3"'"}}'
    } >&"$2"
    expect_line '"MIGRATION", "data": {"status": "\(completed\|failed\)"}' "$work/$1.qemu.log"
    grep -q '"MIGRATION", "data": {"status": "completed"}' "$work/$1.qemu.log" || fail 'the migration failed'
}

# new_machine: a blank disk and variable flash.
new_machine() {
    truncate -s 32M "$work/disk.img"
    cp "$variables" "$work/variables.fd"
}

# next_answer: waits for the next line of the guest's, into $answer.
next_answer() {
    local lines
    mapfile -t lines < <(timeout "$limit" tail -n +1 -F "$work/$vm.serial.log" 2>/dev/null |
        grep -a -m $((answered + 1)) 'GUEST ')
    [ "${#lines[@]}" -gt "$answered" ] || fail "the guest of $vm says nothing more"
    answered=${#lines[@]}
    answer=${lines[-1]##*GUEST }
    answer=${answer%$'\r'}
}

# tell COMMAND...: has the guest do something; its answer is in $answer.
tell() {
    echo "$*" >&"$serial"
    next_answer
}

# order COMMAND: of which no answer comes.
order() { echo "$*" >&"$serial"; }

# expect_answer WHAT EXPECTED
expect_answer() {
    [ "$answer" = "$2" ] || fail "$1: the guest says '$answer' and not '$2'"
    pass "$1"
}
