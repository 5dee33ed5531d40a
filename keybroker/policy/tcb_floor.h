// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "keybroker/crypto/time.h"
#include "keybroker/evidence/snp_product.h"
#include "keybroker/evidence/snp_tcb.h"
#include "keybroker/evidence/tcb_status.h"
#include "keybroker/policy/claim_set.h"
#include "vmgs/base/result.h"

namespace keybroker::policy {

// The least of a TDX platform that is accepted. The members are those of an evidence policy.
struct TdxFloor {
  std::set<evidence::TcbStatus> statuses{evidence::TcbStatus::kUpToDate};
  std::optional<crypto::Time> min_date{};
  // What a status other than UpToDate may come with; absent: any.
  std::optional<std::set<std::string>> advisories{std::set<std::string>{}};
  std::uint32_t min_evaluation_number = 0;

  friend bool operator==(const TdxFloor&, const TdxFloor&) = default;
};

// TcbFloor is what the condition `minTcb` asks for: of SNP by the line of the processor, each
// component by itself, in the reported TCB and in that of the launch. A machine that it does not
// name does not reach it.
struct TcbFloor {
  std::map<evidence::SnpProduct, evidence::TcbVersion> snp{};
  std::optional<TdxFloor> tdx{};

  friend bool operator==(const TcbFloor&, const TcbFloor&) = default;
};

// decode_tcb_floor() reads the value of a minTcb that stands at `path` of a policy.
// kInvalidArgument with the path of what is missing, not known or out of range. to_json() writes
// the one form of it.
base::Result<TcbFloor> decode_tcb_floor(const boost::json::value& value, const std::string& path);
boost::json::object to_json(const TcbFloor& floor);

// FloorVerdict is how a machine stands to a floor, with the words for it.
struct FloorVerdict {
  bool reached = false;
  std::string claim;                  // that decided
  std::string expected;               // what of the floor speaks about this machine
  std::optional<std::string> seen{};  // absent: the claim is missing
  std::string note{};                 // why not
};

// judge_floor() compares the claims of a set with a floor.
FloorVerdict judge_floor(const TcbFloor& floor, const ClaimSet& claims);

}  // namespace keybroker::policy
