# SPDX-License-Identifier: Apache-2.0
# A key that moves from one parent to another, and only where its policy lets it.

primary parent.ctx
echo 'a message' >message
# In the null hierarchy, so that it stands for another TPM's.
check other-parent tpm2 createprimary -Q -C n -G rsa2048 -c other.ctx
check other-public tpm2 readpublic -Q -c other.ctx -o other.pub -n other.name
check parent-name tpm2 readpublic -Q -c parent.ctx -n parent.name
policy duplicate tpm2 policycommandcode -Q TPM2_CC_Duplicate

may_duplicate() {
  check session tpm2 startauthsession -Q --policy-session -S d.session
  check policy tpm2 policycommandcode -Q -S d.session TPM2_CC_Duplicate
}

check create tpm2 create -Q -C parent.ctx -G ecc256 -L duplicate.policy -a 'sensitivedataorigin|userwithauth|sign' -u k.pub -r k.priv -p sesame
check load tpm2 load -Q -C parent.ctx -u k.pub -r k.priv -c k.ctx
check sign tpm2 sign -Q -c k.ctx -p sesame -g sha256 -o k.sig message

# --- with and without inner encryption ------------------------------------------------------------
for inner in null aes; do
  keep=()
  [ $inner = aes ] && keep=(-o inner.key)
  give=()
  [ $inner = aes ] && give=(-k inner.key)
  may_duplicate
  check "duplicate-$inner" tpm2 duplicate -Q -C other.ctx -c k.ctx -G $inner "${keep[@]}" -p session:d.session -r moved.priv -s moved.seed
  tpm2 flushcontext -Q d.session
  check "import-$inner" tpm2 import -Q -C other.ctx -u k.pub -i moved.priv "${give[@]}" -r arrived.priv -s moved.seed
  check "load-$inner" tpm2 load -Q -C other.ctx -u k.pub -r arrived.priv -c arrived.ctx
  check "sign-$inner" tpm2 sign -Q -c arrived.ctx -p sesame -g sha256 -o arrived.sig message
  check "verify-$inner" tpm2 verifysignature -Q -c k.ctx -g sha256 -m message -s arrived.sig
  refuse "wrong-auth-$inner" 98e tpm2 sign -Q -c arrived.ctx -p wrong -g sha256 -o x message
done
differ import-without-inner-key tpm2 import -Q -C other.ctx -u k.pub -i moved.priv -r x.priv -s moved.seed
cp moved.priv spoilt.priv
printf '\377' | dd of=spoilt.priv bs=1 seek=40 conv=notrunc 2>err
differ import-spoilt tpm2 import -Q -C other.ctx -u k.pub -i spoilt.priv -k inner.key -r x.priv -s moved.seed

# --- refused --------------------------------------------------------------------------------------
check create-fixed tpm2 create -Q -C parent.ctx -G ecc256 -L duplicate.policy -u f.pub -r f.priv
check load-fixed tpm2 load -Q -C parent.ctx -u f.pub -r f.priv -c f.ctx
may_duplicate
refuse duplicate-fixed 182 tpm2 duplicate -Q -C other.ctx -c f.ctx -G null -p session:d.session -r x -s y
tpm2 flushcontext -Q d.session 2>>err
check wrong-policy-session tpm2 startauthsession -Q --policy-session -S d.session
check wrong-policy tpm2 policypassword -Q -S d.session
refuse duplicate-wrong-policy 99d tpm2 duplicate -Q -C other.ctx -c k.ctx -G null -p session:d.session -r x -s y
tpm2 flushcontext -Q d.session 2>>err

# --- to one parent only ---------------------------------------------------------------------------
policy select tpm2 policyduplicationselect -Q -N other.name
check create-selected tpm2 create -Q -C parent.ctx -G ecc256 -L select.policy -a 'sensitivedataorigin|sign|userwithauth' -u s.pub -r s.priv
check load-selected tpm2 load -Q -C parent.ctx -u s.pub -r s.priv -c s.ctx -n s.name
select_parent() {
  check select-session tpm2 startauthsession -Q --policy-session -S s.session
  check policyduplicationselect tpm2 policyduplicationselect -Q -S s.session -N "$1" -n s.name
}
select_parent other.name
check duplicate-selected tpm2 duplicate -Q -C other.ctx -c s.ctx -G null -p session:s.session -r moved.priv -s moved.seed
tpm2 flushcontext -Q s.session
check import-selected tpm2 import -Q -C other.ctx -u s.pub -i moved.priv -r arrived.priv -s moved.seed
check load-arrived tpm2 load -Q -C other.ctx -u s.pub -r arrived.priv -c arrived.ctx
select_parent parent.name
refuse duplicate-elsewhere 99d tpm2 duplicate -Q -C parent.ctx -c s.ctx -G null -p session:s.session -r x -s y
tpm2 flushcontext -Q s.session 2>>err
