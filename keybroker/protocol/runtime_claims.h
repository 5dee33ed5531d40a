// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::protocol {

// The names under which keys stand in runtime claims.
inline constexpr std::string_view kAkKeyId = "HCLAkPub";
inline constexpr std::string_view kEkKeyId = "HCLEkPub";
inline constexpr std::string_view kTransferKeyId = "HCLTransferKey";

// An RSA key as RFC 7517 writes it. The numbers are big-endian without leading zeros.
struct RsaJwk {
  std::string kid;
  std::vector<std::string> key_ops;
  base::Bytes modulus;
  base::Bytes exponent;

  friend bool operator==(const RsaJwk&, const RsaJwk&) = default;
};

// What the claims say of the VM. Which members there are differs by writer and age.
struct VmConfiguration {
  std::optional<bool> secure_boot{};
  std::optional<bool> tpm_enabled{};
  std::optional<bool> tpm_persisted{};
  std::optional<bool> console_enabled{};
  std::string vm_unique_id;  // a UUID in either case
  std::optional<std::string> hardware_sealing_policy{};

  friend bool operator==(const VmConfiguration&, const VmConfiguration&) = default;
};

using UserData = std::array<std::byte, 64>;
using ClaimsDigest = std::array<std::byte, 32>;

// RuntimeClaims is the document whose hash stands in front of a hardware report's REPORT_DATA.
struct RuntimeClaims {
  std::vector<RsaJwk> keys;
  VmConfiguration vm;
  std::optional<UserData> user_data{};
  std::optional<ClaimsDigest> extended_digest{};  // SHA-256 of the extended claims

  // key() is the key of that name, if there is one.
  [[nodiscard]] const RsaJwk* key(std::string_view kid) const;

  friend bool operator==(const RuntimeClaims&, const RuntimeClaims&) = default;
};

inline constexpr std::size_t kMaxClaimsBytes = 64 * 1024;

// decode_runtime_claims() reads claims of ours and of others, whose unknown members it passes over.
// kCorrupt for JSON that parse_json() refuses, a key that is not RSA or weaker than 2048 bits with
// exponent 65537, two keys of one name, and members of another type. Compare the hash of the text
// before: what is read here is worth nothing by itself.
base::Result<RuntimeClaims> decode_runtime_claims(std::string_view text);

// encode() writes the one form that our vTPM writes: compact, members in their order, absent where
// there is nothing. kInvalidArgument for what has no place in it (a console, a missing member of
// the VM's configuration).
base::Result<std::string> encode(const RuntimeClaims& claims);

}  // namespace keybroker::protocol
