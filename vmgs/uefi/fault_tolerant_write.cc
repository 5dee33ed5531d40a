// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/fault_tolerant_write.h"

#include <algorithm>
#include <boost/crc.hpp>

#include "vmgs/base/cursor.h"
#include "vmgs/format/vm_id.h"
#include "vmgs/uefi/flash_layout.h"

namespace vmgs::uefi {

namespace {

bool is_set(std::uint8_t state, std::uint8_t bit) { return (state & bit) == 0; }

template <std::size_t kBytes>
std::uint8_t first_of(const std::array<std::byte, kBytes>& bytes) {
  return std::to_integer<std::uint8_t>(bytes[0]);
}

bool is_valid(const WorkingBlockLayout& block) {
  const auto state = first_of(block.state);
  if (!is_set(state, kWorkingBlockValid) || is_set(state, kWorkingBlockInvalid)) {
    return false;
  }
  auto covered = block;
  covered.checksum = UINT32_MAX;
  covered.state.fill(std::byte{kErased});
  boost::crc_32_type crc;
  crc.process_bytes(&covered, sizeof covered);
  return crc.checksum() == block.checksum.value();
}

// The queue of the first working block that is valid; empty if there is none.
base::ByteView find_queue(base::ByteView bytes) {
  static const Guid kSignature =
      format::guid_bytes(*format::parse_vm_id("9e58292b-7c68-497d-a0ce-6500fd9f1b95"));
  for (auto at = bytes.begin();; ++at) {
    at = std::search(at, bytes.end(), kSignature.begin(), kSignature.end());
    base::Reader reader(bytes.subspan(static_cast<std::size_t>(at - bytes.begin())));
    const auto block = reader.layout<WorkingBlockLayout>();
    if (!block) {
      return {};
    }
    if (is_valid(*block)) {
      const auto size = std::min<std::uint64_t>(block->queue_bytes.value(), reader.remaining());
      return reader.rest().first(static_cast<std::size_t>(size));
    }
  }
}

// Of the records of one write, the first whose destination is not whole tells how far it came.
bool is_pending(base::Reader& reader, const WriteHeaderLayout& header) {
  for (std::uint64_t i = 0; i < header.writes.value(); ++i) {
    const auto record = reader.layout<WriteRecordLayout>();
    if (!record) {
      return false;
    }
    const auto state = first_of(record->state);
    if (!is_set(state, kDestinationComplete)) {
      return is_set(state, kSpareComplete);
    }
    if (header.private_bytes.value() > reader.remaining() ||
        !reader.bytes(static_cast<std::size_t>(header.private_bytes.value()))) {
      return false;
    }
  }
  return false;
}

}  // namespace

bool has_pending_write(base::ByteView behind_store) {
  base::Reader reader(find_queue(behind_store));
  for (;;) {
    const auto header = reader.layout<WriteHeaderLayout>();
    if (!header) {
      return false;
    }
    const auto state = first_of(header->state);
    if (!is_set(state, kWriteComplete)) {
      return is_set(state, kHeaderAllocated) && is_set(state, kWritesAllocated) &&
             is_pending(reader, *header);
    }
    // Sizes that reach beyond the queue end it.
    const std::uint64_t most = reader.remaining();
    const auto writes = header->writes.value();
    const auto private_bytes = header->private_bytes.value();
    if (writes > most || private_bytes > most ||
        writes * (sizeof(WriteRecordLayout) + private_bytes) > most) {
      return false;
    }
    const auto records = writes * (sizeof(WriteRecordLayout) + private_bytes);
    if (!reader.bytes(static_cast<std::size_t>(records))) {
      return false;
    }
  }
}

}  // namespace vmgs::uefi
