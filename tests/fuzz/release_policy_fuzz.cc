// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <string_view>

#include "keybroker/policy/decision.h"
#include "keybroker/policy/warnings.h"

using namespace keybroker::policy;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto compatibility : {Compatibility::kStrict, Compatibility::kAkv}) {
    const auto policy = parse_release_policy(text, compatibility);
    if (!policy) {
      continue;
    }
    const auto again = parse_release_policy(canonical_form(*policy), compatibility);
    // The canonical form may be the longer one, where it says what a floor left out.
    const bool fits = canonical_form(*policy).size() <= kMaxReleasePolicyBytes;
    if (fits && (!again || policy_digest(*again) != policy_digest(*policy))) {
      std::abort();
    }
    static_cast<void>(examine(*policy));
    // Nothing is known of this machine, so only absence can be asked for; and no class is named.
    if (evaluate(*policy, {}, {policy->any_of.front().authority}).allowed) {
      std::abort();
    }
  }
  return 0;
}
