# SPDX-License-Identifier: Apache-2.0
# Starting, testing and asking; random numbers; the clock.

check selftest tpm2 selftest --fulltest
check incrementalselftest tpm2 incrementalselftest sha256 ecc
check gettestresult tpm2 gettestresult
check testparms tpm2 testparms ecc256:ecdsa-sha256:null
check testparms-rsa tpm2 testparms rsa2048:rsapss:null
refuse testparms-unknown 1d6 tpm2 testparms sm4128cfb
for capability in algorithms commands properties-fixed properties-variable pcrs ecc-curves \
  handles-transient handles-persistent handles-permanent handles-pcr handles-nv-index; do
  check "getcap-$capability" tpm2 getcap "$capability"
done
check getcap-manufacturer tpm2 getcap properties-fixed
same family "$(sed -n '/TPM2_PT_FAMILY/{n;n;s/.*value: *//p}' out)" '"2.0"'
check pcrread tpm2 pcrread sha1:0+sha256:0,16,23+sha384:0+sha512:0
same pcr-is-zero "$(tpm2 pcrread sha256:16 | sed -n 's/.*16: *0x//p')" "$(printf '0%.0s' {1..64})"

# --- random numbers -------------------------------------------------------------------------------
check getrandom tpm2 getrandom --hex 32
same getrandom-bytes "$(wc -c <out)" 64
first=$(cat out)
check getrandom-again tpm2 getrandom --hex 32
differ getrandom-repeats test "$(cat out)" = "$first"
head -c 64 /dev/urandom >entropy
check stirrandom tpm2 stirrandom entropy

# --- hash sequences -------------------------------------------------------------------------------
# More than fits into one command, so the tools use a sequence.
head -c 5000 /dev/urandom >long
for algorithm in sha1 sha256 sha384 sha512; do
  check "hash-$algorithm" tpm2 hash -g $algorithm --hex long
  same "hash-$algorithm-value" "$(cat out)" "$(${algorithm}sum <long | cut -d' ' -f1)"
done
check pcrevent tpm2 pcrevent 16 long
same pcrevent-digest "$(sed -n 's/^sha256: *//p' out)" "$(sha256sum <long | cut -d' ' -f1)"
same pcrevent-extends "$(tpm2 pcrread sha256:16 | sed -n 's/.*16: *0x//p' | tr A-F a-f)" \
  "$({ printf '0%.0s' {1..64}; sha256sum <long | cut -d' ' -f1; } | xxd -r -p | sha256sum | cut -d' ' -f1)"
check pcrextend tpm2 pcrextend "23:sha256=$(sha256sum <long | cut -d' ' -f1),sha1=$(sha1sum <long | cut -d' ' -f1)"
check pcrreset tpm2 pcrreset 16 23
same pcr-is-zero-again "$(tpm2 pcrread sha256:16 | sed -n 's/.*16: *0x//p')" "$(printf '0%.0s' {1..64})"
refuse pcrreset-locality 907 tpm2 pcrreset 17
refuse pcrextend-locality 907 tpm2 pcrextend "18:sha256=$(sha256sum <long | cut -d' ' -f1)"

# --- the clock ------------------------------------------------------------------------------------
check readclock tpm2 readclock
before=$(sed -n 's/^ *clock: *//p' out)
ahead=$((before + 3600000))
check setclock tpm2 setclock $ahead
check readclock-ahead tpm2 readclock
check clock-is-ahead test "$(sed -n 's/^ *clock: *//p' out)" -ge $ahead
refuse setclock-back 1c4 tpm2 setclock "$before"
check clockrateadjust tpm2 clockrateadjust ss

# --- off and on -----------------------------------------------------------------------------------
counts() { tpm2 readclock | sed -n 's/^ *\(reset\|restart\)_count: *//p' | paste -sd ' '; }
# Each power-on is two resets: the host provisions the TPM in a life of its own before the guest's.
same counts-at-first "$(counts)" '2 0'
# The guest shuts down in order, then the host does: a reset.
tpm2 shutdown -c || fail shutdown-clear
power_off TERM
power_on
same counts-after-reset "$(counts)" '4 0'
check readclock-after-reset tpm2 readclock
same clock-is-safe "$(sed -n 's/^ *safe: *//p' out)" yes
check clock-goes-on test "$(sed -n 's/^ *clock: *//p' out)" -ge $ahead
# The guest says nothing, and the host shuts down in order on its behalf: a reset.
power_off TERM
power_on
same counts-after-silence "$(counts)" '6 0'
# The guest goes to sleep: a restart, and nothing happens to its TPM in between.
tpm2 shutdown || fail shutdown-state
power_off TERM
power_on
same counts-after-restart "$(counts)" '6 1'
# Nobody says anything, while the TPM was in use: a reset, and some time may be lost.
check use tpm2 nvdefine -Q -C o -s 8 0x1500001
power_off KILL
power_on
same counts-after-kill "$(counts)" '8 0'
check readclock-after-kill tpm2 readclock
same clock-is-unsafe "$(sed -n 's/^ *safe: *//p' out)" no
