// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tss2/tss2_tpm2_types.h>

namespace vtpm::provision {

// The keys that clients look for, and where. RSA EK and SRK stand where swtpm_setup and Windows put
// them; the ECC ones where the TCG's provisioning guidance does (TPM v2.0 Provisioning Guidance,
// table 2); the RSA AK is where software for Azure's VMs finds it.
inline constexpr TPM2_HANDLE kRsaSrkHandle = 0x81000001;
inline constexpr TPM2_HANDLE kEccSrkHandle = 0x81000002;
inline constexpr TPM2_HANDLE kRsaAkHandle = 0x81000003;
inline constexpr TPM2_HANDLE kEccAkHandle = 0x81000005;
inline constexpr TPM2_HANDLE kRsaEkHandle = 0x81010001;
inline constexpr TPM2_HANDLE kEccEkHandle = 0x81010002;

// The templates of these keys. A primary key is its hierarchy's seed and its template, bit by bit,
// `unique` included: RSA ones have 256 zero bytes there, ECC ones twice 32.

// RSA 2048, RSASSA with SHA-256; restricted, signing, fixed to this TPM.
TPM2B_PUBLIC rsa_ak_template();
// The same on NIST P-256 with ECDSA and SHA-256.
TPM2B_PUBLIC ecc_ak_template();

// The TCG's default templates L-1 and L-2 (EK Credential Profile for TPM 2.0, B.3.3 and B.3.4).
TPM2B_PUBLIC rsa_ek_template();
TPM2B_PUBLIC ecc_ek_template();

// The SRK templates of the TCG's provisioning guidance (7.5.1): the EK's with userWithAuth and noDA
// in place of the policy.
TPM2B_PUBLIC rsa_srk_template();
TPM2B_PUBLIC ecc_srk_template();

}  // namespace vtpm::provision
