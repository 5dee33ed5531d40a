// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tss2/tss2_esys.h>

#include <string>
#include <string_view>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vtpm/provision/keys.h"

namespace vtpm::provision {

// What swtpm_setup puts into a TPM, bit by bit: whoever was told where a key and its certificate
// are finds them there, and the same seeds give the same keys.

// An endorsement key, and the NV indices of its certificate and its template (EK Credential Profile
// for TPM 2.0, 2.2.1 and B.4).
struct SwtpmEndorsementKey {
  KeyPlace place;
  TPM2_HANDLE certificate_index;
  TPM2_HANDLE template_index;
};

// What an endorsement key is for. One that signs is none by the profile; swtpm_setup makes one for
// those who ask for it, and writes its template into an index, as the profile wants it then.
enum class SwtpmEkUse { kProfile, kSigning, kSigningAndDecryption };

SwtpmEndorsementKey swtpm_rsa2048_ek(SwtpmEkUse use = SwtpmEkUse::kProfile);
SwtpmEndorsementKey swtpm_rsa3072_ek(SwtpmEkUse use = SwtpmEkUse::kProfile);
SwtpmEndorsementKey swtpm_ecc_p384_ek(SwtpmEkUse use = SwtpmEkUse::kProfile);

// template_of() is the content of the template index of such a key: its TPMT_PUBLIC.
base::Result<base::Bytes> template_of(const KeyPlace& place);

// Storage keys, for those who ask for one.
const KeyPlace& swtpm_rsa2048_srk();
const KeyPlace& swtpm_rsa3072_srk();
const KeyPlace& swtpm_ecc_p384_srk();

inline constexpr TPM2_HANDLE kSwtpmPlatformCertificateIndex = 0x01C08000;

// put_swtpm_index() defines an index of the platform's, which anybody may read, and writes it;
// locked, nobody writes it until it is defined anew. Errors of the TPM as checked() gives them.
base::Result<void> put_swtpm_index(ESYS_CONTEXT* esys, TPM2_HANDLE index, base::ByteView content,
                                   bool locked);

// What of a public key stands in its certificate, big-endian: a modulus, or the two halves of a
// point, where the modulus is empty.
struct PublicNumbers {
  base::Bytes modulus;
  base::Bytes x;
  base::Bytes y;
};

// public_numbers() reads them. kCorrupt for a key of another kind.
base::Result<PublicNumbers> public_numbers(const PublicKey& key);

// Which PCR banks a TPM has, and which of them are active, by the names sha1 to sha512.
struct PcrBanks {
  std::vector<std::string> all;
  std::vector<std::string> active;
};

base::Result<PcrBanks> pcr_banks(ESYS_CONTEXT* esys);

// activate_pcr_banks() has just these banks active from the next power-on on. kInvalidArgument if
// none of them is a bank of this TPM's; those that are none are left out, as swtpm_setup does.
base::Result<void> activate_pcr_banks(ESYS_CONTEXT* esys, const std::vector<std::string>& banks);

}  // namespace vtpm::provision
