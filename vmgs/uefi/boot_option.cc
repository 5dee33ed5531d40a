// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/boot_option.h"

#include "vmgs/base/cursor.h"

namespace vmgs::uefi {

namespace {

using base::ErrorCode;

constexpr std::uint32_t kActive = 1;

// A node of a device path (UEFI 10.3.1): type, subtype, length with this header.
constexpr std::uint16_t kNodeHeaderBytes = 4;
constexpr std::uint8_t kEndOfPath = 0x7f;
constexpr std::uint8_t kEndOfAll = 0xff;

base::Result<std::size_t> count_nodes(base::ByteView list) {
  base::Reader reader(list);
  std::size_t nodes = 0;
  bool ended = false;
  while (!reader.empty()) {
    TRY_ASSIGN(type, reader.u8());
    TRY_ASSIGN(subtype, reader.u8());
    TRY_ASSIGN(length, reader.u16_le());
    if (length < kNodeHeaderBytes) {
      return base::fail(ErrorCode::kCorrupt, "a node of the device path is shorter than any");
    }
    TRY(reader.bytes(length - kNodeHeaderBytes));
    ended = type == kEndOfPath && subtype == kEndOfAll;
    ++nodes;
  }
  if (nodes > 0 && !ended) {
    return base::fail(ErrorCode::kCorrupt, "the device path has no end");
  }
  return nodes;
}

}  // namespace

base::Result<BootOption> decode_boot_option(base::ByteView bytes) {
  base::Reader reader(bytes);
  BootOption option;
  TRY_ASSIGN(attributes, reader.u32_le());
  TRY_ASSIGN(path_bytes, reader.u16_le());
  option.is_active = (attributes & kActive) != 0;
  for (;;) {
    TRY_ASSIGN(unit, reader.u16_le());
    if (unit == 0) {
      break;
    }
    option.description.push_back(unit);
  }
  TRY_ASSIGN(paths, reader.bytes(path_bytes));
  TRY_ASSIGN(nodes, count_nodes(paths));
  option.device_path_nodes = nodes;
  option.optional_bytes = reader.remaining();
  return option;
}

base::Result<std::vector<std::uint16_t>> decode_boot_order(base::ByteView bytes) {
  base::Reader reader(bytes);
  std::vector<std::uint16_t> order;
  while (!reader.empty()) {
    TRY_ASSIGN(number, reader.u16_le());
    order.push_back(number);
  }
  return order;
}

std::u16string boot_option_name(std::uint16_t number) {
  std::u16string name = u"Boot";
  for (int shift = 12; shift >= 0; shift -= 4) {
    name.push_back(u"0123456789ABCDEF"[number >> shift & 15]);
  }
  return name;
}

}  // namespace vmgs::uefi
