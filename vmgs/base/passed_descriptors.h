// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "vmgs/base/descriptor.h"

namespace base {

// Descriptors that pass through a Unix socket with a message (SCM_RIGHTS, unix(7)).

// PassingRoom is a message's room for at most `kMost` of them, aligned as the kernel wants it.
template <std::size_t kMost>
struct alignas(cmsghdr) PassingRoom {
  std::array<std::byte, CMSG_SPACE(sizeof(int) * kMost)> bytes{};
};

// pass_descriptors() has them go with `message`; there is at least one, and `room`, that of a
// PassingRoom, is enough and outlives the sending. They stay open here.
void pass_descriptors(msghdr& message, std::span<std::byte> room, std::span<const int> numbers);

// take_descriptors() adds those that came with a message that was received.
void take_descriptors(msghdr& message, std::vector<Descriptor>& taken);

}  // namespace base
