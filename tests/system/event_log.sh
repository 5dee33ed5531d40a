#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The firmware's event log of a booted guest explains the PCRs that its TPM quotes:
#
#   event_log.sh VTPMD VTPMCTL VTPM_INSTANCE ATTEST
#
# A VM of a vtpmd boots OVMF and Debian's kernel; the guest gives its log out over its serial line, and
# `attest` makes a bundle of that log and a quote of that TPM, by the socket for programs. It verifies,
# for who trusts this host's authority; and with one byte of the log changed it is refused, at the event
# that the byte is in.
set -u
vtpmd=$1 vtpmctl=$2 instance=$3 attest=$4
. "$(dirname "$0")/guest.sh"
new_machine
nonce=00112233445566778899aabbccddeeff

start_vtpmd "$vtpmd" "$instance"
ctl create guest --json >"$work/vm.json" || fail 'vtpmctl create'
field() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$work/vm.json" "$1"; }
ctl authority roots --class host >"$work/root.pem" || fail 'vtpmctl authority roots'

boot guest "$(field control_socket)"
next_answer
[ "$answer" = ready ] || fail "the guest says '$answer'"
order log
expect_line 'GUEST end of log' "$work/guest.serial.log"
tr -d '\r' <"$work/guest.serial.log" | sed -n 's/.*GUEST log //p' | base64 -d >"$work/log" || fail 'the log did not arrive'
pass "the guest's event log, $(stat -c %s "$work/log") bytes"

cat >"$work/policy.json" <<POLICY
{"schema": "strongroom.policy/1", "tees": ["none"], "hcl": {"form": "own"}, "vm_id": "$(field vm_id)",
 "ak": {"require_certificate": true, "classes": ["host"]},
 "quote": {"required": true, "pcrs": [0, 1, 2, 3, 4, 5, 6, 7]}, "log": {"required": true}}
POLICY
verify() { "$attest" verify "$1" --policy "$work/policy.json" --nonce "$nonce" --ak-root "$work/root.pem" >"$work/verdict.log" 2>&1; }
collect() {
    "$attest" collect --tcti "swtpm:path=$(field data_socket)" --nonce "$nonce" --event-log "$1" \
        --output "$2" 2>"$work/collect.log" || fail 'attest collect'
}
collect "$work/log" "$work/bundle.json"
verify "$work/bundle.json" || fail "attest verify ended with $?"
grep -q '^accepted' "$work/verdict.log" || fail 'attest verify does not accept the bundle'
pass 'its replay gives the quoted PCRs 0 to 7'

# One byte of each of these: of a digest that is extended, and of the data that a digest is of. Which
# event that is, and where, says the log itself.
"$attest" eventlog "$work/log" --json >"$work/events.json" || fail 'attest eventlog'
cat >"$work/flip.py" <<'PYTHON'
import json, sys
log, events, what, out = sys.argv[1:]
log = bytearray(open(log, 'rb').read())
# A separator measures its four bytes of zero; nothing else is as sure. Its record begins with its PCR
# and its type, and ends with the size of its data and that.
event = next(e for e in json.load(open(events))['events'] if e['type'] == 'EV_SEPARATOR')
record = log.index(int(event['register'][3:]).to_bytes(4, 'little') + (4).to_bytes(4, 'little'))
at = log.index(bytes.fromhex(event['digest']), record)
log[at if what == 'digest' else log.index(b'\4\0\0\0\0\0\0\0', at) + 4] ^= 1
open(out, 'wb').write(log)
print(event['number'])
PYTHON
for what in digest data; do
    number=$(python3 "$work/flip.py" "$work/log" "$work/events.json" "$what" "$work/log.$what") || fail "no separator in the log"
    collect "$work/log.$what" "$work/bundle.$what.json"
    verify "$work/bundle.$what.json" && fail "a log with a changed $what is accepted"
    grep -q "^refused: " "$work/verdict.log" || fail "no refusal of a changed $what"
    grep -q "event $number\b" "$work/verdict.log" || fail "the changed $what is not located at event $number"
    pass "a changed $what is refused at event $number"
done

order off
expect_end "$qemu" 0 QEMU
echo "$checks passed"
