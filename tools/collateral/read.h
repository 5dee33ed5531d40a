// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "keybroker/crypto/certificate.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace tools::collateral {

// read_text() and read_bytes() read all of a file, or of stdin for "-". kInvalidArgument if it has
// more than `most_bytes`.
base::Result<base::Bytes> read_bytes(const std::string& from, std::size_t most_bytes);
base::Result<std::string> read_text(const std::string& from, std::size_t most_bytes);

// read_certificates() reads up to `most` certificates in PEM.
base::Result<std::vector<keybroker::crypto::Certificate>> read_certificates(const std::string& from,
                                                                            std::size_t most);

}  // namespace tools::collateral
