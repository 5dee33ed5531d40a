# SPDX-License-Identifier: Apache-2.0
# Owner, endorsement, platform and null: keys, auth values, switches, clear.

for hierarchy in o e p n; do
  check "primary-$hierarchy" tpm2 createprimary -Q -C $hierarchy -G ecc -c "$hierarchy.ctx"
  check "primary-again-$hierarchy" tpm2 createprimary -Q -C $hierarchy -G ecc -c "$hierarchy-again.ctx"
  check "name-$hierarchy" tpm2 readpublic -Q -c "$hierarchy.ctx" -n "$hierarchy.name"
  check "name-again-$hierarchy" tpm2 readpublic -Q -c "$hierarchy-again.ctx" -n "$hierarchy-again.name"
  check "primary-repeats-$hierarchy" cmp "$hierarchy.name" "$hierarchy-again.name"
done
differ hierarchies-have-seeds-of-their-own cmp o.name e.name
check primary-rsa tpm2 createprimary -Q -C o -G rsa2048 -c rsa.ctx
check primary-keyedhash tpm2 createprimary -Q -C o -G hmac -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign' -c hmac.ctx
check primary-aes tpm2 createprimary -Q -C o -G aes -c aes.ctx

# --- auth values ----------------------------------------------------------------------------------
for hierarchy in o e p; do
  check "changeauth-$hierarchy" tpm2 changeauth -Q -c $hierarchy "secret-$hierarchy"
  refuse "without-auth-$hierarchy" 9a2 tpm2 createprimary -Q -C $hierarchy -G ecc -c x.ctx
  refuse "wrong-auth-$hierarchy" 9a2 tpm2 createprimary -Q -C $hierarchy -P wrong -G ecc -c x.ctx
  check "with-auth-$hierarchy" tpm2 createprimary -Q -C $hierarchy -P "secret-$hierarchy" -G ecc -c x.ctx
  check "changeauth-back-$hierarchy" tpm2 changeauth -Q -c $hierarchy -p "secret-$hierarchy" ''
  check "without-auth-again-$hierarchy" tpm2 createprimary -Q -C $hierarchy -G ecc -c x.ctx
done
check changeauth-lockout tpm2 changeauth -Q -c l lockout
same lockout-auth-is-set "$(property lockoutAuthSet)" 1
check changeauth-lockout-back tpm2 changeauth -Q -c l -p lockout ''
check setprimarypolicy tpm2 setprimarypolicy -Q -C o
check changeeps tpm2 changeeps
check name-of-new-endorsement tpm2 createprimary -Q -C e -G ecc -c e2.ctx
check new-endorsement-name tpm2 readpublic -Q -c e2.ctx -n e2.name
differ endorsement-seed-is-new cmp e.name e2.name
check changepps tpm2 changepps

# --- switches -------------------------------------------------------------------------------------
check hierarchycontrol-off tpm2 hierarchycontrol -Q -C p ehEnable clear
refuse disabled-hierarchy 185 tpm2 createprimary -Q -C e -G ecc -c x.ctx
differ owner-does-not-switch-on tpm2 hierarchycontrol -Q -C o ehEnable set
check hierarchycontrol-on tpm2 hierarchycontrol -Q -C p ehEnable set
check enabled-hierarchy tpm2 createprimary -Q -C e -G ecc -c x.ctx

# --- clear ----------------------------------------------------------------------------------------
check persist tpm2 evictcontrol -Q -C o -c rsa.ctx 0x81010001
check nv tpm2 nvdefine -Q -C o -s 8 0x1500001
check clearcontrol tpm2 clearcontrol -Q -C l s
refuse clear-disabled 120 tpm2 clear -Q -c p
check clearcontrol-back tpm2 clearcontrol -Q -C p c
check clear tpm2 clear -Q -c l
refuse persistent-gone 18b tpm2 readpublic -Q -c 0x81010001
refuse nv-gone 18b tpm2 nvread -Q -C o 0x1500001
check works-after-clear tpm2 createprimary -Q -C o -G ecc -c x.ctx
check name-after-clear tpm2 readpublic -Q -c x.ctx -n x.name
differ storage-seed-is-new cmp o.name x.name
