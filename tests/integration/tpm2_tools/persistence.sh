# SPDX-License-Identifier: Apache-2.0
# What a guest has kept is there after its instance was killed, and after an orderly end.

primary parent.ctx
echo 'a secret' >secret
printf 12345678 >eight
check pcrpolicy tpm2 createpolicy -Q --policy-pcr -l sha256:16 -L pcr.policy
check seal tpm2 create -Q -C parent.ctx -i secret -L pcr.policy -u seal.pub -r seal.priv
check create tpm2 create -Q -C parent.ctx -G ecc256 -u k.pub -r k.priv -p old
check load tpm2 load -Q -C parent.ctx -u k.pub -r k.priv -c k.ctx
check readpublic tpm2 readpublic -Q -c k.ctx -f pem -o k.pem -n k.name
check persist tpm2 evictcontrol -Q -C o -c k.ctx 0x81010010
check define tpm2 nvdefine -Q -C o -s 8 -a 'ownerread|ownerwrite' 0x1500001
check write tpm2 nvwrite -Q -C o -i eight 0x1500001
check counter tpm2 nvdefine -Q -C o -a 'nt=counter|ownerread|ownerwrite' 0x1500002
check increment tpm2 nvincrement -Q -C o 0x1500002
check changeauth tpm2 changeauth -Q -c e endorsement
check pcrextend tpm2 pcrextend "23:sha256=$(sha256sum <secret | cut -d' ' -f1)"

for signal in KILL TERM; do
  counter=$(tpm2 nvread -C o 0x1500002 | xxd -p)
  printf '%08d' $RANDOM >last
  check "write-before-$signal" tpm2 nvwrite -Q -C o -i last 0x1500001
  power_off $signal
  power_on
  check "read-after-$signal" tpm2 nvread -Q -C o -o read 0x1500001
  check "content-after-$signal" cmp last read
  check "increment-after-$signal" tpm2 nvincrement -Q -C o 0x1500002
  same "counter-after-$signal" $((0x$(tpm2 nvread -C o 0x1500002 | xxd -p))) $((0x$counter + 1))
  check "sign-after-$signal" tpm2 sign -Q -c 0x81010010 -p old -g sha256 -f plain -o sig secret
  check "verify-after-$signal" openssl dgst -sha256 -verify k.pem -signature sig secret
  refuse "wrong-auth-after-$signal" 98e tpm2 sign -Q -c 0x81010010 -p wrong -g sha256 -o x secret
  check "primary-after-$signal" tpm2 createprimary -Q -C o -G ecc -c parent.ctx
  check "load-after-$signal" tpm2 load -Q -C parent.ctx -u seal.pub -r seal.priv -c seal.ctx
  check "unseal-after-$signal" tpm2 unseal -Q -c seal.ctx -p pcr:sha256:16 -o plain
  check "unsealed-after-$signal" cmp secret plain
  refuse "endorsement-after-$signal" 9a2 tpm2 createprimary -Q -C e -G ecc -c x.ctx
  check "endorsement-auth-after-$signal" tpm2 createprimary -Q -C e -P endorsement -G ecc -c x.ctx
  same "pcr-after-$signal" "$(tpm2 pcrread sha256:23 | sed -n 's/.*23: *0x//p')" "$(printf '0%.0s' {1..64})"
done
check loaded-key-is-gone tpm2 getcap handles-transient
same no-transient-objects "$(cat out)" ''
