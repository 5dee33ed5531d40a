// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"

namespace transport::net {

// What one look at a stream socket gave.
struct Received {
  std::size_t bytes = 0;  // 0: the peer has closed
  // Descriptors that came along (SCM_RIGHTS), at most kMaxDescriptors; the kernel closes the rest.
  std::vector<base::Descriptor> descriptors;
};

inline constexpr std::size_t kMaxDescriptors = 4;

// receive() takes what is there without waiting. kUnavailable if nothing is, else kIo.
base::Result<Received> receive(int socket, std::span<std::byte> buffer);

}  // namespace transport::net
