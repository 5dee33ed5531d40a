// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/tpm_nv_memory.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "vmgs/base/cursor.h"
#include "vmgs/format/libtpms_part.h"

namespace vmgs::format {

namespace {

using libtpms::Part;

constexpr std::array kUserNvramBytes = {std::byte{0x09}, std::byte{0x4F}, std::byte{0x22},
                                        std::byte{0xC3}};
constexpr std::size_t kVersionBytes = 2;

constexpr std::uint32_t kHandleTypeShift = 24;  // TPM_HT (Part 2, 7.2)
constexpr std::uint32_t kNvIndexType = 0x01;
constexpr std::uint32_t kPersistentType = 0x81;

constexpr std::size_t kMostEntries = 4096;

auto corrupt(const std::string& why) { return libtpms::corrupt("the TPM's NV memory", why); }

base::Result<TpmNvIndex> read_index(base::Reader& in, std::uint32_t handle) {
  TpmNvIndex index;
  TRY(libtpms::begin(in, Part::kNvIndex));
  TRY_ASSIGN(number, in.u32_be());  // TPMS_NV_PUBLIC (Part 2, 13.5)
  TRY_ASSIGN(name_algorithm, in.u16_be());
  TRY_ASSIGN(attributes, in.u32_be());
  TRY_ASSIGN(policy, libtpms::sized(in));
  TRY_ASSIGN(content_bytes, in.u16_be());
  TRY_ASSIGN(authorization, libtpms::sized(in));
  TRY(libtpms::block(in));
  TRY_ASSIGN(stored_bytes, in.u32_be());
  TRY_ASSIGN(content, in.bytes(stored_bytes));
  index.index = number;
  index.attributes = attributes;
  index.content = content;
  index.data_bytes = content_bytes;
  index.name_algorithm = name_algorithm;
  index.has_policy = !policy.empty();
  index.has_authorization = !authorization.empty();
  // What is kept in RAM has no room here.
  const bool fits =
      content_bytes == stored_bytes || ((attributes & kTpmNvOrderly) != 0 && stored_bytes == 0);
  if (number != handle || !fits) {
    return corrupt("an index contradicts itself");
  }
  return index;
}

base::Result<TpmNvMemory> read(base::ByteView part) {
  base::Reader in(part);
  TpmNvMemory memory;
  TRY(libtpms::begin(in, Part::kUserNvram));
  TRY_ASSIGN(room, in.u64_be());
  memory.room_bytes = room;
  for (std::size_t entries = 0;; ++entries) {
    TRY_ASSIGN(entry_bytes, in.u32_be());  // as it lies in libtpms' memory; 0 is the end
    if (entry_bytes == 0) {
      break;
    }
    if (entries == kMostEntries) {
      return corrupt("it has too many entries");
    }
    memory.used_bytes += entry_bytes;
    TRY_ASSIGN(handle, in.u32_be());
    switch (handle >> kHandleTypeShift) {
      case kNvIndexType: {
        TRY_ASSIGN(found, read_index(in, handle));
        memory.indices.push_back(found);
        break;
      }
      case kPersistentType: {
        TRY_ASSIGN(object, libtpms::read_object(in));
        memory.objects.push_back({handle, object});
        break;
      }
      default:
        return corrupt("an entry has an unknown handle");
    }
  }
  TRY_ASSIGN(largest, in.u64_be());
  memory.largest_counter = largest;
  TRY(libtpms::block(in));
  TRY(libtpms::block(in));  // of the whole state
  TRY_ASSIGN(end, in.u32_be());
  TRY(in.expect_end());
  if (end != static_cast<std::uint32_t>(Part::kPersistentAll)) {
    return corrupt("the state does not end as it should");
  }
  return memory;
}

}  // namespace

base::Result<TpmNvMemory> decode_tpm_nv_memory(base::ByteView permanent_state) {
  auto from = permanent_state.begin();
  for (;;) {
    const auto found =
        std::search(from, permanent_state.end(), kUserNvramBytes.begin(), kUserNvramBytes.end());
    if (found == permanent_state.end()) {
      return corrupt("there is none in this state");
    }
    const auto offset = static_cast<std::size_t>(found - permanent_state.begin());
    if (offset >= kVersionBytes) {
      auto memory = read(permanent_state.subspan(offset - kVersionBytes));
      if (memory) {
        return memory;
      }
    }
    from = found + 1;
  }
}

base::Result<std::vector<TpmNvIndex>> decode_tpm_nv_indices(base::ByteView permanent_state) {
  TRY_ASSIGN(memory, decode_tpm_nv_memory(permanent_state));
  return std::move(memory.indices);
}

}  // namespace vmgs::format
