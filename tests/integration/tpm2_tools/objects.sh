# SPDX-License-Identifier: Apache-2.0
# Keys and other objects: made, loaded, kept, used.

primary parent.ctx
echo 'a message' >message
echo 'another message' >other

# --- signing --------------------------------------------------------------------------------------
for kind in ecc256:ecdsa-sha256 ecc384:ecdsa-sha256 rsa2048:rsassa-sha256 rsa2048:rsapss-sha256; do
  name=${kind/:/-}
  scheme=${kind#*:}
  scheme=${scheme%-*}
  check "create-$name" tpm2 create -Q -C parent.ctx -G "$kind:null" -u k.pub -r k.priv -p auth
  check "load-$name" tpm2 load -Q -C parent.ctx -u k.pub -r k.priv -c k.ctx
  check "sign-$name" tpm2 sign -Q -c k.ctx -p auth -g sha256 -s "$scheme" -o "$name.sig" message
  refuse "sign-wrong-auth-$name" 98e tpm2 sign -Q -c k.ctx -p wrong -g sha256 -s "$scheme" -o x message
  check "verify-$name" tpm2 verifysignature -Q -c k.ctx -g sha256 -m message -s "$name.sig"
  refuse "verify-other-$name" 2db tpm2 verifysignature -Q -c k.ctx -g sha256 -m other -s "$name.sig"
  check "sign-plain-$name" tpm2 sign -Q -c k.ctx -p auth -g sha256 -s "$scheme" -f plain -o plain.sig message
  check "readpublic-$name" tpm2 readpublic -Q -c k.ctx -f pem -o k.pem
  padding=()
  [ "$scheme" = rsapss ] && padding=(-sigopt rsa_padding_mode:pss)
  check "openssl-$name" openssl dgst -sha256 -verify k.pem "${padding[@]}" -signature plain.sig message
done
refuse load-public-of-another 1df sh -c 'tpm2 create -Q -C parent.ctx -G ecc -u a.pub -r a.priv &&
  tpm2 create -Q -C parent.ctx -G ecc -u b.pub -r b.priv &&
  tpm2 flushcontext -Q -t && tpm2 load -Q -C parent.ctx -u a.pub -r b.priv -c x.ctx'

# --- auth values and persistence ------------------------------------------------------------------
check create tpm2 create -Q -C parent.ctx -G ecc256 -u s.pub -r s.priv -p old
check load tpm2 load -Q -C parent.ctx -u s.pub -r s.priv -c s.ctx
check changeauth tpm2 changeauth -Q -C parent.ctx -c s.ctx -p old -r s2.priv new
check load-changed tpm2 load -Q -C parent.ctx -u s.pub -r s2.priv -c s2.ctx
refuse sign-old-auth 98e tpm2 sign -Q -c s2.ctx -p old -g sha256 -o x message
check sign-new-auth tpm2 sign -Q -c s2.ctx -p new -g sha256 -o x message
check persist tpm2 evictcontrol -Q -C o -c s2.ctx 0x81010010
refuse persist-over-another 14c tpm2 evictcontrol -Q -C o -c s.ctx 0x81010010
check sign-persistent tpm2 sign -Q -c 0x81010010 -p new -g sha256 -o x message
check persistent-is-listed tpm2 getcap handles-persistent
same persistent-handle "$(grep -c 0x81010010 out)" 1
check evict tpm2 evictcontrol -Q -C o -c 0x81010010
refuse persistent-gone 18b tpm2 sign -Q -c 0x81010010 -p new -g sha256 -o x message
check createloaded tpm2 create -Q -C parent.ctx -G ecc -c loaded.ctx
check sign-createloaded tpm2 sign -Q -c loaded.ctx -g sha256 -o x message

# --- encryption -----------------------------------------------------------------------------------
check create-rsa tpm2 create -Q -C parent.ctx -G rsa2048 -u rsa.pub -r rsa.priv
check load-rsa tpm2 load -Q -C parent.ctx -u rsa.pub -r rsa.priv -c rsa.ctx
for scheme in rsaes oaep; do
  check "rsaencrypt-$scheme" tpm2 rsaencrypt -Q -c rsa.ctx -s "$scheme" -o cipher message
  check "rsadecrypt-$scheme" tpm2 rsadecrypt -Q -c rsa.ctx -s "$scheme" -o plain cipher
  check "rsa-round-trip-$scheme" cmp message plain
done
check rsapem tpm2 readpublic -Q -c rsa.ctx -f pem -o rsa.pem
check openssl-encrypts openssl pkeyutl -encrypt -pubin -inkey rsa.pem -in message -out cipher
check rsadecrypt-of-openssl tpm2 rsadecrypt -Q -c rsa.ctx -s rsaes -o plain cipher
check openssl-round-trip cmp message plain
for mode in cfb cbc ctr ofb; do
  head -c 64 /dev/urandom >blocks
  check "create-aes-$mode" tpm2 create -Q -C parent.ctx -G aes256$mode -u aes.pub -r aes.priv
  check "load-aes-$mode" tpm2 load -Q -C parent.ctx -u aes.pub -r aes.priv -c aes.ctx
  check "encrypt-$mode" tpm2 encryptdecrypt -Q -c aes.ctx -o cipher blocks
  differ "encrypted-$mode" cmp blocks cipher
  check "decrypt-$mode" tpm2 encryptdecrypt -Q -c aes.ctx -d -o plain cipher
  check "aes-round-trip-$mode" cmp blocks plain
done
check create-hmac tpm2 create -Q -C parent.ctx -G hmac -u hmac.pub -r hmac.priv
check load-hmac tpm2 load -Q -C parent.ctx -u hmac.pub -r hmac.priv -c hmac.ctx
head -c 5000 /dev/urandom >long
check hmac-sequence tpm2 hmac -c hmac.ctx --hex long
first=$(cat out)
check hmac-again tpm2 hmac -c hmac.ctx --hex long
same hmac-repeats "$(cat out)" "$first"

# --- key agreement --------------------------------------------------------------------------------
check create-ecdh tpm2 create -Q -C parent.ctx -G ecc256:ecdh -u dh.pub -r dh.priv
check load-ecdh tpm2 load -Q -C parent.ctx -u dh.pub -r dh.priv -c dh.ctx
check ecdhkeygen tpm2 ecdhkeygen -Q -c dh.ctx -u point -o secret1
check ecdhzgen tpm2 ecdhzgen -Q -c dh.ctx -u point -o secret2
check ecdh-agrees cmp secret1 secret2
check ecephemeral tpm2 ecephemeral -Q -u ephemeral.point -t counter ecc256
check geteccparameters tpm2 geteccparameters -Q -o curve ecc256

# --- keys from outside ----------------------------------------------------------------------------
openssl genrsa -out rsa-outside.pem 2048 2>err
openssl ecparam -name prime256v1 -genkey -noout -out ecc-outside.pem
head -c 16 /dev/urandom >aes-outside
head -c 32 /dev/urandom >hmac-outside
for kind in rsa:rsa-outside.pem ecc:ecc-outside.pem aes:aes-outside hmac:hmac-outside; do
  name=${kind%:*}
  file=${kind#*:}
  check "import-$name" tpm2 import -Q -C parent.ctx -G "$name" -i "$file" -u i.pub -r i.priv
  check "load-imported-$name" tpm2 load -Q -C parent.ctx -u i.pub -r i.priv -c "imported-$name.ctx"
done
check sign-imported tpm2 sign -Q -c imported-ecc.ctx -g sha256 -f plain -o sig message
check openssl-pubkey openssl ec -in ecc-outside.pem -pubout -out ecc-outside.pub
check openssl-verifies openssl dgst -sha256 -verify ecc-outside.pub -signature sig message
check hmac-imported tpm2 hmac -c imported-hmac.ctx --hex message
same hmac-value "$(cat out)" "$(openssl dgst -sha256 -mac HMAC -macopt "hexkey:$(xxd -p -c 64 hmac-outside)" <message | sed 's/.*= *//')"
check loadexternal tpm2 loadexternal -Q -C n -G rsa -r rsa-outside.pem -c outside.ctx
check sign-external tpm2 sign -Q -c outside.ctx -g sha256 -s rsassa -f plain -o sig message
check openssl-verifies-external openssl dgst -sha256 -verify <(openssl rsa -in rsa-outside.pem -pubout 2>/dev/null) -signature sig message
refuse loadexternal-private-in-owner 3c5 tpm2 loadexternal -Q -C o -G rsa -r rsa-outside.pem -c x.ctx

# --- sealed data ----------------------------------------------------------------------------------
check seal tpm2 create -Q -C parent.ctx -i message -p sesame -u seal.pub -r seal.priv
check load-seal tpm2 load -Q -C parent.ctx -u seal.pub -r seal.priv -c seal.ctx
check unseal tpm2 unseal -Q -c seal.ctx -p sesame -o plain
check unseal-content cmp message plain
refuse unseal-wrong-auth 98e tpm2 unseal -Q -c seal.ctx -p wrong -o plain
printf 'x%.0s' {1..129} >too-long
refuse seal-too-much 1d5 tpm2 create -Q -C parent.ctx -i too-long -u x -r y
