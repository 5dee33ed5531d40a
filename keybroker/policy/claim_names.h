// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace keybroker::policy {

// The names of the claims that rules of this room look at. claim_set() makes many more;
// keybroker/RELEASE_POLICY.md has them all.
inline constexpr std::string_view kRootClassClaim = "strongroom-root-class";
inline constexpr std::string_view kTeeClaim = "strongroom-tee";
inline constexpr std::string_view kDebugClaim = "strongroom-debug";
inline constexpr std::string_view kMeasurementClaim = "strongroom-measurement";
inline constexpr std::string_view kLaunchDigestClaim = "strongroom-launch-digest";
inline constexpr std::string_view kSnpProductClaim = "strongroom-snp-product";
inline constexpr std::string_view kSnpTcbClaim = "strongroom-snp-tcb";
inline constexpr std::string_view kTdxTcbClaim = "strongroom-tdx-tcb";

// What a guest with a vTPM says of the TEE it runs in stands in this object, as MAA has it.
inline constexpr std::string_view kIsolationTeeClaim = "x-ms-isolation-tee";

// A judgement that only Microsoft can give; it is never one of our claims.
inline constexpr std::string_view kComplianceClaim = "x-ms-compliance-status";

}  // namespace keybroker::policy
