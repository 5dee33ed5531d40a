// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace tools::cli {

// encode_pem() is a DER object as a block of RFC 7468, as in "X509 CRL". decode_pem() reads one
// such block and nothing else: kCorrupt otherwise.
std::string encode_pem(std::string_view label, base::ByteView der);
base::Result<base::Bytes> decode_pem(std::string_view label, std::string_view text);

}  // namespace tools::cli
