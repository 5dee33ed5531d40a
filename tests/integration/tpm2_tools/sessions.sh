# SPDX-License-Identifier: Apache-2.0
# Sessions: plain, bound, salted, encrypted, audited; and how many there may be.

primary parent.ctx
echo 'a secret' >secret
check create tpm2 create -Q -C parent.ctx -i secret -p sesame -u seal.pub -r seal.priv
check load tpm2 load -Q -C parent.ctx -u seal.pub -r seal.priv -c seal.ctx

# use NAME: unseals by the session NAME, and not with a wrong auth value.
use() {
  check "unseal-$1" tpm2 unseal -Q -c seal.ctx -p "session:$1+sesame" -o plain
  check "content-$1" cmp secret plain
  refuse "wrong-auth-$1" 98e tpm2 unseal -Q -c seal.ctx -p "session:$1+wrong" -o plain
  tpm2 flushcontext -Q "$1" 2>>err
}

check hmac-session tpm2 startauthsession -Q --hmac-session -S hmac.session
use hmac.session
check bound-session tpm2 startauthsession -Q --hmac-session --bind-context seal.ctx --bind-auth sesame -S bound.session
use bound.session
check salted-session tpm2 startauthsession -Q --hmac-session --tpmkey-context parent.ctx -S salted.session
use salted.session
check salted-bound-session tpm2 startauthsession -Q --hmac-session --tpmkey-context parent.ctx --bind-context seal.ctx --bind-auth sesame -S both.session
use both.session

# --- parameter encryption -------------------------------------------------------------------------
check encrypted-session tpm2 startauthsession -Q --hmac-session --tpmkey-context parent.ctx -S encrypted.session
check sessionconfig tpm2 sessionconfig -Q --enable-decrypt --enable-encrypt encrypted.session
use encrypted.session
check encrypted-create-session tpm2 startauthsession -Q --hmac-session --tpmkey-context parent.ctx -S encrypted.session
check sessionconfig-create tpm2 sessionconfig -Q --enable-decrypt --enable-encrypt encrypted.session
check create-encrypted tpm2 create -Q -C parent.ctx -P session:encrypted.session -i secret -p sesame -u e.pub -r e.priv
check load-created-encrypted tpm2 load -Q -C parent.ctx -u e.pub -r e.priv -c e.ctx
check unseal-created-encrypted tpm2 unseal -Q -c e.ctx -p sesame -o plain
check content-created-encrypted cmp secret plain
tpm2 flushcontext -Q encrypted.session 2>>err
check xor-session tpm2 startauthsession -Q --hmac-session --tpmkey-context parent.ctx -g sha384 -S xor.session
use xor.session

# --- audit ----------------------------------------------------------------------------------------
check audit-session tpm2 startauthsession -Q --audit-session -S audit.session
check audited tpm2 getrandom -S audit.session --hex 8 --cphash cp.hash --rphash rp.hash
check audited-getrandom tpm2 getrandom -S audit.session --hex 8
check create-ak tpm2 create -Q -C parent.ctx -G ecc256:ecdsa-sha256:null -u ak.pub -r ak.priv -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign|restricted'
check load-ak tpm2 load -Q -C parent.ctx -u ak.pub -r ak.priv -c ak.ctx
check sessionaudit tpm2 getsessionauditdigest -Q -c ak.ctx -g sha256 -m audit.msg -s audit.sig -S audit.session
check sessionaudit-signature tpm2 verifysignature -Q -c ak.ctx -g sha256 -m audit.msg -s audit.sig
tpm2 flushcontext -Q audit.session 2>>err

# --- how many -------------------------------------------------------------------------------------
for i in 1 2 3; do
  check "session-$i" tpm2 startauthsession -Q --policy-session -S "many$i.session"
done
for i in 1 2 3; do
  check "session-$i-lives" tpm2 policypassword -Q -S "many$i.session"
  check "session-$i-ends" tpm2 flushcontext -Q "many$i.session"
  differ "session-$i-is-gone" tpm2 policypassword -Q -S "many$i.session"
done
