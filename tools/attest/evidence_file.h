// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "keybroker/evidence/verify.h"
#include "vmgs/base/result.h"

namespace tools::attest {

// read_evidence() reads a bundle, one of the JSON forms of others, or bare bytes that say
// themselves what they are: an HCL report, an SNP report, a TDX quote or a TDREPORT. kCorrupt for
// anything else.
base::Result<keybroker::evidence::Evidence> read_evidence(const std::string& from);

}  // namespace tools::attest
