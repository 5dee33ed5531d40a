#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A broad walk through a TPM with the tpm2-tools that people use: hierarchies, objects, sessions,
# policies, NV of every kind, duplication, attestation, lockout and clock, over kills and restarts.
# Usage: tpm2_tools.sh VTPM_INSTANCE
set -u
program=$1
work=$(mktemp -d)
failed=0 passed=0

start() {
  coproc INSTANCE { exec "$program" --vmgs "$work/vm.vmgs" --create --ctrl "$work/tpm.ctrl" --data "$work/tpm" 2>&1; }
  instance=$INSTANCE_PID
  local line
  while read -r -t 20 -u "${INSTANCE[0]}" line; do
    case $line in *": ready") exec {INSTANCE[1]}>&-; return 0 ;; esac
  done
  echo "the instance does not get ready: $line" >&2
  exit 1
}
stop() { kill "-${1:-TERM}" "$instance"; wait "$instance" 2>/dev/null; }
trap 'kill -KILL "$instance" 2>/dev/null; rm -rf "$work"' EXIT

# check NAME COMMAND...: the command succeeds. refuse: it fails. The output stays in $work/out. There
# is no resource manager between, so what a tool leaves loaded is flushed; one that fails leaves its
# session as well.
check() {
  local name=$1; shift
  if "$@" >"$work/out" 2>"$work/err"; then passed=$((passed + 1)); else
    failed=$((failed + 1)); echo "FAILED $name: $*"; sed 's/^/    /' "$work/err"; fi
  tpm2 flushcontext -Q -t 2>/dev/null
}
refuse() {
  local name=$1; shift
  if "$@" >"$work/out" 2>"$work/err"; then failed=$((failed + 1)); echo "NOT REFUSED $name: $*"
  else passed=$((passed + 1)); fi
  tpm2 flushcontext -Q -t 2>/dev/null
  tpm2 flushcontext -Q -l 2>/dev/null
}
same() { check "$1" test "$2" = "$3"; }
property() { tpm2 getcap properties-variable | sed -n "s/^ *$1: *//p"; }

export TPM2TOOLS_TCTI=swtpm:path=$work/tpm
start
cd "$work" || exit 1

# --- start, self test, random, capabilities -------------------------------------------------------
check startup tpm2 startup -c
check selftest tpm2 selftest --fulltest
check testparms tpm2 testparms ecc256:ecdsa-sha256:null
refuse testparms-unknown tpm2 testparms rsa16384
check random tpm2 getrandom --hex 32
check stirrandom sh -c 'head -c 64 /dev/urandom | tpm2 stirrandom'
for capability in algorithms commands properties-fixed properties-variable pcrs ecc-curves; do
  check "getcap-$capability" tpm2 getcap "$capability"
done
check clock tpm2 readclock
before=$(sed -n 's/^ *clock: *//p' out)
check setclock tpm2 setclock $((before + 3600000))
refuse setclock-back tpm2 setclock "$before"
check clockrateadjust tpm2 clockrateadjust ss

# --- hierarchies ----------------------------------------------------------------------------------
for hierarchy in o e p n; do
  check "primary-ecc-$hierarchy" tpm2 createprimary -Q -C $hierarchy -G ecc -c "ecc-$hierarchy.ctx"
done
check primary-rsa tpm2 createprimary -Q -C o -G rsa2048 -c rsa.ctx
check createek tpm2 createek -Q -G rsa -c ek.ctx -u ek.pub
check createek-ecc tpm2 createek -Q -G ecc -c ek-ecc.ctx
check changeauth-owner tpm2 changeauth -Q -c o owner
refuse owner-without-auth tpm2 createprimary -Q -C o -G ecc -c x.ctx
check owner-with-auth tpm2 createprimary -Q -C o -P owner -G ecc -c x.ctx
check changeauth-owner-back tpm2 changeauth -Q -c o -p owner ''
check hierarchycontrol-off tpm2 hierarchycontrol -Q -C p ehEnable clear
refuse disabled-hierarchy tpm2 createprimary -Q -C e -G ecc -c x.ctx
check hierarchycontrol-on tpm2 hierarchycontrol -Q -C p ehEnable set

# --- objects --------------------------------------------------------------------------------------
echo 'a message' >message
check create-sign tpm2 create -Q -C ecc-o.ctx -G ecc256 -u sign.pub -r sign.priv -p auth
check load tpm2 load -Q -C ecc-o.ctx -u sign.pub -r sign.priv -c sign.ctx
check sign tpm2 sign -Q -c sign.ctx -p auth -g sha256 -f plain -o sig message
refuse sign-wrong-auth tpm2 sign -Q -c sign.ctx -p wrong -g sha256 -o x message
check readpublic tpm2 readpublic -Q -c sign.ctx -f pem -o sign.pem
check verify-openssl openssl dgst -sha256 -verify sign.pem -signature sig message
check verify tpm2 verifysignature -Q -c sign.ctx -g sha256 -m message -f ecdsa -s sig
echo 'another message' >other
refuse verify-other tpm2 verifysignature -Q -c sign.ctx -g sha256 -m other -f ecdsa -s sig
check changeauth-object tpm2 changeauth -Q -C ecc-o.ctx -c sign.ctx -p auth -r sign2.priv new
check load-changed tpm2 load -Q -C ecc-o.ctx -u sign.pub -r sign2.priv -c sign2.ctx
check sign-new-auth tpm2 sign -Q -c sign2.ctx -p new -g sha256 -o x message
check persist tpm2 evictcontrol -Q -C o -c sign2.ctx 0x81010010
check sign-persistent tpm2 sign -Q -c 0x81010010 -p new -g sha256 -o x message
check create-rsa tpm2 create -Q -C rsa.ctx -G rsa2048 -u rsa.pub -r rsa.priv
check load-rsa tpm2 load -Q -C rsa.ctx -u rsa.pub -r rsa.priv -c key.ctx
check rsaencrypt tpm2 rsaencrypt -Q -c key.ctx -s oaep -o cipher message
check rsadecrypt tpm2 rsadecrypt -Q -c key.ctx -s oaep -o plain cipher
check rsa-round-trip cmp message plain
check create-aes tpm2 create -Q -C rsa.ctx -G aes128cfb -u aes.pub -r aes.priv
check load-aes tpm2 load -Q -C rsa.ctx -u aes.pub -r aes.priv -c aes.ctx
check encrypt tpm2 encryptdecrypt -Q -c aes.ctx -o cipher message
check decrypt tpm2 encryptdecrypt -Q -c aes.ctx -d -o plain cipher
check aes-round-trip cmp message plain
check create-hmac tpm2 create -Q -C rsa.ctx -G hmac -u hmac.pub -r hmac.priv
check load-hmac tpm2 load -Q -C rsa.ctx -u hmac.pub -r hmac.priv -c hmac.ctx
check hmac tpm2 hmac -c hmac.ctx --hex message
check hash tpm2 hash -g sha384 --hex message
same hash-value "$(cat out)" "$(sha384sum <message | cut -d' ' -f1)"
check ecdh-keygen tpm2 create -Q -C rsa.ctx -G ecc256:ecdh -u dh.pub -r dh.priv
check ecdh-load tpm2 load -Q -C rsa.ctx -u dh.pub -r dh.priv -c dh.ctx
check ecdhkeygen tpm2 ecdhkeygen -Q -c dh.ctx -u point -o secret1
check ecdhzgen tpm2 ecdhzgen -Q -c dh.ctx -u point -o secret2
check ecdh-agree cmp secret1 secret2
openssl genrsa -out outside.pem 2048 2>/dev/null
check loadexternal tpm2 loadexternal -Q -C n -G rsa -r outside.pem -c outside.ctx
check import tpm2 import -Q -C rsa.ctx -G rsa -i outside.pem -u imported.pub -r imported.priv
check load-imported tpm2 load -Q -C rsa.ctx -u imported.pub -r imported.priv -c imported.ctx

# --- sealing, sessions, policies ------------------------------------------------------------------
check seal tpm2 create -Q -C rsa.ctx -i message -u seal.pub -r seal.priv
check load-seal tpm2 load -Q -C rsa.ctx -u seal.pub -r seal.priv -c seal.ctx
check unseal tpm2 unseal -Q -c seal.ctx -o plain
check unseal-content cmp message plain
check hmac-session tpm2 startauthsession -Q --hmac-session -c rsa.ctx -S hmac.session
check encrypted-session tpm2 sessionconfig -Q --enable-decrypt --enable-encrypt hmac.session
check unseal-over-encrypted-session tpm2 unseal -Q -c seal.ctx -p session:hmac.session -o plain
tpm2 flushcontext -Q hmac.session 2>/dev/null
check policy-pcr tpm2 createpolicy -Q --policy-pcr -l sha256:16 -L pcr.policy
check seal-pcr tpm2 create -Q -C rsa.ctx -i message -u pcr.pub -r pcr.priv -L pcr.policy
check load-pcr tpm2 load -Q -C rsa.ctx -u pcr.pub -r pcr.priv -c pcr.ctx
check unseal-pcr tpm2 unseal -Q -c pcr.ctx -p pcr:sha256:16 -o plain
digest=$(sha256sum <message | cut -d' ' -f1)
check pcrextend tpm2 pcrextend "16:sha256=$digest"
refuse unseal-after-extend tpm2 unseal -c pcr.ctx -p pcr:sha256:16
check pcrreset tpm2 pcrreset 16
check unseal-after-reset tpm2 unseal -Q -c pcr.ctx -p pcr:sha256:16 -o plain
check pcrevent sh -c 'tpm2 pcrevent 16 message'
refuse pcrreset-locality tpm2 pcrreset 17
trial() { # NAME POLICY-TOOL ARGS...: a policy digest by a trial session
  local name=$1; shift
  check "trial-$name" tpm2 startauthsession -Q -S trial.session
  check "policy-$name" "$@" -S trial.session -L "$name.policy"
  tpm2 flushcontext -Q trial.session 2>/dev/null
}
trial password tpm2 policypassword -Q
trial authvalue tpm2 policyauthvalue -Q
trial commandcode tpm2 policycommandcode -Q TPM2_CC_Unseal
trial locality tpm2 policylocality -Q zero
trial secret tpm2 policysecret -Q -c o
check seal-password tpm2 create -Q -C rsa.ctx -i message -p sesame -u pw.pub -r pw.priv -L password.policy
check load-password tpm2 load -Q -C rsa.ctx -u pw.pub -r pw.priv -c pw.ctx
tpm2 startauthsession -Q --policy-session -S pw.session
check policypassword tpm2 policypassword -Q -S pw.session
check unseal-password tpm2 unseal -Q -c pw.ctx -p session:pw.session+sesame -o plain
tpm2 flushcontext -Q pw.session
check policy-or tpm2 startauthsession -Q -S trial.session
check policyor tpm2 policyor -Q -S trial.session -L or.policy sha256:password.policy,authvalue.policy
tpm2 flushcontext -Q trial.session
check policy-signed-key openssl genrsa -out signer.pem 2048
openssl rsa -in signer.pem -pubout -out signer.pub 2>/dev/null
check load-signer tpm2 loadexternal -Q -C o -G rsa -u signer.pub -c signer.ctx -n signer.name
tpm2 startauthsession -Q -S trial.session
check policyauthorize tpm2 policyauthorize -Q -S trial.session -L authorize.policy -n signer.name -i password.policy
tpm2 flushcontext -Q trial.session

# --- NV of every kind -----------------------------------------------------------------------------
head -c 1500 /dev/urandom >blob
check nv-define tpm2 nvdefine -Q -C o -s 1500 -a 'ownerread|ownerwrite|authread|authwrite' 0x1500001
check nv-write tpm2 nvwrite -Q -C o -i blob 0x1500001
check nv-read tpm2 nvread -Q -C o -o read 0x1500001
check nv-content cmp blob read
check nv-offset sh -c 'printf abc | tpm2 nvwrite -Q -C o -i - --offset 10 0x1500001'
check nv-counter tpm2 nvdefine -Q -C o -a 'nt=counter|ownerread|ownerwrite' 0x1500002
check nv-increment tpm2 nvincrement -Q -C o 0x1500002
check nv-increment-again tpm2 nvincrement -Q -C o 0x1500002
check nv-bits tpm2 nvdefine -Q -C o -a 'nt=bits|ownerread|ownerwrite' 0x1500003
check nv-setbits tpm2 nvsetbits -Q -C o -i 0x5 0x1500003
check nv-extend-define tpm2 nvdefine -Q -C o -a 'nt=extend|ownerread|ownerwrite' 0x1500004
check nv-extend tpm2 nvextend -Q -C o -i message 0x1500004
check nv-orderly tpm2 nvdefine -Q -C o -s 8 -a 'orderly|ownerread|ownerwrite' 0x1500005
check nv-orderly-write sh -c 'printf orderly! | tpm2 nvwrite -Q -C o -i - 0x1500005'
check nv-password tpm2 nvdefine -Q -C o -s 8 -a 'authread|authwrite' -p secret 0x1500006
check nv-password-write sh -c 'printf password | tpm2 nvwrite -Q -P secret -i - 0x1500006'
refuse nv-password-missing tpm2 nvread -Q 0x1500006
check nv-policy tpm2 nvdefine -Q -C o -s 8 -a 'policyread|ownerwrite' -L pcr.policy 0x1500007
check nv-policy-write sh -c 'printf policied | tpm2 nvwrite -Q -C o -i - 0x1500007'
check nv-writelock-define tpm2 nvdefine -Q -C o -s 8 -a 'ownerread|ownerwrite|write_stclear' 0x1500008
check nv-writelock-write sh -c 'printf locked!! | tpm2 nvwrite -Q -C o -i - 0x1500008'
check nv-writelock tpm2 nvwritelock -Q -C o 0x1500008
refuse nv-write-locked sh -c 'printf xxxxxxxx | tpm2 nvwrite -Q -C o -i - 0x1500008'
check nv-readpublic tpm2 nvreadpublic 0x1500001
check nv-undefine tpm2 nvundefine -Q -C o 0x1500004
refuse nv-gone tpm2 nvread -Q -C o 0x1500004
refuse nv-twice tpm2 nvdefine -Q -C o -s 8 0x1500001
check nv-certify-ak tpm2 createak -Q -C ek.ctx -c ak.ctx -u ak.pub -f pem -n ak.name
check nvcertify tpm2 nvcertify -Q -C ak.ctx -c o -g sha256 -o nv.sig --attestation nv.att --size 8 0x1500005

# --- duplication ----------------------------------------------------------------------------------
tpm2 startauthsession -Q -S trial.session
tpm2 policycommandcode -Q -S trial.session -L dup.policy TPM2_CC_Duplicate
tpm2 flushcontext -Q trial.session
check new-parent tpm2 create -Q -C rsa.ctx -G rsa2048 -a 'restricted|decrypt|fixedtpm|fixedparent|sensitivedataorigin|userwithauth' -u parent.pub -r parent.priv
check load-parent tpm2 load -Q -C rsa.ctx -u parent.pub -r parent.priv -c parent.ctx
check create-duplicable tpm2 create -Q -C rsa.ctx -G rsa2048 -L dup.policy -a 'sensitivedataorigin|userwithauth|decrypt|sign' -u dup.pub -r dup.priv
check load-duplicable tpm2 load -Q -C rsa.ctx -u dup.pub -r dup.priv -c dup.ctx
tpm2 startauthsession -Q --policy-session -S dup.session
tpm2 policycommandcode -Q -S dup.session TPM2_CC_Duplicate
check duplicate tpm2 duplicate -Q -C parent.ctx -c dup.ctx -G null -p session:dup.session -r dup.blob -s dup.seed
tpm2 flushcontext -Q dup.session
check import-duplicate tpm2 import -Q -C parent.ctx -u dup.pub -i dup.blob -r dup2.priv -s dup.seed
check load-duplicate tpm2 load -Q -C parent.ctx -u dup.pub -r dup2.priv -c dup2.ctx

# --- attestation ----------------------------------------------------------------------------------
check quote tpm2 quote -Q -c ak.ctx -l sha256:0,1,2,16 -q cafe -m q.msg -s q.sig -o q.pcr -g sha256
check checkquote tpm2 checkquote -Q -u ak.pub -m q.msg -s q.sig -f q.pcr -g sha256 -q cafe
refuse checkquote-nonce tpm2 checkquote -Q -u ak.pub -m q.msg -s q.sig -f q.pcr -g sha256 -q beef
check certify tpm2 certify -Q -c key.ctx -C ak.ctx -g sha256 -o cert.att -s cert.sig
check certifycreation-key tpm2 create -Q -C ecc-o.ctx -G ecc256 -u c.pub -r c.priv -d c.digest -t c.ticket
check gettime tpm2 gettime -Q -c ak.ctx -g sha256 -o time.sig --attestation time.att
printf 'a secret' >plain
check makecredential tpm2 makecredential -Q -u ek.pub -s plain -n "$(xxd -p -c 256 ak.name)" -o credential
tpm2 startauthsession -Q --policy-session -S ek.session
tpm2 policysecret -Q -S ek.session -c e
check activatecredential tpm2 activatecredential -Q -c ak.ctx -C ek.ctx -P session:ek.session -i credential -o activated
tpm2 flushcontext -Q ek.session
check credential-round-trip cmp plain activated

# --- what survives ---------------------------------------------------------------------------------
# Wrong passwords were tried above, and to the TPM a loss of power may hide one more.
check lockout-clear-before tpm2 dictionarylockout -Q --clear-lockout
stop KILL
start
check startup-after-kill tpm2 startup -c
check nv-after-kill tpm2 nvread -Q -C o -o read 0x1500001
check nv-offset-after-kill sh -c 'printf abc | dd of=blob bs=1 seek=10 conv=notrunc 2>/dev/null; cmp blob read'
check persistent-after-kill tpm2 sign -Q -c 0x81010010 -p new -g sha256 -o sig -f plain message
check persistent-verifies openssl dgst -sha256 -verify sign.pem -signature sig message
counter=$(tpm2 nvread -C o 0x1500002 | xxd -p)
check counter-after-kill tpm2 nvincrement -Q -C o 0x1500002
same counter-value "$((0x$counter + 1))" "$((0x$(tpm2 nvread -C o 0x1500002 | xxd -p)))"
check bits-after-kill sh -c 'test "$(tpm2 nvread -C o 0x1500003 | xxd -p)" = 0000000000000005'
check nv-write-unlocked sh -c 'printf unlocked | tpm2 nvwrite -Q -C o -i - 0x1500008'
check reload-after-kill tpm2 createprimary -Q -C o -G rsa2048 -c rsa.ctx
check unseal-after-kill sh -c 'tpm2 load -Q -C rsa.ctx -u seal.pub -r seal.priv -c seal.ctx && tpm2 unseal -Q -c seal.ctx -o plain && cmp plain message'
check nv-orderly-again sh -c 'printf orderly! | tpm2 nvwrite -Q -C o -i - 0x1500005'
check shutdown-state tpm2 shutdown
stop
start
check startup-state tpm2 startup
check nv-orderly-after-shutdown sh -c 'test "$(tpm2 nvread -C o 0x1500005)" = orderly!'

# --- dictionary attack lockout ---------------------------------------------------------------------
check lockout-setup tpm2 dictionarylockout -Q --setup-parameters --max-tries=3 --recovery-time=3600 --lockout-recovery-time=3600
check da-object tpm2 createprimary -Q -C o -G ecc -p right -c da.ctx
for _ in 1 2 3 4; do tpm2 create -Q -C da.ctx -P wrong -G ecc -u x -r y >/dev/null 2>&1; done
tpm2 flushcontext -Q -t
same locked-out "$(property inLockout)" 1
refuse lockout-holds tpm2 create -Q -C da.ctx -P right -G ecc -u x -r y
check lockout-clear tpm2 dictionarylockout -Q --clear-lockout
check lockout-cleared tpm2 create -Q -C da.ctx -P right -G ecc -u x -r y
same lockout-counter "$(property TPM2_PT_LOCKOUT_COUNTER)" 0x0

# --- clear -----------------------------------------------------------------------------------------
check clear tpm2 clear -Q -c p
refuse persistent-gone tpm2 readpublic -Q -c 0x81010010
refuse nv-gone-after-clear tpm2 nvread -Q -C o 0x1500001
check works-after-clear tpm2 createprimary -Q -C o -G ecc -c x.ctx

stop
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
