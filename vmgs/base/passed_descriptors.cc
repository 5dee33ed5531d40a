// SPDX-License-Identifier: Apache-2.0
#include "vmgs/base/passed_descriptors.h"

#include <cstring>

namespace base {

void pass_descriptors(msghdr& message, std::span<std::byte> room, std::span<const int> numbers) {
  message.msg_control = room.data();
  message.msg_controllen = CMSG_SPACE(numbers.size_bytes());
  auto* const part = CMSG_FIRSTHDR(&message);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN(numbers.size_bytes());
  std::memcpy(CMSG_DATA(part), numbers.data(), numbers.size_bytes());
}

void take_descriptors(msghdr& message, std::vector<Descriptor>& taken) {
  for (auto* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(part) + i * sizeof number, sizeof number);
      taken.emplace_back(number);
    }
  }
}

}  // namespace base
