// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/templates.h"

#include <algorithm>
#include <array>

namespace vtpm::provision {

namespace {

constexpr UINT16 kRsaBits = 2048;
constexpr UINT16 kRsaUniqueBytes = 256;
constexpr UINT16 kP256Bytes = 32;

constexpr TPMA_OBJECT kFixed =
    TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN;
constexpr TPMA_OBJECT kAk = kFixed | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA |
                            TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT;
constexpr TPMA_OBJECT kEk =
    kFixed | TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
constexpr TPMA_OBJECT kSrk = kFixed | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA |
                             TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
static_assert(kAk == 0x00050472);
static_assert(kEk == 0x000300B2);
static_assert(kSrk == 0x00030472);

// PolicySecret of the endorsement hierarchy (EK Credential Profile, B.2).
constexpr std::array<BYTE, 32> kEkPolicy = {
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xB3, 0xF8, 0x1A, 0x90, 0xCC, 0x8D, 0x46, 0xA5, 0xD7, 0x24,
    0xFD, 0x52, 0xD7, 0x6E, 0x06, 0x52, 0x0B, 0x64, 0xF2, 0xA1, 0xDA, 0x1B, 0x33, 0x14, 0x69, 0xAA};

TPM2B_PUBLIC common(TPMA_OBJECT attributes) {
  TPM2B_PUBLIC made{};
  made.publicArea.nameAlg = TPM2_ALG_SHA256;
  made.publicArea.objectAttributes = attributes;
  return made;
}

TPMT_SYM_DEF_OBJECT symmetric_of(TPMA_OBJECT attributes) {
  TPMT_SYM_DEF_OBJECT symmetric{};
  symmetric.algorithm = TPM2_ALG_NULL;
  if ((attributes & TPMA_OBJECT_DECRYPT) != 0) {
    symmetric.algorithm = TPM2_ALG_AES;
    symmetric.keyBits.aes = 128;
    symmetric.mode.aes = TPM2_ALG_CFB;
  }
  return symmetric;
}

TPM2B_PUBLIC rsa(TPMA_OBJECT attributes) {
  auto made = common(attributes);
  made.publicArea.type = TPM2_ALG_RSA;
  auto& parameters = made.publicArea.parameters.rsaDetail;
  parameters.symmetric = symmetric_of(attributes);
  parameters.scheme.scheme = TPM2_ALG_NULL;
  if ((attributes & TPMA_OBJECT_SIGN_ENCRYPT) != 0) {
    parameters.scheme.scheme = TPM2_ALG_RSASSA;
    parameters.scheme.details.rsassa.hashAlg = TPM2_ALG_SHA256;
  }
  parameters.keyBits = kRsaBits;
  parameters.exponent = 0;  // 65537
  made.publicArea.unique.rsa.size = kRsaUniqueBytes;
  return made;
}

TPM2B_PUBLIC ecc(TPMA_OBJECT attributes) {
  auto made = common(attributes);
  made.publicArea.type = TPM2_ALG_ECC;
  auto& parameters = made.publicArea.parameters.eccDetail;
  parameters.symmetric = symmetric_of(attributes);
  parameters.scheme.scheme = TPM2_ALG_NULL;
  if ((attributes & TPMA_OBJECT_SIGN_ENCRYPT) != 0) {
    parameters.scheme.scheme = TPM2_ALG_ECDSA;
    parameters.scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA256;
  }
  parameters.curveID = TPM2_ECC_NIST_P256;
  parameters.kdf.scheme = TPM2_ALG_NULL;
  made.publicArea.unique.ecc.x.size = kP256Bytes;
  made.publicArea.unique.ecc.y.size = kP256Bytes;
  return made;
}

TPM2B_PUBLIC under_ek_policy(TPM2B_PUBLIC made) {
  made.publicArea.authPolicy.size = kEkPolicy.size();
  std::ranges::copy(kEkPolicy, std::begin(made.publicArea.authPolicy.buffer));
  return made;
}

}  // namespace

TPM2B_PUBLIC rsa_ak_template() { return rsa(kAk); }

TPM2B_PUBLIC ecc_ak_template() { return ecc(kAk); }

TPM2B_PUBLIC rsa_ek_template() { return under_ek_policy(rsa(kEk)); }

TPM2B_PUBLIC ecc_ek_template() { return under_ek_policy(ecc(kEk)); }

TPM2B_PUBLIC rsa_srk_template() { return rsa(kSrk); }

TPM2B_PUBLIC ecc_srk_template() { return ecc(kSrk); }

}  // namespace vtpm::provision
