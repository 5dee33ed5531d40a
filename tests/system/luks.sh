#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A LUKS2 volume that systemd-cryptenroll has bound to the TPM, in a guest under QEMU with OVMF:
#
#   luks.sh VTPM_INSTANCE VTPMD VTPMCTL SWTPM
#
# It opens without a passphrase after a reset of the guest, after a cold boot, after the power was cut
# (QEMU and the instance killed), during and after a live migration with TPM traffic, after a cold
# boot at the destination, while vtpmd is dead, under the next one, by another instance, and under the
# vtpmd of another host, where its TPM went sealed to a ticket; and stays shut once a PCR has changed, and under other firmware.
# A TPM that swtpm has kept opens it after `vtpmctl adopt`, by SWTPM, ours in its place.
set -u
instance=$1 vtpmd=$2 vtpmctl=$3 swtpm=$4
. "$(dirname "$0")/guest.sh"
new_machine
opened='opened written through dm-crypt'

serve() {
    start_service "$1" "$instance" --vmgs "$work/$2.vmgs" --create --ctrl "$work/$1.ctrl" --state-blobs plain "${@:3}"
}

expect_ready() {
    next_answer
    [ "$answer" = ready ] || fail "the guest says '$answer'"
}

power_off() {
    order off
    expect_end "$qemu" 0 QEMU
}

end_of_service() { expect_end "$service" 0 'the instance'; }

# --- made, and opened after a reset of the guest ----------------------------------------------------
serve first source
boot one "$work/first.ctrl"
expect_ready
tell enroll
expect_answer 'systemd-cryptenroll binds a volume to PCRs 0, 2, 4 and 7' enrolled
order reboot
expect_ready
tell open
expect_answer 'it opens after a reset of the guest' "$opened"
power_off
end_of_service

# --- after a cold boot, and after the power was cut --------------------------------------------------
serve second source
boot two "$work/second.ctrl"
expect_ready
tell open
expect_answer 'it opens after a cold boot' "$opened"
kill -KILL "$qemu" "$service"
wait "$qemu" "$service" 2>/dev/null
serve third source
boot three "$work/third.ctrl"
expect_ready
tell open
expect_answer 'it opens after a power cut' "$opened"

# --- live migration, with traffic ---------------------------------------------------------------------
tell busy
source_qemu=$qemu source_service=$service source_qmp=$qmp
serve fourth destination --incoming
boot four "$work/fourth.ctrl" -incoming "unix:$work/migration"
migrate three "$source_qmp" "unix:$work/migration"
echo '{"execute": "quit"}' >&"$source_qmp"
expect_end "$source_qemu" 0 'the source QEMU'
expect_end "$source_service" 0 'the source instance'
tell idle
[[ $answer =~ ^was\ busy\ ([0-9]+)\ 0$ ]] || fail "over the migration: '$answer'"
[ "${BASH_REMATCH[1]}" -gt 0 ] || fail 'there was no traffic over the migration'
pass "a live migration, with ${BASH_REMATCH[1]} rounds of TPM traffic and no error"
tell open
expect_answer 'it opens after the migration' "$opened"
power_off
end_of_service

# --- a cold boot at the destination, and another PCR ---------------------------------------------------
serve fifth destination
boot five "$work/fifth.ctrl"
expect_ready
tell open
expect_answer 'it opens after a cold boot at the destination' "$opened"
tell extend 7
tell open
expect_answer 'it stays shut after PCR 7 has changed' 'stays shut'
tell passphrase
expect_answer 'and its passphrase opens it' "$opened"
power_off
end_of_service

# --- other firmware -------------------------------------------------------------------------------------
serve sixth destination
GUEST_BIOS=bios-256k.bin GUEST_TPM=tpm-tis boot six "$work/sixth.ctrl"
expect_ready
tell open
expect_answer 'it stays shut under other firmware' 'stays shut'
power_off
end_of_service

# --- vtpmd dies under a running guest, and another one finds its VM again -------------------------------
start_vtpmd "$vtpmd" "$instance"
ctl create guest >"$work/created.log" || fail 'vtpmctl create'
field() { ctl show guest --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
control=$(field control_socket)
boot seven "$control"
expect_ready
tell enroll
expect_answer 'a VM of a vtpmd binds a volume' enrolled
served_by=$(field pid)
pids+=("$served_by")  # it outlives vtpmd
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null
tell open
expect_answer 'it opens while vtpmd is dead' "$opened"
order reboot
expect_ready
tell open
expect_answer 'and after a reset of the guest' "$opened"
start_vtpmd "$vtpmd" "$instance"
[ "$(field pid)" = "$served_by" ] || fail "the next vtpmd has not found process $served_by again"
tell open
expect_answer 'it opens under the next vtpmd' "$opened"
ctl replace guest >"$work/replaced.log" 2>&1 || fail 'vtpmctl replace'
[ "$(field pid)" != "$served_by" ] || fail "process $served_by serves still"
tell open
expect_answer 'it opens by another instance, which took its place' "$opened"
power_off
ctl stop guest >"$work/stopped.log" 2>&1
ctl start guest >"$work/started.log" 2>&1 || fail 'vtpmctl start'
boot eight "$control"
expect_ready
tell open
expect_answer 'it opens after a cold boot' "$opened"

# --- a live migration to another vtpmd, sealed to a ticket ----------------------------------------------
source_daemon=$daemon source_qemu=$qemu source_qmp=$qmp
start_vtpmd "$vtpmd" "$instance" there
ctl show guest --launch-document "$work/launch" >/dev/null || fail 'vtpmctl show --launch-document'
agree() {
    HOST=there ctl migrate receive guest --launch-document "$work/launch" --out "$work/ticket" 2>"$work/receive.log" ||
        fail 'vtpmctl migrate receive'
    ctl migrate send guest --ticket "$work/ticket" >"$work/send.log" 2>&1 || fail 'vtpmctl migrate send'
}
agree
migrate eight "$source_qmp" "exec:cat >$work/stream"
[ "$(field migration)" = offered ] || fail 'the TPM that left is not said to be offered'
HOST=there ctl migrate cancel guest --out "$work/release" 2>"$work/cancel.log" || fail 'vtpmctl migrate cancel there'
ctl migrate cancel guest --release "$work/release" >"$work/cancel.log" 2>&1 || fail 'vtpmctl migrate cancel'
ask '{"execute": "cont"}'
tell open
expect_answer 'it opens after a sealed migration that never arrived and was cancelled' "$opened"
tell busy
agree
boot nine "$(HOST=there field control_socket)" -incoming "unix:$work/sealed"
: >"$work/eight.qemu.log"  # what it said of the migration before
migrate eight "$source_qmp" "unix:$work/sealed"
echo '{"execute": "quit"}' >&"$source_qmp"
expect_end "$source_qemu" 0 'the source QEMU'
tell idle
[[ $answer =~ ^was\ busy\ ([0-9]+)\ 0$ ]] || fail "over the sealed migration: '$answer'"
[ "${BASH_REMATCH[1]}" -gt 0 ] || fail 'there was no traffic over the sealed migration'
rounds=${BASH_REMATCH[1]}
tell open
expect_answer "it opens after a sealed migration, with $rounds rounds of TPM traffic" "$opened"
ctl stop guest >"$work/stopped.log" 2>&1
ctl start guest >"$work/started.log" 2>&1
ctl ready guest --wait >>"$work/started.log" 2>&1 && fail 'the source started its TPM again'
grep -q 'readiness *moved-away' "$work/started.log" || fail 'the source does not say that its TPM has moved away'
power_off
HOST=there ctl stop guest >"$work/stopped.log" 2>&1
HOST=there ctl start guest >"$work/started.log" 2>&1 || fail 'vtpmctl start'
boot ten "$(HOST=there field control_socket)"
expect_ready
tell open
expect_answer 'and after a cold boot there' "$opened"
power_off
kill -TERM "$daemon" "$source_daemon"
expect_end "$daemon" 0 'vtpmd there'
expect_end "$source_daemon" 0 vtpmd

# --- a TPM that swtpm has kept ---------------------------------------------------------------------------
if theirs=$(command -v swtpm); then
    mkdir "$work/swtpm"
    serve_swtpm eleventh "$theirs" "$work/swtpm"
    boot eleven "$work/eleventh.ctrl"
    expect_ready
    tell enroll
    expect_answer "a TPM of $("$theirs" --version | sed -n 's/.*version \([0-9.]*\).*/swtpm \1/p') binds a volume" enrolled
    power_off
    end_of_service
    "$vtpmctl" adopt "$work/swtpm" >"$work/adopt.log" 2>&1 || fail 'vtpmctl adopt'
    serve_swtpm twelfth "$swtpm" "$work/swtpm"
    boot twelve "$work/twelfth.ctrl"
    expect_ready
    tell open
    expect_answer 'it opens after adopt' "$opened"
    order reboot
    expect_ready
    tell open
    expect_answer 'and after a reset of the guest' "$opened"
    tell extend 7
    tell open
    expect_answer 'and stays shut after PCR 7 has changed' 'stays shut'
    power_off
    end_of_service
else
    echo 'no swtpm here, whose TPM could be adopted'
fi
echo "$checks passed"
