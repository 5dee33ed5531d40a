// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::crypto {

inline constexpr std::size_t kMaxSignedDataBytes = 256 * 1024;

// verify_signed_data() verifies a detached PKCS #7 SignedData (RFC 2315), DER, with or without the
// ContentInfo around it, as UEFI firmware does: it has to sign `content` with SHA-256 or better,
// and its signer has to be one of `trusted` (DER certificates) or lead to one of them. Like
// firmware it asks neither for the time nor for a purpose: vendors go on signing updates with keys
// that expired. It gives the signer's subject. kCorrupt for what is no SignedData, kAuthentication
// for a signature that does not hold, and where `trusted` is empty.
base::Result<std::string> verify_signed_data(base::ByteView signed_data, base::ByteView content,
                                             const std::vector<base::Bytes>& trusted);

}  // namespace keybroker::crypto
