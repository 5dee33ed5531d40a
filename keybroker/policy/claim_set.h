// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "keybroker/evidence/verify.h"
#include "keybroker/protocol/launch_document.h"

namespace keybroker::policy {

// How much is known of the age of a VM's state (freshness.md of the design has the rule).
enum class Freshness : std::uint8_t { kFresh, kOffline, kUnanchored };

// name() is "fresh", "offline" or "unanchored", as the extended claims spell it.
std::string_view name(Freshness freshness);

// BrokerFacts is what a broker knows of a VM beside its evidence. What is absent gives no claim.
struct BrokerFacts {
  std::optional<protocol::Uuid> vm_id{};
  std::optional<protocol::Uuid> tenant{};
  std::string region{};  // empty: none
  // The document whose digest the broker has found in this very evidence.
  std::optional<protocol::LaunchDocument> launch{};
  // SHA-256 of the execution policy's text, which it has compared with that of the document.
  std::optional<protocol::Sha256Digest> execution_policy_digest{};
  std::optional<Freshness> freshness{};
  std::optional<std::uint64_t> epoch{};
  std::optional<std::uint32_t> restores{};
};

// ClaimSet is one JSON object of claims, by name.
struct ClaimSet {
  boost::json::object json;

  // find() walks nested objects by a path with dots, as in "x-ms-runtime.vm-configuration"; nullptr
  // if there is no such claim. The view ends with the set.
  [[nodiscard]] const boost::json::value* find(std::string_view path) const;
};

// claim_set() says what verified evidence says: under the names that Microsoft Azure Attestation
// has for it where they mean the same, and all of it under names of our own. Bytes are lower-case
// hexadecimal digits; x-ms-compliance-status, which would be somebody else's judgement, is never
// there. Runtime claims that no hardware report binds are left out: they are the VM's own word.
ClaimSet claim_set(const evidence::Claims& claims, const BrokerFacts& facts);

}  // namespace keybroker::policy
