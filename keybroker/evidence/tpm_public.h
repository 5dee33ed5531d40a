// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "keybroker/crypto/public_key.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::evidence {

// TPMA_OBJECT (TPM 2.0 Part 2, 8.3).
inline constexpr std::uint32_t kTpmFixedTpm = 1U << 1;
inline constexpr std::uint32_t kTpmFixedParent = 1U << 4;
inline constexpr std::uint32_t kTpmSensitiveDataOrigin = 1U << 5;
inline constexpr std::uint32_t kTpmRestricted = 1U << 16;
inline constexpr std::uint32_t kTpmDecrypt = 1U << 17;
inline constexpr std::uint32_t kTpmSign = 1U << 18;

// The scheme and hash that a key may sign with and no other, if its public area fixes them.
struct TpmScheme {
  std::uint16_t scheme = 0;  // TPM_ALG_RSASSA, ...
  std::uint16_t hash = 0;    // TPM_ALG_SHA256, ...

  friend bool operator==(const TpmScheme&, const TpmScheme&) = default;
};

inline constexpr std::uint16_t kTpmRsaSsa = 0x0014;
inline constexpr std::uint16_t kTpmRsaPss = 0x0016;
inline constexpr std::uint16_t kTpmEcdsa = 0x0018;

// TpmPublic is the public area of a TPM object (TPMT_PUBLIC, TPM 2.0 Part 2, 12.2.4).
struct TpmPublic {
  base::Bytes name;  // nameAlg and the digest of the public area (Part 1, 16)
  std::uint32_t attributes = 0;
  crypto::PublicKey key;
  std::optional<TpmScheme> scheme{};

  // can_attest() tells whether what the key signs can only be what its TPM made: restricted,
  // signing, not decrypting, and never outside its TPM.
  [[nodiscard]] bool can_attest() const;
};

// decode_tpm_public() reads a TPMT_PUBLIC of an RSA or ECC key and nothing behind it. kCorrupt
// otherwise, and for a key that is not strong enough.
base::Result<TpmPublic> decode_tpm_public(base::ByteView bytes);

// endorsement_qualified_name() is that of a primary object of the endorsement hierarchy with the
// Name `name` (Part 1, 16.1): what a TPM puts into a quote as its signer. Empty for no Name.
base::Bytes endorsement_qualified_name(base::ByteView name);

// template_ak_name() is the Name of an RSA AK with these numbers if it was made by the template
// that Azure's vTPMs and ours use. Claims name the numbers alone; this is the public area around
// them. kCorrupt for a key that the template cannot make.
base::Result<base::Bytes> template_ak_name(const crypto::RsaNumbers& numbers);

}  // namespace keybroker::evidence
