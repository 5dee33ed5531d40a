// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "keybroker/evidence/verify.h"
#include "vmgs/base/result.h"

namespace keybroker::evidence {

inline constexpr std::string_view kBundleSchema = "strongroom.evidence/1";

// What a bundle of the largest evidence takes as JSON.
inline constexpr std::size_t kMaxBundleBytes = 48 * 1024 * 1024;

// decode_bundle() reads one JSON document with base64 members, as `attest collect` writes it:
//
//   {"schema": "strongroom.evidence/1",
//    "snp": {"report": B64, "certificates": [B64, ...]}      or "certificate_table": B64,
//    "tdx": {"quote": B64},
//    "hcl_report": B64, "extended_claims": B64,
//    "ak": {"public": B64, "certificates": [B64, ...]},
//    "quotes": [{"attest": B64, "signature": B64, "pcrs": {"0": HEX, ...}}, ...],
//    "event_log": B64, "cc_event_log": B64}
//
// Every member but the schema may be absent, and members that are not known are passed over: none
// of them can say how the bundle is to be judged. Certificates are DER, leaf first. kCorrupt for
// another schema and for members of another type.
base::Result<Evidence> decode_bundle(std::string_view text);

// encode_bundle() writes one. kInvalidArgument for evidence that has no place in a bundle: a bare
// TDREPORT, a bare key, or a quote whose PCRs have no numbers or whose signature no scheme.
base::Result<std::string> encode_bundle(const Evidence& evidence);

}  // namespace keybroker::evidence
