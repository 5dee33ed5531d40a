// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "keybroker/evidence/expectation.h"
#include "keybroker/evidence/snp_chain.h"
#include "keybroker/evidence/snp_product.h"
#include "keybroker/evidence/snp_report.h"

namespace keybroker::evidence {

// A bit of POLICY or of PLATFORM_INFO and the name that policies and claims have for it.
struct NamedBit {
  std::string_view name;
  std::uint64_t mask;
};

// The bits of the guest policy but the reserved one, and those of the platform info.
std::span<const NamedBit> snp_policy_bits();
std::span<const NamedBit> snp_platform_bits();

// Bits that must be set and bits that must not.
struct BitRule {
  std::uint64_t required = 0;
  std::uint64_t refused = 0;
};

// SnpPolicy is what an owner accepts of an authentic SNP report. Its defaults refuse what the owner
// has to decide upon: some measurement or identity key must be named, or `measurements` be any.
struct SnpPolicy {
  CrlRule crl = CrlRule::kRequired;
  std::optional<std::vector<SnpProduct>> products{};  // absent: each that is known
  std::vector<SnpSigningKey> signers{SnpSigningKey::kVcek};
  Expectation csps{};  // VLEK only, as text
  std::vector<std::uint32_t> vmpls{0};
  bool allow_debug = false;
  bool allow_migration_agent = false;
  BitRule guest_policy{};
  BitRule platform{};
  bool refuse_unknown_platform_bits = false;
  Expectation measurements{};
  Expectation id_key_digests{};
  Expectation author_key_digests{};
  Expectation host_data{};
  Expectation family_ids{};
  Expectation image_ids{};
  Expectation chip_ids{};
  std::uint32_t min_guest_svn = 0;
  std::map<SnpProduct, TcbVersion> min_tcb{};  // no entry: no floor
  bool require_committed_equals_current = false;
  bool allow_masked_chip = false;
};

}  // namespace keybroker::evidence
