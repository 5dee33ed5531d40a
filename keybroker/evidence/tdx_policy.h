// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "keybroker/evidence/expectation.h"
#include "keybroker/evidence/snp_policy.h"
#include "keybroker/evidence/tcb_status.h"

namespace keybroker::evidence {

// The bits of the TD attributes that have a name. All others must be zero.
std::span<const NamedBit> td_attribute_bits();

// TdxPolicy is what an owner accepts of an authentic TDX quote. Its defaults refuse what the owner
// has to decide upon: `mr_td` must be named or be any.
struct TdxPolicy {
  std::vector<TcbStatus> statuses{TcbStatus::kUpToDate};
  // The next two are for statuses other than UpToDate.
  std::optional<std::chrono::days> max_tcb_age{};
  std::optional<std::set<std::string>> advisories{std::set<std::string>{}};  // absent: any
  std::uint32_t min_evaluation_number = 0;
  std::chrono::seconds grace{};  // how long collateral is taken after its end
  bool allow_debug = false;
  bool allow_migratable = false;
  BitRule attributes{};
  std::optional<std::uint64_t> xfam{};  // the features that a TD may use; absent: each
  Expectation mr_td{};
  Expectation mr_seam{};
  Expectation mr_config_id{};
  Expectation mr_owner{};
  Expectation mr_owner_config{};
  std::array<Expectation, 4> rtmr{};
  Expectation service_tds{};  // unset: none may be bound
  Expectation fmspcs{};
};

}  // namespace keybroker::evidence
