#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A LUKS2 volume that systemd-cryptenroll has bound to the TPM, in a guest under QEMU with OVMF:
#
#   luks.sh VTPM_INSTANCE
#
# It opens without a passphrase after a reset of the guest, after a cold boot, after the power was cut
# (QEMU and the instance killed), during and after a live migration with TPM traffic, and after a cold
# boot at the destination; and stays shut once a PCR has changed, and under other firmware.
set -u
instance=$1
. "$(dirname "$0")/guest.sh"
new_machine
opened='opened written through dm-crypt'

serve() {
    start_service "$1" "$instance" --vmgs "$work/$2.vmgs" --create --ctrl "$work/$1.ctrl" "${@:3}"
}

expect_ready() {
    next_answer
    [ "$answer" = ready ] || fail "the guest says '$answer'"
}

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
order off
expect_end "$qemu" 0 QEMU
expect_end "$service" 0 'the instance'

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
migrate three "$source_qmp" "$work/migration"
echo '{"execute": "quit"}' >&"$source_qmp"
expect_end "$source_qemu" 0 'the source QEMU'
expect_end "$source_service" 0 'the source instance'
tell idle
[[ $answer =~ ^was\ busy\ ([0-9]+)\ 0$ ]] || fail "over the migration: '$answer'"
[ "${BASH_REMATCH[1]}" -gt 0 ] || fail 'there was no traffic over the migration'
pass "a live migration, with ${BASH_REMATCH[1]} rounds of TPM traffic and no error"
tell open
expect_answer 'it opens after the migration' "$opened"
order off
expect_end "$qemu" 0 'the destination QEMU'
expect_end "$service" 0 'the destination instance'

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
order off
expect_end "$qemu" 0 QEMU
expect_end "$service" 0 'the instance'

# --- other firmware -------------------------------------------------------------------------------------
serve sixth destination
GUEST_BIOS=bios-256k.bin GUEST_TPM=tpm-tis boot six "$work/sixth.ctrl"
expect_ready
tell open
expect_answer 'it stays shut under other firmware' 'stays shut'
order off
expect_end "$qemu" 0 QEMU
expect_end "$service" 0 'the instance'
echo "$checks passed"
