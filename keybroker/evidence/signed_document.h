// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "keybroker/crypto/public_key.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::evidence {

// A JSON document of Intel's and the signature over its bytes, exactly as they were served. Writing
// the same document anew would break the signature, so the bytes are kept and never made again.
struct SignedDocument {
  std::string body;
  std::array<std::byte, 64> signature{};  // R and S, P-256 with SHA-256, big-endian
};

inline constexpr std::size_t kMaxDocumentBytes = 1024 * 1024;

// decode_signed_document() reads {"NAME": BODY, "signature": HEX}, as the PCS serves it, where NAME
// is "tcbInfo" or "enclaveIdentity". kCorrupt for everything else.
base::Result<SignedDocument> decode_signed_document(std::string_view text, std::string_view name);

// signed_document() is the same for caches that keep body and hexadecimal signature apart.
base::Result<SignedDocument> signed_document(std::string_view body, std::string_view signature);

// encode() writes what decode_signed_document() reads.
std::string encode(const SignedDocument& document, std::string_view name);

// verify() checks the signature. kAuthentication if it is not by `key`.
base::Result<void> verify(const SignedDocument& document, const crypto::PublicKey& key);

}  // namespace keybroker::evidence
