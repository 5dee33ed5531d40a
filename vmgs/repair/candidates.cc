// SPDX-License-Identifier: Apache-2.0
#include "vmgs/repair/candidates.h"

#include <algorithm>
#include <set>
#include <utility>

#include "vmgs/crypto/aead.h"

namespace vmgs::repair {

namespace {

using format::FileId;
using volume::Generation;

constexpr std::uint64_t kBlocksAtATime = 64;

struct Left {
  format::Header header;
  std::size_t slot;
};

// What is left of headers in the four places where one can lie.
std::vector<Left> headers_left(format::HeaderArea area) {
  std::vector<Left> result;
  for (const auto spacing : {format::HeaderSpacing::k512, format::HeaderSpacing::k4096}) {
    for (std::size_t slot = 0; slot < 2; ++slot) {
      auto header = mended_header(format::header_at(area, spacing, slot));
      // Slot 0 lies in one place at either spacing.
      if (header && (slot == 1 || spacing == format::HeaderSpacing::k512)) {
        result.push_back({*std::move(header), slot});
      }
    }
  }
  return result;
}

// The 64 bytes of each key slot as they lie, even where nothing else of the header is left.
std::vector<std::pair<std::size_t, format::KeySlot>> key_slots_left(format::HeaderArea area) {
  std::vector<std::pair<std::size_t, format::KeySlot>> result;
  for (const std::size_t at : {std::size_t{0}, std::size_t{512}, std::size_t{4096}}) {
    const auto raw =
        base::load<format::HeaderLayout>(area.subspan(at).first<format::kHeaderBytes>());
    for (std::size_t i = 0; i < raw.key_slots.size(); ++i) {
      const auto& slot = raw.key_slots[i];
      if (!base::is_all_zero(slot.wrapped_key)) {
        result.emplace_back(i, format::KeySlot{slot.nonce, slot.tag, slot.wrapped_key});
      }
    }
  }
  return result;
}

format::HeaderLayout with_fixed_fields(format::HeaderLayout layout) {
  const auto good = base::load<format::HeaderLayout>(base::view(format::encode_header({})));
  layout.signature = good.signature;
  layout.version = good.version;
  layout.header_bytes = good.header_bytes;
  layout.file_table_blocks = good.file_table_blocks;
  return layout;
}

}  // namespace

std::optional<format::Header> mended_header(format::HeaderBytes raw) {
  auto layout = base::load<format::HeaderLayout>(raw);
  const auto good = base::load<format::HeaderLayout>(base::view(format::encode_header({})));
  const int known = (layout.signature == good.signature ? 1 : 0) +
                    (layout.version.value() == good.version.value() ? 1 : 0) +
                    (layout.header_bytes.value() == good.header_bytes.value() ? 1 : 0) +
                    (layout.file_table_blocks.value() == good.file_table_blocks.value() ? 1 : 0);
  if (known < 3) {
    return std::nullopt;
  }
  layout = with_fixed_fields(layout);
  layout.checksum = format::header_checksum(base::view(layout));
  auto header = format::decode_header(base::view(layout));
  return header ? std::optional(*std::move(header)) : std::nullopt;
}

bool had_sequence(format::HeaderBytes raw, std::uint32_t sequence) {
  auto layout = with_fixed_fields(base::load<format::HeaderLayout>(raw));
  layout.sequence = sequence;
  return layout.checksum.value() == format::header_checksum(base::view(layout));
}

bool has_key_slots(format::HeaderBytes raw) {
  if (std::all_of(raw.begin(), raw.end(), [&raw](std::byte one) { return one == raw[0]; })) {
    return false;
  }
  const auto layout = base::load<format::HeaderLayout>(raw);
  return !base::is_all_zero(layout.key_slots[0].wrapped_key) ||
         !base::is_all_zero(layout.key_slots[1].wrapped_key);
}

bool opens_key_slot(format::HeaderBytes raw, const volume::DatastoreKey& key) {
  const auto layout = base::load<format::HeaderLayout>(raw);
  return std::any_of(layout.key_slots.begin(), layout.key_slots.end(), [&](const auto& slot) {
    auto metadata_key = base::Secret<32>::zero();
    return !base::is_all_zero(slot.wrapped_key) &&
           crypto::open(key.bytes, slot.nonce, {}, slot.tag, slot.wrapped_key, metadata_key.fill());
  });
}

bool is_opened_by(const Generation& generation, format::HeaderBytes raw) {
  if (!generation.unlocked() || !generation.key_slot()) {
    return false;
  }
  const auto& used = generation.header().key_slots.at(*generation.key_slot());
  const auto layout = base::load<format::HeaderLayout>(raw);
  return used &&
         std::any_of(layout.key_slots.begin(), layout.key_slots.end(), [&](const auto& slot) {
           return *used == format::KeySlot{slot.nonce, slot.tag, slot.wrapped_key};
         });
}

std::uint64_t commit_sequence(const Generation& generation) {
  const auto info = generation.commit_info();
  return info ? info->sequence : 0;
}

base::Result<base::Bytes> read_area(storage::BlockDevice& device) {
  base::Bytes area(format::kHeaderAreaBytes);
  TRY(device.read(0, area));
  return area;
}

base::Result<std::vector<std::uint32_t>> tables_found(storage::BlockDevice& device) {
  const auto capacity = format::capacity_blocks(device.size_bytes());
  std::vector<std::uint32_t> result;
  base::Bytes read;
  for (std::uint64_t at = format::kFirstUsableBlock; at < capacity; at += kBlocksAtATime) {
    read.resize(std::min(kBlocksAtATime, capacity - at) * format::kBlockBytes);
    TRY(device.read(at * format::kBlockBytes, read));
    for (std::uint64_t i = 0; i < read.size() / format::kBlockBytes; ++i) {
      const auto block = base::ByteView(read).subspan(i * format::kBlockBytes);
      const auto number = static_cast<std::uint32_t>(at + i);
      const auto table =
          format::decode_file_table(block.first<format::kBlockBytes>(), number, capacity);
      if (table && !format::find_overlap(*table)) {
        result.push_back(number);
      }
    }
  }
  return result;
}

bool is_sound(const Generation& generation) {
  const auto& table = generation.table();
  return table && !generation.header().encrypted && !generation.header().key_slots[0] &&
         !generation.header().key_slots[1] && !format::find_overlap(*table) &&
         std::none_of(table->entries.begin(), table->entries.end(), [](const auto& entry) {
           return entry && (format::is_encrypted(entry->attributes) ||
                            !base::is_all_zero(entry->nonce) || !base::is_all_zero(entry->tag));
         });
}

bool is_whole(storage::BlockDevice& device, const Generation& generation) {
  return generation.table() && !format::find_overlap(*generation.table()) &&
         (!generation.header().encrypted || generation.unlocked()) &&
         generation.file_table_digest_holds() && generation.failing_files(device).empty();
}

base::Result<std::vector<Generation>> generations_opened(storage::BlockDevice& device,
                                                         const volume::DatastoreKey& key) {
  std::array<std::byte, format::kHeaderAreaBytes> area{};
  if (device.size_bytes() < area.size()) {
    return std::vector<Generation>();
  }
  TRY(device.read(0, area));
  const auto headers = headers_left(area);
  const auto slots = key_slots_left(area);
  TRY_ASSIGN(scanned, tables_found(device));
  std::set<std::uint32_t> tables(scanned.begin(), scanned.end());
  for (const auto& left : headers) {
    tables.insert(left.header.file_table_block);
  }
  std::vector<Generation> result;
  for (const auto table : tables) {
    const auto own = std::find_if(headers.begin(), headers.end(), [table](const Left& left) {
      return left.header.file_table_block == table;
    });
    std::vector<format::Header> attempts;
    if (own != headers.end()) {
      attempts.push_back(own->header);
      attempts.back().encrypted = true;
    }
    for (const auto& [index, slot] : slots) {
      attempts.push_back(own != headers.end() ? own->header : format::Header{});
      attempts.back().file_table_block = table;
      attempts.back().encrypted = true;
      attempts.back().key_slots = {};
      attempts.back().key_slots[index] = slot;
    }
    for (const auto& header : attempts) {
      TRY_ASSIGN(generation,
                 Generation::read(device, own != headers.end() ? own->slot : 0, header));
      TRY_ASSIGN(unlocking, generation.unlock(device, key));
      if (unlocking == volume::Unlocking::kOpened) {
        result.push_back(std::move(generation));
        break;
      }
    }
  }
  return result;
}

}  // namespace vmgs::repair
