// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "keybroker/evidence/verify.h"
#include "vmgs/base/result.h"

namespace tools::attest {

// read_text() and read_bytes() read all of a file, or of stdin for "-". kInvalidArgument if it has
// more than `most_bytes`.
base::Result<base::Bytes> read_bytes(const std::string& from, std::size_t most_bytes);
base::Result<std::string> read_text(const std::string& from, std::size_t most_bytes);

// read_evidence() reads a bundle, one of the JSON forms of others, or bare bytes that say
// themselves what they are: an HCL report, an SNP report, a TDX quote or a TDREPORT. kCorrupt for
// anything else.
base::Result<keybroker::evidence::Evidence> read_evidence(const std::string& from);

// read_certificates() reads up to `most` certificates in PEM.
base::Result<std::vector<keybroker::crypto::Certificate>> read_certificates(const std::string& from,
                                                                            std::size_t most);

}  // namespace tools::attest
