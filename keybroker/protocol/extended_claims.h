// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "keybroker/protocol/launch_document.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::protocol {

// Where a vTPM lives: beside the guest on a host that is trusted, or inside the confidential VM.
enum class Home : std::uint8_t { kHost, kParavisor };

// Where a TPM's seeds come from: made by this service, or brought along by somebody.
enum class SeedOrigin : std::uint8_t { kOwn, kForeign, kImported };

// name() is the word that claims have for it.
std::string_view name(Home home);
std::string_view name(SeedOrigin origin);

// How the TPM's state is protected at rest.
struct StateProtection {
  Protection mode = Protection::kNone;
  std::string kek;  // a thumbprint of the key that wraps the state's key, or empty
  std::string tcb;  // the TCB that a hardware key is bound to, or empty

  friend bool operator==(const StateProtection&, const StateProtection&) = default;
};

// ExtendedClaims is what our vTPM says beyond what other makers' claims have room for. The runtime
// claims carry its SHA-256.
struct ExtendedClaims {
  std::string purpose;
  Uuid vm_id{};
  std::array<std::byte, 16> boot_id{};
  base::Bytes launch;  // the launch digest: 32 bytes for SNP, else 48
  Home home = Home::kHost;
  SeedOrigin origin = SeedOrigin::kOwn;
  Lifetime lifetime = Lifetime::kPersistent;
  StateProtection state_protection;
  base::Bytes ek_name;  // TPM Names: the algorithm and the digest
  base::Bytes ak_name;
  std::optional<base::Bytes> ecc_ak_name{};
  std::optional<base::Bytes> ecc_ek_name{};
  bool tee_simulated = false;
  std::optional<boost::json::object> freshness{};

  friend bool operator==(const ExtendedClaims&, const ExtendedClaims&) = default;
};

// What the NV index of the extended claims can hold.
inline constexpr std::size_t kMaxExtendedClaimsBytes = 2048;

// decode_extended_claims() reads them and passes over members that it does not know. kCorrupt for
// JSON that parse_json() refuses, and for a member that is missing or misshaped. Compare the hash
// of the text before.
base::Result<ExtendedClaims> decode_extended_claims(std::string_view text);

// encode() writes them, compact and in order. kInvalidArgument if they do not fit.
base::Result<std::string> encode(const ExtendedClaims& claims);

}  // namespace keybroker::protocol
