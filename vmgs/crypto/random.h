// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace vmgs::crypto {

// random_bytes() fills `out` from the kernel's generator. No state of it lives in this process, so
// two children of one parent, and two resumes of one snapshot, never draw the same bytes.
// kUnavailable if the kernel refuses. Any thread.
base::Result<void> random_bytes(std::span<std::byte> out);

// random_secret() is a fresh secret of N random bytes.
template <std::size_t N>
base::Result<base::Secret<N>> random_secret() {
  return base::Secret<N>::filled_by([](std::span<std::byte, N> out) { return random_bytes(out); });
}

}  // namespace vmgs::crypto
