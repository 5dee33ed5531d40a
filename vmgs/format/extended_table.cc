// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/extended_table.h"

#include <algorithm>
#include <cstring>

#include "vmgs/base/bytes.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/format/file_table.h"

namespace vmgs::format {

namespace {

constexpr std::string_view kMagic = "SRM1";
constexpr std::uint32_t kFlagOneBarrier = 1;

constexpr std::size_t kEntryBytes = sizeof(ExtendedEntryLayout);
constexpr std::size_t kKeyOffset = offsetof(ExtendedEntryLayout, key);
constexpr std::size_t kReservedOffset = offsetof(ExtendedEntryLayout, reserved);

}  // namespace

// The slots are read and written in place, so that no copy of a key is left on the stack.

ExtendedTable::ExtendedTable() : block_(base::Secret<kBlockBytes>::zero()) {}

ExtendedTable ExtendedTable::clone() const {
  return ExtendedTable(base::Secret<kBlockBytes>::copy_of(block_.expose()));
}

std::span<const std::byte> ExtendedTable::slot(FileId id) const {
  return block_.expose().subspan(index(id) * kEntryBytes, kEntryBytes);
}

std::span<std::byte> ExtendedTable::slot(FileId id) {
  return block_.fill().subspan(index(id) * kEntryBytes, kEntryBytes);
}

std::uint32_t ExtendedTable::attributes(FileId id) const {
  return base::load<base::U32Le>(slot(id).first<4>()).value();
}

base::Secret<32> ExtendedTable::key(FileId id) const {
  return base::Secret<32>::copy_of(slot(id).subspan<kKeyOffset, 32>());
}

ContentDigest ExtendedTable::digest(FileId id) const {
  return base::load<ContentDigest>(slot(id).subspan<kReservedOffset, 28>());
}

void ExtendedTable::clear(FileId id) { std::ranges::fill(slot(id), std::byte{0}); }

void ExtendedTable::set_encrypted(FileId id, const base::Secret<32>& key) {
  clear(id);
  base::store(base::U32Le(kAttributesEncrypted), slot(id).first<4>());
  std::ranges::copy(key.expose(), slot(id).subspan<kKeyOffset, 32>().begin());
}

void ExtendedTable::set_plaintext(FileId id, const ContentDigest& digest) {
  clear(id);
  base::store(digest, slot(id).subspan<kReservedOffset, 28>());
}

std::optional<CommitInfo> ExtendedTable::commit_info() const {
  const auto raw = base::load<CommitInfoLayout>(slot(FileId::kFileTable).subspan<kKeyOffset, 32>());
  if (!std::ranges::equal(raw.magic, base::bytes_of(kMagic))) {
    return std::nullopt;
  }
  return CommitInfo{(raw.flags.value() & kFlagOneBarrier) != 0, raw.sequence.value()};
}

void ExtendedTable::set_commit_info(const CommitInfo& info,
                                    const ContentDigest& file_table_digest) {
  CommitInfoLayout raw{};
  std::ranges::copy(base::bytes_of(kMagic), raw.magic.begin());
  raw.flags = info.one_barrier ? kFlagOneBarrier : 0;
  raw.sequence = info.sequence;
  clear(FileId::kFileTable);
  base::store(raw, slot(FileId::kFileTable).subspan<kKeyOffset, 32>());
  base::store(file_table_digest, slot(FileId::kFileTable).subspan<kReservedOffset, 28>());
}

ContentDigest file_table_digest(const Block& file_table) {
  auto raw = base::load<FileTableLayout>(file_table);
  auto& self = raw[index(FileId::kExtendedFileTable)];
  self.nonce.fill(std::byte{0});
  self.tag.fill(std::byte{0});
  return crypto::sha224(std::as_bytes(std::span(raw)));
}

}  // namespace vmgs::format
