// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "keybroker/crypto/public_key.h"
#include "keybroker/crypto/signature.h"
#include "keybroker/evidence/checklist.h"
#include "keybroker/evidence/tpm_public.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::evidence {

inline constexpr std::uint32_t kTpmGenerated = 0xFF544347;
inline constexpr std::uint16_t kTpmAttestQuote = 0x8018;

// PCRs of one bank that a quote covers.
struct PcrSelection {
  std::uint16_t bank = 0;  // TPM_ALG_ID
  std::set<std::uint8_t> pcrs{};

  friend bool operator==(const PcrSelection&, const PcrSelection&) = default;
};

// What a TPM says of its clock.
struct TpmClock {
  std::uint64_t clock = 0;  // milliseconds
  std::uint32_t reset_count = 0;
  std::uint32_t restart_count = 0;
  bool safe = false;

  friend bool operator==(const TpmClock&, const TpmClock&) = default;
};

// TpmQuote is a TPMS_ATTEST of type quote (TPM 2.0 Part 2, 10.12). Nothing has looked at its
// signature.
struct TpmQuote {
  base::Bytes qualified_signer;
  base::Bytes extra_data;
  TpmClock clock{};
  std::uint64_t firmware_version = 0;
  std::vector<PcrSelection> selections{};
  base::Bytes pcr_digest;
};

// What a TPMS_ATTEST could be read as: a quote, or why it is none.
struct ReadTpmQuote {
  std::optional<TpmQuote> quote;
  std::optional<Finding> finding;
};

// read_tpm_quote() reads all of `attest`. Magic, type and form are judged apart, as a structure of
// another type may be as genuine as a quote.
ReadTpmQuote read_tpm_quote(base::ByteView attest);

// A signature by an AK: TPMT_SIGNATURE, or bytes of a format that fixes RSASSA with SHA-256.
struct TpmSignature {
  TpmScheme scheme{};
  base::Bytes rsa{};  // RSASSA, RSAPSS
  base::Bytes r{};    // ECDSA, big-endian
  base::Bytes s{};
};

// decode_tpm_signature() reads a TPMT_SIGNATURE (Part 2, 11.3.4) and nothing behind it. kCorrupt
// otherwise, and for schemes that no quote of ours is signed with.
base::Result<TpmSignature> decode_tpm_signature(base::ByteView bytes);

// verify() checks the signature over the bytes of a TPMS_ATTEST. kInvalidArgument for a scheme or
// hash that does not fit the key or is not SHA-256 or stronger, kAuthentication otherwise.
base::Result<void> verify(const TpmSignature& signature, base::ByteView attest,
                          const crypto::PublicKey& key);

// PCR values under their numbers.
using PcrValues = std::map<std::uint8_t, base::Bytes>;

// pcr_digest() is what a quote over these values must carry: the hash of the values in the order of
// their numbers (Part 3, 18.4).
base::Bytes pcr_digest(const PcrValues& values, crypto::Hash hash);

}  // namespace keybroker::evidence
