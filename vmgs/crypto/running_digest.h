// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "vmgs/crypto/digest.h"

namespace vmgs::crypto {

// RunningSha256 is SHA-256 (FIPS 180-4) of bytes that come piece by piece, for what is too long to
// be held at once. One owner. It ends the process where digest.h does.
class RunningSha256 {
 public:
  RunningSha256();
  RunningSha256(RunningSha256&&) noexcept = default;
  RunningSha256& operator=(RunningSha256&&) noexcept = default;

  void add(base::ByteView piece);

  // finish() is the digest of all pieces; nothing may be added afterwards.
  Sha256Digest finish();

 private:
  // Known in the source only, so that OpenSSL's headers stay there.
  struct Free {
    void operator()(void* context) const;
  };

  std::unique_ptr<void, Free> context_;
};

}  // namespace vmgs::crypto
