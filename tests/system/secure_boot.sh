#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Firmware with Secure Boot, its keys enrolled, boots twice with its variables in the store of a VM:
#
#   secure_boot.sh VTPM_INSTANCE VMGS
#
# Between the boots `vmgs uefi` adds a hash to dbx, adds a variable, replaces one and deletes one.
# Passes if Secure Boot is on after both boots, if what firmware wrote at the first and what was edited
# is there after the second, and if `vmgs variables` lists all of it after each. Skips itself (77)
# without QEMU or OVMF, and in CI fails.
set -u  # no pipefail: whoever reads until a line comes leaves its writer behind
instance=$1
vmgs=$2
code=/usr/share/OVMF/OVMF_CODE_4M.secboot.fd
enrolled=/usr/share/OVMF/OVMF_VARS_4M.ms.fd

. "$(dirname "$0")/steps.sh"
command -v qemu-system-x86_64 >/dev/null || skip "no qemu-system-x86_64 here"
[ -r "$code" ] && [ -r "$enrolled" ] || skip "no OVMF with Secure Boot here (package ovmf)"

boot() {
    local n=$1 served qemu monitor
    : >"$work/instance$n.log"
    : >"$work/serial$n.log"
    "$instance" --vmgs "$work/vm.vmgs" --create --ctrl "$work/ctrl" --nbd "$work/vars" \
        --variables-from "$enrolled" 2>"$work/instance$n.log" &
    served=$!
    pids+=("$served")
    expect_line '^[a-z-]*: ready$' "$work/instance$n.log"
    mkfifo "$work/monitor$n"
    exec {monitor}<>"$work/monitor$n"
    qemu-system-x86_64 -nodefaults -no-user-config -display none -machine q35,smm=on -m 256 \
        -accel tcg,tb-size=32 -cpu max -global driver=cfi.pflash01,property=secure,value=on \
        -drive "if=pflash,unit=0,format=raw,readonly=on,file=$code" \
        -drive "if=pflash,unit=1,format=raw,file.driver=nbd,file.server.type=unix,file.server.path=$work/vars" \
        -chardev "socket,id=chrtpm,path=$work/ctrl" -tpmdev emulator,id=tpm0,chardev=chrtpm \
        -device tpm-crb,tpmdev=tpm0 ${SECURE_BOOT_KERNEL:+-kernel "$SECURE_BOOT_KERNEL"} \
        -serial "file:$work/serial$n.log" -monitor stdio <"$work/monitor$n" >"$work/qemu$n.log" 2>&1 &
    qemu=$!
    pids+=("$qemu")
    # Nothing that is signed by an enrolled key is there to be booted.
    expect_line 'No bootable option or device was found' "$work/serial$n.log"
    echo quit >&"$monitor"
    wait "$qemu" || fail "QEMU ended with $?"
    exec {monitor}>&-
    wait "$served" || fail "the instance ended with $?"
}

list() {
    "$vmgs" variables "$work/vm.vmgs" --key "$work/vm.vmgs.key" --json >"$work/variables$1.json" || fail "vmgs variables"
}

# A field of the listing, by an expression of Python.
field() {
    python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$work/variables$1.json" "$2"
}

keys="[(b['name'], [s.get('sha256') for s in b['signatures']]) for b in d['secure_boot']['databases']]"
names="sorted(v['name'] for v in d['variables'])"

boot 1
list 1
[ "$(field 1 "d['secure_boot']['state']")" = on ] || fail "Secure Boot is not on after the first boot"
[[ $(field 1 "$names") == *BootOrder* ]] || fail "firmware wrote no boot order"

# An edit, as an operator makes it.
uefi() {
    local verb=$1
    shift
    "$vmgs" uefi "$verb" "$work/vm.vmgs" --key "$work/vm.vmgs.key" --no-undo --apply "$@" >"$work/uefi.log" 2>&1 ||
        fail "vmgs uefi $verb"
}
vendor=4a67b082-0a4c-41cf-b6c7-440b29bb8c4f
python3 -c 'import struct, sys, uuid
sys.stdout.buffer.write(uuid.UUID("c1c41626-504c-4092-aca9-41f936934328").bytes_le + struct.pack("<III", 76, 0, 48) + bytes(16) + b"\x5a" * 32)' >"$work/dbx.esl"
uefi update dbx "$work/dbx.esl"
for value in first second third; do
    printf %s "$value" | uefi set StrongroomEdited --vendor "$vendor"
done
printf x | uefi set StrongroomGone --vendor "$vendor"
uefi delete StrongroomGone

boot 2
list 2
[ "$(field 2 "d['secure_boot']['state']")" = on ] || fail "Secure Boot is not on after the second boot"
added="[('dbx', ['$(printf '5a%.0s' {1..32})'])]"
[ "$(field 1 "[(n, h + dict($added).get(n, [])) for n, h in $keys]")" = "$(field 2 "$keys")" ] || fail "the keys are others than those that were edited"
[ "$(field 1 "sorted($names + ['StrongroomEdited'])")" = "$(field 2 "$names")" ] || fail "the second boot has other variables"
[ "$("$vmgs" uefi get "$work/vm.vmgs" StrongroomEdited --key "$work/vm.vmgs.key")" = third ] || fail "the variable is not what it was set to"
echo "PASS $(field 2 "len(d['variables'])") variables, $(field 2 "d['used_bytes']") bytes, Secure Boot on after both boots:"
field 2 "', '.join(b['name'] + ' ' + str(len(b['signatures'])) for b in d['secure_boot']['databases'])"
