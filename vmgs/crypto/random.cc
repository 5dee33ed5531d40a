// SPDX-License-Identifier: Apache-2.0
#include "vmgs/crypto/random.h"

#include <sys/random.h>

#include <cerrno>

namespace vmgs::crypto {

base::Result<void> random_bytes(std::span<std::byte> out) {
  while (!out.empty()) {
    const auto got = getrandom(out.data(), out.size(), 0);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      return base::fail(base::ErrorCode::kUnavailable, "the kernel gave no random bytes");
    }
    out = out.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

}  // namespace vmgs::crypto
