// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "keybroker/evidence/verify.h"
#include "vmgs/base/result.h"

namespace tools::attest {

// read_evidence() reads a bundle, one of the JSON forms of others, or bare bytes that say
// themselves what they are: an HCL report, an SNP report, a TDX quote, a TDREPORT, certificates
// (PEM, DER, or a host's table), an AK in PEM, a TPM quote or an event log. kCorrupt for anything
// else.
base::Result<keybroker::evidence::Evidence> read_evidence(const std::string& from);

// The same of several files, each with a part of it. kInvalidArgument if two have the same part.
base::Result<keybroker::evidence::Evidence> read_evidence(const std::vector<std::string>& files);

}  // namespace tools::attest
