# SPDX-License-Identifier: Apache-2.0
# Dictionary attacks: counted, stopped, survived, forgiven.

printf 12345678 >eight
check parameters tpm2 dictionarylockout -Q --setup-parameters --max-tries=3 --recovery-time=3600 --lockout-recovery-time=7200
same max-tries "$(property TPM2_PT_MAX_AUTH_FAIL)" 0x3
same recovery-time "$(property TPM2_PT_LOCKOUT_INTERVAL)" 0xE10
same lockout-recovery-time "$(property TPM2_PT_LOCKOUT_RECOVERY)" 0x1C20
check define tpm2 nvdefine -Q -C o -s 8 -a 'authread|authwrite|ownerwrite' -p right 0x1500001
check define-without-da tpm2 nvdefine -Q -C o -s 8 -a 'authread|authwrite|ownerwrite|no_da' -p right 0x1500002
check write tpm2 nvwrite -Q -C o -i eight 0x1500001
check write-without-da tpm2 nvwrite -Q -C o -i eight 0x1500002

for i in 1 2; do
  refuse "wrong-$i" 98e tpm2 nvread -Q -P wrong 0x1500001
  same "counted-$i" "$(property TPM2_PT_LOCKOUT_COUNTER)" "0x$i"
done
check right-still-opens tpm2 nvread -Q -P right -o read 0x1500001
same right-does-not-forgive "$(property TPM2_PT_LOCKOUT_COUNTER)" 0x2
refuse wrong-without-da 9a2 tpm2 nvread -Q -P wrong 0x1500002
same uncounted-without-da "$(property TPM2_PT_LOCKOUT_COUNTER)" 0x2
refuse wrong-3 98e tpm2 nvread -Q -P wrong 0x1500001
same locked-out "$(property inLockout)" 1
refuse right-is-refused 921 tpm2 nvread -Q -P right 0x1500001
check open-without-da tpm2 nvread -Q -P right -o read 0x1500002

# --- a loss of power is no way out -----------------------------------------------------------------
power_off KILL
power_on
same still-locked-out "$(property inLockout)" 1
refuse right-is-still-refused 921 tpm2 nvread -Q -P right 0x1500001

# --- forgiven --------------------------------------------------------------------------------------
check clear-lockout tpm2 dictionarylockout -Q --clear-lockout
same not-locked-out "$(property inLockout)" 0
same counter-is-zero "$(property TPM2_PT_LOCKOUT_COUNTER)" 0x0
check right-opens tpm2 nvread -Q -P right -o read 0x1500001

# --- the lockout hierarchy itself ------------------------------------------------------------------
check changeauth tpm2 changeauth -Q -c l lockout
refuse clear-wrong-auth 98e tpm2 dictionarylockout -Q --clear-lockout -p wrong
refuse clear-right-auth-too-late 921 tpm2 dictionarylockout -Q --clear-lockout -p lockout
