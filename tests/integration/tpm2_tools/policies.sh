# SPDX-License-Identifier: Apache-2.0
# Each policy assertion: met, and not met.

primary parent.ctx
echo 'a secret' >secret

# seal NAME [AUTH]: data that opens by NAME.policy, as NAME.ctx.
seal() {
  check "seal-$1" tpm2 create -Q -C parent.ctx -i secret -L "$1.policy" ${2:+-p "$2"} -a 'fixedtpm|fixedparent|adminwithpolicy' -u x.pub -r x.priv
  check "load-$1" tpm2 load -Q -C parent.ctx -u x.pub -r x.priv -c "$1.ctx"
}

# opens NAME [AUTH] and stays_shut NAME CODE [AUTH]: by what the session NAME.session has met.
opens() {
  check "unseal-$1" tpm2 unseal -Q -c "$1.ctx" -p "session:$1.session${2:++$2}" -o plain
  check "content-$1" cmp secret plain
  enough "$1.session"
}
stays_shut() {
  refuse "unseal-refused-$1" "$2" tpm2 unseal -Q -c "$1.ctx" -p "session:$1.session${3:++$3}" -o plain
  enough "$1.session"
}

# --- PCR ------------------------------------------------------------------------------------------
policy pcr tpm2 policypcr -Q -l sha256:16,23
seal pcr
with_policy pcr.session
check policypcr tpm2 policypcr -Q -S pcr.session -l sha256:16,23
opens pcr
with_policy pcr.session
stays_shut pcr 99d
check pcrextend tpm2 pcrextend "16:sha256=$(sha256sum <secret | cut -d' ' -f1)"
with_policy pcr.session
check policypcr-extended tpm2 policypcr -Q -S pcr.session -l sha256:16,23
stays_shut pcr 99d
check pcrreset tpm2 pcrreset 16
with_policy pcr.session
check policypcr-reset tpm2 policypcr -Q -S pcr.session -l sha256:16,23
opens pcr
# The TPM notices an extension between the check and the use, but not of the PCRs for debugging.
policy changed tpm2 policypcr -Q -l sha256:12
seal changed
with_policy changed.session
check policypcr-before tpm2 policypcr -Q -S changed.session -l sha256:12
check pcrextend-after tpm2 pcrextend "12:sha256=$(sha256sum <secret | cut -d' ' -f1)"
stays_shut changed 128

# --- auth values ----------------------------------------------------------------------------------
policy password tpm2 policypassword -Q
seal password sesame
with_policy password.session
check policypassword tpm2 policypassword -Q -S password.session
opens password sesame
with_policy password.session
check policypassword-wrong tpm2 policypassword -Q -S password.session
stays_shut password 98e wrong
policy authvalue tpm2 policyauthvalue -Q
seal authvalue sesame
with_policy authvalue.session
check policyauthvalue tpm2 policyauthvalue -Q -S authvalue.session
opens authvalue sesame
with_policy authvalue.session
check policyauthvalue-wrong tpm2 policyauthvalue -Q -S authvalue.session
stays_shut authvalue 98e wrong

# --- what the command is --------------------------------------------------------------------------
policy commandcode tpm2 policycommandcode -Q TPM2_CC_Unseal
seal commandcode
with_policy commandcode.session
check policycommandcode tpm2 policycommandcode -Q -S commandcode.session TPM2_CC_Unseal
opens commandcode
policy othercode tpm2 policycommandcode -Q TPM2_CC_Sign
seal othercode
with_policy othercode.session
check policycommandcode-other tpm2 policycommandcode -Q -S othercode.session TPM2_CC_Sign
stays_shut othercode 9a4

# --- where it comes from --------------------------------------------------------------------------
policy locality tpm2 policylocality -Q three
seal locality
with_policy locality.session
check policylocality tpm2 policylocality -Q -S locality.session three
stays_shut locality 907
policy localityzero tpm2 policylocality -Q zero
seal localityzero
with_policy localityzero.session
check policylocality-zero tpm2 policylocality -Q -S localityzero.session zero
opens localityzero

# --- NV -------------------------------------------------------------------------------------------
check nvdefine tpm2 nvdefine -Q -C o -s 8 -a 'ownerread|ownerwrite' 0x1500001
printf '\0\0\0\0\0\0\0\5' >five
check nvwrite tpm2 nvwrite -Q -C o -i five 0x1500001
printf '\0\0\0\0\0\0\0\6' >six
policy nv tpm2 policynv -Q -C o -i six 0x1500001 ult
seal nv
with_policy nv.session
check policynv tpm2 policynv -Q -S nv.session -C o -i six 0x1500001 ult
opens nv
with_policy nv.session
refuse policynv-not-met 126 tpm2 policynv -Q -S nv.session -C o -i six 0x1500001 ugt
enough nv.session
check nvdefine-policy tpm2 nvdefine -Q -C o -s 34 -a 'ownerread|ownerwrite|policyread|policywrite|authread' 0x1500002
{ printf '\0\x0b'; cat password.policy; } >holder
check nvwrite-policy tpm2 nvwrite -Q -C o -i holder 0x1500002
policy authorizenv tpm2 policyauthorizenv -Q -C o 0x1500002 2>>err

# --- signatures -----------------------------------------------------------------------------------
openssl genrsa -out signer.pem 2048 2>err
openssl rsa -in signer.pem -pubout -out signer.pub 2>>err
check load-signer tpm2 loadexternal -Q -C o -G rsa -u signer.pub -c signer.ctx -n signer.name
printf '\0\0\0\0' >expiration
openssl dgst -sha256 -sign signer.pem -out expiration.sig expiration
policy signed tpm2 policysigned -Q -g sha256 -s expiration.sig -f rsassa -c signer.ctx
seal signed
with_policy signed.session
check policysigned tpm2 policysigned -Q -S signed.session -g sha256 -s expiration.sig -f rsassa -c signer.ctx
opens signed
openssl dgst -sha256 -sign signer.pem -out secret.sig secret
with_policy signed.session
refuse policysigned-something-else 5db tpm2 policysigned -Q -S signed.session -g sha256 -s secret.sig -f rsassa -c signer.ctx
enough signed.session

policy authorize tpm2 policyauthorize -Q -i password.policy -n signer.name
openssl dgst -sha256 -sign signer.pem -out password.policy.sig password.policy
check verify-for-ticket tpm2 verifysignature -Q -c signer.ctx -g sha256 -m password.policy -s password.policy.sig -f rsassa -t password.ticket
seal authorize sesame
with_policy authorize.session
check policypassword-authorized tpm2 policypassword -Q -S authorize.session
check policyauthorize tpm2 policyauthorize -Q -S authorize.session -i password.policy -n signer.name -t password.ticket
opens authorize sesame
with_policy authorize.session
check policycommandcode-unauthorized tpm2 policycommandcode -Q -S authorize.session TPM2_CC_Unseal
refuse policyauthorize-other 1c4 tpm2 policyauthorize -Q -S authorize.session -i password.policy -n signer.name -t password.ticket
enough authorize.session

# --- another object's secret ----------------------------------------------------------------------
check changeauth-owner tpm2 changeauth -Q -c o owner
policy secret tpm2 policysecret -Q -c o owner
seal secret
with_policy secret.session
check policysecret tpm2 policysecret -Q -S secret.session -c o owner
opens secret
with_policy secret.session
refuse policysecret-wrong 9a2 tpm2 policysecret -Q -S secret.session -c o wrong
enough secret.session
check changeauth-owner-back tpm2 changeauth -Q -c o -p owner ''

# --- either, or -----------------------------------------------------------------------------------
policy either tpm2 policyor -Q sha256:password.policy,pcr.policy
seal either sesame
with_policy either.session
check policyor-password tpm2 policypassword -Q -S either.session
check policyor tpm2 policyor -Q -S either.session sha256:password.policy,pcr.policy
opens either sesame
with_policy either.session
check policyor-neither tpm2 policycommandcode -Q -S either.session TPM2_CC_Unseal
refuse policyor-refused 1c4 tpm2 policyor -Q -S either.session sha256:password.policy,pcr.policy
enough either.session

# --- time -----------------------------------------------------------------------------------------
policy countertimer tpm2 policycountertimer -Q --ult 60000
seal countertimer
with_policy countertimer.session
check policycountertimer tpm2 policycountertimer -Q -S countertimer.session --ult 60000
opens countertimer
with_policy countertimer.session
refuse policycountertimer-not-met 126 tpm2 policycountertimer -Q -S countertimer.session --ugt 3600000
enough countertimer.session

# --- what is named, written, templated ------------------------------------------------------------
policy nvwritten tpm2 policynvwritten -Q s
check nvdefine-once tpm2 nvdefine -Q -C o -s 8 -a 'policyread|policywrite|ownerread' -L nvwritten.policy 0x1500003
with_policy nvwritten.session
check policynvwritten tpm2 policynvwritten -Q -S nvwritten.session s
refuse nvwrite-before-written 99d tpm2 nvwrite -Q -P session:nvwritten.session -i five 0x1500003
enough nvwritten.session
head -c 32 /dev/urandom >some.digest
{ printf '\0\x20'; cat some.digest; } >some.2b
policy cphash tpm2 policycphash -Q --cphash some.2b
policy namehash tpm2 policynamehash -Q -n some.digest
policy template tpm2 policytemplate -Q --template-hash some.digest
with_policy restart.session
check restart-meets tpm2 policypassword -Q -S restart.session
check policyrestart tpm2 policyrestart -Q -S restart.session
refuse unseal-after-restart 99d tpm2 unseal -Q -c password.ctx -p session:restart.session+sesame -o plain
enough restart.session
