# SPDX-License-Identifier: Apache-2.0
# NV indices of every type, their attributes, locks and certificates.

# hex FILE...: what is in them.
hex() { cat "$@" | xxd -p -c 4096; }

# --- ordinary -------------------------------------------------------------------------------------
head -c 1500 /dev/urandom >blob
check define tpm2 nvdefine -Q -C o -s 1500 -a 'ownerread|ownerwrite|authread|authwrite' 0x1500001
refuse read-before-written 14a tpm2 nvread -Q -C o 0x1500001
check write tpm2 nvwrite -Q -C o -i blob 0x1500001
check read tpm2 nvread -Q -C o -o read 0x1500001
check content cmp blob read
printf abc >abc
check write-offset tpm2 nvwrite -Q -C o -i abc --offset 10 0x1500001
printf abc | dd of=blob bs=1 seek=10 conv=notrunc 2>err
check read-offset tpm2 nvread -Q -C o -o read 0x1500001
check content-offset cmp blob read
check read-part tpm2 nvread -Q -C o -s 3 --offset 10 -o read 0x1500001
check content-part cmp abc read
differ write-past-its-end tpm2 nvwrite -Q -C o -i blob --offset 1 0x1500001
refuse defined-already 14c tpm2 nvdefine -Q -C o -s 8 0x1500001
refuse too-big 2d5 tpm2 nvdefine -Q -C o -s 4096 0x1500099
check readpublic tpm2 nvreadpublic 0x1500001
same readpublic-size "$(sed -n 's/^ *size: *//p' out)" 1500
check by-owner-only tpm2 nvdefine -Q -C o -s 8 -a 'ownerread|ownerwrite' 0x1500002
refuse read-by-index 12f tpm2 nvread -Q 0x1500002
check platform tpm2 nvdefine -Q -C p -s 8 -a 'ppread|ppwrite|platformcreate|no_da' 0x1400010
printf 12345678 >eight
check platform-write tpm2 nvwrite -Q -C p -i eight 0x1400010
refuse platform-read-by-owner 149 tpm2 nvread -Q -C o 0x1400010
refuse platform-undefine-by-owner 149 tpm2 nvundefine -Q -C o 0x1400010

# --- auth values ----------------------------------------------------------------------------------
check password-define tpm2 nvdefine -Q -C o -s 8 -a 'authread|authwrite' -p secret 0x1500003
check password-write tpm2 nvwrite -Q -P secret -i eight 0x1500003
check password-read tpm2 nvread -Q -P secret -o read 0x1500003
check password-content cmp eight read
refuse password-missing 98e tpm2 nvread -Q 0x1500003
refuse password-wrong 98e tpm2 nvread -Q -P wrong 0x1500003

# --- counter --------------------------------------------------------------------------------------
check counter-define tpm2 nvdefine -Q -C o -a 'nt=counter|ownerread|ownerwrite' 0x1500010
check increment tpm2 nvincrement -Q -C o 0x1500010
check counter-read tpm2 nvread -C o -o first 0x1500010
for _ in 1 2 3; do check increment-more tpm2 nvincrement -Q -C o 0x1500010; done
check counter-read-again tpm2 nvread -C o -o second 0x1500010
same counter-counts $((0x$(hex second) - 0x$(hex first))) 3
refuse counter-write 82 tpm2 nvwrite -Q -C o -i eight 0x1500010
check counter-undefine tpm2 nvundefine -Q -C o 0x1500010
check counter-define-again tpm2 nvdefine -Q -C o -a 'nt=counter|ownerread|ownerwrite' 0x1500011
check increment-again tpm2 nvincrement -Q -C o 0x1500011
check counter-read-third tpm2 nvread -C o -o third 0x1500011
check counters-never-go-back test $((0x$(hex third))) -gt $((0x$(hex second)))

# --- bits and extend ------------------------------------------------------------------------------
check bits-define tpm2 nvdefine -Q -C o -a 'nt=bits|ownerread|ownerwrite' 0x1500020
check setbits tpm2 nvsetbits -Q -C o -i 0x5 0x1500020
check setbits-more tpm2 nvsetbits -Q -C o -i 0x8000000000000002 0x1500020
check bits-read tpm2 nvread -C o -o bits 0x1500020
same bits-are-or-ed "$(hex bits)" 8000000000000007
check extend-define tpm2 nvdefine -Q -C o -a 'nt=extend|ownerread|ownerwrite' 0x1500021
check extend tpm2 nvextend -Q -C o -i eight 0x1500021
check extend-read tpm2 nvread -C o -o extended 0x1500021
same extended-value "$(hex extended)" "$({ head -c 32 /dev/zero; cat eight; } | sha256sum | cut -d' ' -f1)"

# --- pins -----------------------------------------------------------------------------------------
# A PIN index holds how often its auth value was right (pass) or wrong (fail), and how often it may.
printf '\0\0\0\0\0\0\0\2' >limit2
check pinpass-define tpm2 nvdefine -Q -C o -a 'nt=pinpass|ownerwrite|ownerread|authread|no_da' -p pin 0x1500030
check pinpass-write tpm2 nvwrite -Q -C o -i limit2 0x1500030
check pinpass-first tpm2 nvread -P pin -o pin 0x1500030
check pinpass-second tpm2 nvread -P pin -o pin 0x1500030
refuse pinpass-used-up 12f tpm2 nvread -P pin -o pin 0x1500030
check pinpass-read tpm2 nvread -C o -o pin 0x1500030
same pinpass-count "$(hex pin)" 0000000200000002
check pinpass-reset tpm2 nvwrite -Q -C o -i limit2 0x1500030
check pinpass-again tpm2 nvread -P pin -o pin 0x1500030
check pinfail-define tpm2 nvdefine -Q -C o -a 'nt=pinfail|ownerwrite|ownerread|authread|no_da' -p pin 0x1500031
check pinfail-write tpm2 nvwrite -Q -C o -i limit2 0x1500031
refuse pinfail-first 9a2 tpm2 nvread -P wrong 0x1500031
check pinfail-right-forgives tpm2 nvread -P pin -o pin 0x1500031
refuse pinfail-second 9a2 tpm2 nvread -P wrong 0x1500031
refuse pinfail-third 9a2 tpm2 nvread -P wrong 0x1500031
refuse pinfail-locked 12f tpm2 nvread -P pin -o pin 0x1500031
check pinfail-read tpm2 nvread -C o -o pin 0x1500031
same pinfail-count "$(hex pin)" 0000000200000002

# --- policies -------------------------------------------------------------------------------------
policy pcr tpm2 policypcr -Q -l sha256:16
check policy-define tpm2 nvdefine -Q -C o -s 8 -a 'policyread|ownerwrite' -L pcr.policy 0x1500040
check policy-write tpm2 nvwrite -Q -C o -i eight 0x1500040
check policy-read tpm2 nvread -Q -P pcr:sha256:16 -o read 0x1500040
check policy-content cmp eight read
refuse policy-without 149 tpm2 nvread -Q -C o 0x1500040
check policydelete tpm2 startauthsession -Q -S trial.session
check policydelete-code tpm2 policycommandcode -Q -S trial.session -L delete.policy TPM2_CC_NV_UndefineSpaceSpecial
tpm2 flushcontext -Q trial.session
check special-define tpm2 nvdefine -Q -C p -s 8 -a 'ppread|ppwrite|platformcreate|policydelete|policywrite' -L delete.policy 0x1400012
differ special-undefine tpm2 nvundefine -Q -C p 0x1400012
check special-session tpm2 startauthsession -Q --policy-session -S delete.session
check special-policy tpm2 policycommandcode -Q -S delete.session TPM2_CC_NV_UndefineSpaceSpecial
check special-undefine-by-policy tpm2 nvundefine -Q -S delete.session 0x1400012
tpm2 flushcontext -Q delete.session 2>>err

# --- locks ----------------------------------------------------------------------------------------
check writelock-define tpm2 nvdefine -Q -C o -s 8 -a 'ownerread|ownerwrite|write_stclear' 0x1500050
check writelock-write tpm2 nvwrite -Q -C o -i eight 0x1500050
check writelock tpm2 nvwritelock -Q -C o 0x1500050
refuse write-locked 148 tpm2 nvwrite -Q -C o -i eight 0x1500050
check read-write-locked tpm2 nvread -Q -C o -o read 0x1500050
check writedefine-define tpm2 nvdefine -Q -C o -s 8 -a 'ownerread|ownerwrite|writedefine' 0x1500051
check writedefine-write tpm2 nvwrite -Q -C o -i eight 0x1500051
check writedefine-lock tpm2 nvwritelock -Q -C o 0x1500051
check readlock-define tpm2 nvdefine -Q -C o -s 8 -a 'ownerread|ownerwrite|read_stclear' 0x1500052
check readlock-write tpm2 nvwrite -Q -C o -i eight 0x1500052
check readlock tpm2 nvreadlock -Q -C o 0x1500052
refuse read-locked 148 tpm2 nvread -Q -C o 0x1500052
check global-define tpm2 nvdefine -Q -C o -s 8 -a 'ownerread|ownerwrite|globallock' 0x1500053
check global-write tpm2 nvwrite -Q -C o -i eight 0x1500053
check globallock tpm2 nvwritelock -Q -C o --global
refuse write-globally-locked 148 tpm2 nvwrite -Q -C o -i eight 0x1500053
power_off KILL
power_on
check write-unlocked-by-reset tpm2 nvwrite -Q -C o -i eight 0x1500050
check read-unlocked-by-reset tpm2 nvread -Q -C o -o read 0x1500052
refuse write-locked-for-good 148 tpm2 nvwrite -Q -C o -i eight 0x1500051

# --- orderly --------------------------------------------------------------------------------------
# Kept in memory until a shutdown; TPM 2.0 Part 1 has it survive a restart, and no reset.
check orderly-define tpm2 nvdefine -Q -C o -s 8 -a 'orderly|ownerread|ownerwrite' 0x1500060
check orderly-write tpm2 nvwrite -Q -C o -i eight 0x1500060
tpm2 shutdown || fail orderly-sleep
power_off TERM
power_on
check orderly-read tpm2 nvread -Q -C o -o read 0x1500060
check orderly-content cmp eight read
power_off KILL
power_on
refuse orderly-lost 14a tpm2 nvread -Q -C o 0x1500060
check orderly-counter-define tpm2 nvdefine -Q -C o -a 'nt=counter|orderly|ownerread|ownerwrite' 0x1500061
check orderly-increment tpm2 nvincrement -Q -C o 0x1500061
check orderly-counter-read tpm2 nvread -C o -o first 0x1500061
power_off KILL
power_on
check orderly-increment-after-kill tpm2 nvincrement -Q -C o 0x1500061
check orderly-counter-read-after-kill tpm2 nvread -C o -o second 0x1500061
check orderly-counter-never-goes-back test $((0x$(hex second))) -gt $((0x$(hex first)))

# --- certificates ---------------------------------------------------------------------------------
primary parent.ctx
check create-ak tpm2 create -Q -C parent.ctx -G ecc256:ecdsa-sha256:null -u ak.pub -r ak.priv -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign|restricted'
check load-ak tpm2 load -Q -C parent.ctx -u ak.pub -r ak.priv -c ak.ctx
check nvcertify tpm2 nvcertify -Q -C ak.ctx -c o -g sha256 -o nv.sig --attestation nv.msg --size 8 0x1500051
check nvcertify-signature tpm2 verifysignature -Q -c ak.ctx -g sha256 -m nv.msg -s nv.sig
same nvcertify-content "$(tail -c 8 nv.msg)" 12345678

# --- gone -----------------------------------------------------------------------------------------
check undefine tpm2 nvundefine -Q -C o 0x1500051
refuse gone 18b tpm2 nvread -Q -C o 0x1500051
differ undefine-again tpm2 nvundefine -Q -C o 0x1500051
