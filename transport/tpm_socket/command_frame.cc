// SPDX-License-Identifier: Apache-2.0
#include "transport/tpm_socket/command_frame.h"

#include <algorithm>

#include "vmgs/base/cursor.h"

namespace transport::tpm_socket {

namespace {

constexpr std::uint32_t kSendCommand = 8;
constexpr std::size_t kSizeFieldEnd = 6;  // 16 bits of tag, 32 of size
constexpr std::size_t kMinCommandBytes = 10;

bool begins_with_prefix(base::ByteView bytes) {
  return base::Reader(bytes).u32_be().value_or(0) == kSendCommand;
}

// The locality in the prefix, if there is a whole prefix.
std::optional<std::uint8_t> prefix_locality(base::ByteView bytes) {
  if (!begins_with_prefix(bytes) || bytes.size() < kPrefixBytes) {
    return std::nullopt;
  }
  return std::to_integer<std::uint8_t>(bytes[4]);
}

std::optional<CommandFrame> frame_of(base::ByteView bytes, std::size_t begin, std::uint32_t size,
                                     std::optional<std::uint8_t> locality) {
  if (size < kMinCommandBytes || size > kMaxCommandBytes) {
    return frame_rest(bytes);
  }
  if (bytes.size() < begin + size) {
    return std::nullopt;
  }
  return CommandFrame{begin, begin + size, begin + size, true, locality};
}

}  // namespace

std::optional<CommandFrame> frame_command(base::ByteView bytes) {
  if (begins_with_prefix(bytes)) {
    if (bytes.size() < kPrefixBytes) {
      return std::nullopt;
    }
    return frame_of(bytes, kPrefixBytes, *base::Reader(bytes.subspan(5)).u32_be(),
                    prefix_locality(bytes));
  }
  if (bytes.size() < kSizeFieldEnd) {
    return std::nullopt;
  }
  return frame_of(bytes, 0, *base::Reader(bytes.subspan(2)).u32_be(), std::nullopt);
}

CommandFrame frame_rest(base::ByteView bytes) {
  const auto locality = prefix_locality(bytes);
  const std::size_t begin = locality ? kPrefixBytes : 0;
  return {begin, std::min(bytes.size(), begin + kMaxCommandBytes), bytes.size(), false, locality};
}

}  // namespace transport::tpm_socket
