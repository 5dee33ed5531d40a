# SPDX-License-Identifier: Apache-2.0
# What the TPM vouches for, by signatures that openssl or the tools verify.

echo 'a message' >message
check createek tpm2 createek -Q -G rsa -c ek.ctx -u ek.pub
check createek-ecc tpm2 createek -Q -G ecc -c ek-ecc.ctx -u ek-ecc.pub
check createak tpm2 createak -Q -C ek.ctx -G ecc -g sha256 -s ecdsa -c ak.ctx -u ak.pem -f pem -n ak.name
check createak-rsa tpm2 createak -Q -C ek.ctx -G rsa -g sha256 -s rsassa -c ak-rsa.ctx -u ak-rsa.pem -f pem -n ak-rsa.name

# --- quotes ---------------------------------------------------------------------------------------
for ak in ak ak-rsa; do
  check "quote-$ak" tpm2 quote -Q -c $ak.ctx -l sha256:0,1,2,16 -q cafe -m q.msg -s q.sig -o q.pcr -g sha256
  check "checkquote-$ak" tpm2 checkquote -Q -u $ak.pem -m q.msg -s q.sig -f q.pcr -g sha256 -q cafe
  differ "checkquote-nonce-$ak" tpm2 checkquote -Q -u $ak.pem -m q.msg -s q.sig -f q.pcr -g sha256 -q beef
done
check quote-before tpm2 quote -Q -c ak.ctx -l sha256:16 -q cafe -m before.msg -s before.sig -o before.pcr -g sha256
check pcrextend tpm2 pcrextend "16:sha256=$(sha256sum <message | cut -d' ' -f1)"
check quote-after tpm2 quote -Q -c ak.ctx -l sha256:16 -q cafe -m after.msg -s after.sig -o after.pcr -g sha256
differ checkquote-old-pcr tpm2 checkquote -Q -u ak.pem -m after.msg -s after.sig -f before.pcr -g sha256 -q cafe
differ checkquote-other-key tpm2 checkquote -Q -u ak-rsa.pem -m after.msg -s after.sig -f after.pcr -g sha256 -q cafe
check checkquote-after tpm2 checkquote -Q -u ak.pem -m after.msg -s after.sig -f after.pcr -g sha256 -q cafe
check print tpm2 print -t TPMS_ATTEST after.msg

# What begins like an attestation is not signed as a message: it could be one made up.
refuse restricted-key-signs-no-digest 3e0 sh -c 'head -c 32 /dev/urandom >digest; tpm2 sign -Q -c ak.ctx -g sha256 -d -o x digest'

# --- certificates ---------------------------------------------------------------------------------
primary parent.ctx
check create tpm2 create -Q -C parent.ctx -G ecc256 -u k.pub -r k.priv --creation-data k.data -d k.digest -t k.ticket
check load tpm2 load -Q -C parent.ctx -u k.pub -r k.priv -c k.ctx
check certify tpm2 certify -Q -c k.ctx -C ak.ctx -g sha256 -o certify.msg -s certify.sig
check certify-signature tpm2 verifysignature -Q -c ak.ctx -g sha256 -m certify.msg -s certify.sig
check name-of-key tpm2 readpublic -Q -c k.ctx -n k.name
check certify-names-the-key grep -q "$(xxd -p -c 64 k.name)" <(xxd -p -c 4096 certify.msg)
check certifycreation tpm2 certifycreation -Q -C ak.ctx -c k.ctx -d k.digest -t k.ticket -g sha256 -o creation.sig --attestation creation.msg
check certifycreation-signature tpm2 verifysignature -Q -c ak.ctx -g sha256 -m creation.msg -s creation.sig
refuse certifycreation-other-ticket 4e0 tpm2 certifycreation -Q -C ak.ctx -c parent.ctx -d k.digest -t k.ticket -g sha256 -o x --attestation y
check gettime tpm2 gettime -Q -c ak.ctx -g sha256 -o time.sig --attestation time.msg -q cafe
check gettime-signature tpm2 verifysignature -Q -c ak.ctx -g sha256 -m time.msg -s time.sig

# --- credentials ----------------------------------------------------------------------------------
# activate KEY: opens `credential` for that key.
activate() {
  check session tpm2 startauthsession -Q --policy-session -S ek.session
  check policysecret tpm2 policysecret -Q -S ek.session -c e
  "${@:2}" tpm2 activatecredential -Q -c "$1" -C ek.ctx -P session:ek.session -i credential -o activated
  tpm2 flushcontext -Q ek.session 2>>err
}
printf 'a secret' >secret
check makecredential tpm2 makecredential -Q -u ek.pub -s secret -n "$(xxd -p -c 256 ak.name)" -o credential
activate ak.ctx check activatecredential
check credential-round-trip cmp secret activated
activate ak-rsa.ctx refuse activate-for-another-key 1df
