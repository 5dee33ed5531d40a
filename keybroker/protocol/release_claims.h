// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "keybroker/protocol/launch_document.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::protocol {

// How a key travels to a boot's transfer key. The numbers are those of broker.proto.
enum class TransferAlgorithm : std::uint8_t { kEcdhP384 = 1, kRsa3072OaepSha384 = 2 };

using BootId = std::array<std::byte, 16>;

// ReleaseClaims is what an instance says when it asks the broker for its VM's key; its TEE's report
// commits to it.
struct ReleaseClaims {
  Uuid vm_id{};
  BootId boot_id{};
  base::Bytes challenge;  // the broker's, as it came
  TransferAlgorithm transfer_algorithm = TransferAlgorithm::kEcdhP384;
  base::Bytes transfer_key;   // DER SubjectPublicKeyInfo
  base::Bytes launch_digest;  // 32 bytes for SEV-SNP, 48 for TDX

  friend bool operator==(const ReleaseClaims&, const ReleaseClaims&) = default;
};

inline constexpr std::string_view kReleasePurpose = "strongroom.release";
inline constexpr std::size_t kMaxChallengeBytes = 256;
inline constexpr std::size_t kMaxTransferKeyBytes = 1024;
inline constexpr std::size_t kMaxReleaseClaimsBytes = 2048;

// encode() gives the one encoding of claims. kInvalidArgument for a vm_id of zeros and for lengths
// that decode_release_claims() refuses.
base::Result<base::Bytes> encode(const ReleaseClaims& claims);

// decode_release_claims() reads what encode() wrote and nothing else. kCorrupt, naming the field,
// for a later version, another purpose, unknown fields, other lengths or another encoding.
base::Result<ReleaseClaims> decode_release_claims(base::ByteView bytes);

// release_report_data() is the REPORTDATA that commits to encoded claims: the SHA-512 of
// "strongroom.release/1", a zero byte and the claims. A report that a guest can ask for has the
// SHA-256 of its claims and 32 zero bytes there, and so is never one for a release.
std::array<std::byte, 64> release_report_data(base::ByteView claims);

}  // namespace keybroker::protocol
