// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "keybroker/evidence/verify.h"
#include "vmgs/base/result.h"

namespace keybroker::evidence {

inline constexpr std::string_view kPolicySchema = "strongroom.policy/1";
inline constexpr std::size_t kMaxPolicyBytes = 1024 * 1024;

// decode_policy() reads the JSON form of a policy, which keybroker/POLICY.md describes. What it
// does not say has the default of the Policy. kInvalidArgument, with the path of the member, for
// members that are not known, of another type or out of range: a policy that is misread protects
// nobody.
base::Result<Policy> decode_policy(std::string_view text);

}  // namespace keybroker::evidence
