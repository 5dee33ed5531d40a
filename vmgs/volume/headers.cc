// SPDX-License-Identifier: Apache-2.0
#include "vmgs/volume/headers.h"

#include <algorithm>
#include <string>

namespace vmgs::volume {

namespace {

std::size_t offset_of(format::HeaderSpacing spacing, std::size_t slot) {
  return slot * static_cast<std::size_t>(spacing);
}

base::Result<void> write_sector(storage::BlockDevice& device, format::HeaderSpacing spacing,
                                std::size_t slot, base::ByteView content) {
  base::Bytes sector(static_cast<std::size_t>(spacing));
  std::copy(content.begin(), content.end(), sector.begin());
  return device.write(offset_of(spacing, slot), sector);
}

}  // namespace

base::Result<HeaderSlots> read_header_slots(storage::BlockDevice& device,
                                            format::HeaderSpacing spacing) {
  std::array<std::byte, std::size_t{2} * format::kBlockBytes> start{};
  if (device.size_bytes() < start.size()) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "too short for a guest-state store: " + std::to_string(device.size_bytes()) +
                          " bytes, at least 8192 are needed");
  }
  TRY(device.read(0, start));
  const auto bytes = std::span<const std::byte>(start);
  if (format::has_gpt_signature(bytes.subspan<512, 8>())) {
    return base::fail(base::ErrorCode::kDenied,
                      "a version 1 store (GPT partitioned): that format is not supported; convert "
                      "it with the tool that made it");
  }
  const auto read_slot = [&](std::size_t slot) {
    const auto raw = bytes.subspan(offset_of(spacing, slot)).first<format::kHeaderBytes>();
    return HeaderSlot{base::is_all_zero(raw), format::decode_header(raw)};
  };
  HeaderSlots slots{read_slot(0), read_slot(1)};
  if (slots[0].blank && slots[1].blank) {
    return base::fail(base::ErrorCode::kNotFound, "the store is blank: it was never formatted");
  }
  return slots;
}

base::Result<HeaderOrder> order_headers(const HeaderSlots& slots) {
  const auto& first = slots[0].header;
  const auto& second = slots[1].header;
  if (!first && !second) {
    const auto describe = [](const HeaderSlot& slot) {
      return slot.blank ? std::string("blank") : slot.header.error().message;
    };
    return base::fail(base::ErrorCode::kCorrupt, "no valid header (slot 0: " + describe(slots[0]) +
                                                     "; slot 1: " + describe(slots[1]) + ")");
  }
  if (!first) {
    return HeaderOrder{1, std::nullopt};
  }
  if (!second) {
    return HeaderOrder{0, std::nullopt};
  }
  if (format::follows(first->sequence, second->sequence)) {
    return HeaderOrder{0, 1};
  }
  if (format::follows(second->sequence, first->sequence)) {
    return HeaderOrder{1, 0};
  }
  return base::fail(base::ErrorCode::kCorrupt, "the two headers are not neighbours (sequences " +
                                                   std::to_string(first->sequence) + " and " +
                                                   std::to_string(second->sequence) +
                                                   "), so neither is known to be newer");
}

base::Result<void> write_header(storage::BlockDevice& device, format::HeaderSpacing spacing,
                                std::size_t slot, const format::Header& header) {
  const auto raw = format::encode_header(header);
  return write_sector(device, spacing, slot, base::view(raw));
}

base::Result<void> clear_header(storage::BlockDevice& device, format::HeaderSpacing spacing,
                                std::size_t slot) {
  return write_sector(device, spacing, slot, {});
}

}  // namespace vmgs::volume
