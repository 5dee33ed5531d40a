// SPDX-License-Identifier: Apache-2.0
#include "vmgs/repair/sick_store.h"

#include <algorithm>
#include <cstdlib>

#include "vmgs/format/vhd_footer.h"
#include "vmgs/repair/packaging.h"
#include "vmgs/repair/window.h"
#include "vmgs/storage/memory.h"
#include "vmgs/volume/volume.h"

namespace vmgs::repair {

namespace {

using format::FileId;
using volume::Transaction;
using volume::Volume;

constexpr std::size_t kBlocks = 40;

base::Bytes pattern(std::size_t size, unsigned seed) {
  base::Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>(i * 7 + i / 251 + seed);
  }
  return bytes;
}

void require(bool fine) {
  if (!fine) {
    std::abort();
  }
}

void commit(Volume& store, const Contents& contents) {
  Transaction transaction(volume::Sequence::kAdvance, volume::Barriers::kTwo);
  for (const auto& [id, content] : contents) {
    transaction.put(
        id, content,
        id == FileId::kVmUniqueId ? volume::Protection::kPlaintext : volume::Protection::kAsStore);
  }
  require(store.commit(transaction).has_value());
}

}  // namespace

std::string StoreKind::name() const {
  return std::string(encrypted ? "Encrypted" : "Plaintext") +
         std::to_string(static_cast<std::uint32_t>(spacing)) + (is_vhd ? "Vhd" : "Raw");
}

SickStore::SickStore(StoreKind kind) : kind_(kind) {
  storage::MemoryDevice device(kBlocks * format::kBlockBytes);
  auto store = Volume::format(device, kind.spacing, own_key());
  require(store.has_value());
  healthy_ = {{FileId::kBiosNvram, pattern(5000, 1)},
              {FileId::kVmUniqueId, pattern(20, 2)},
              {static_cast<FileId>(20), pattern(4096, 3)},
              {static_cast<FileId>(45), pattern(9000, 4)}};
  commit(*store, healthy_);
  healthy_[FileId::kBiosNvram] = pattern(5100, 5);
  commit(*store, {{FileId::kBiosNvram, healthy_[FileId::kBiosNvram]}});
  before_ = healthy_;
  healthy_[static_cast<FileId>(45)] = pattern(8000, 6);
  commit(*store, {{static_cast<FileId>(45), healthy_[static_cast<FileId>(45)]}});
  bytes = device.contents();
  if (kind.is_vhd) {
    const auto footer = format::make_vhd_footer(bytes.size(), {});
    const auto raw = base::view(footer->raw);
    bytes.insert(bytes.end(), raw.begin(), raw.end());
  }
}

volume::DatastoreKey SickStore::key() {
  volume::DatastoreKey made{base::Secret<32>::zero()};
  std::ranges::fill(made.bytes.fill(), std::byte{0x5A});
  return made;
}

Patient SickStore::patient() const {
  Patient patient;
  if (!kind_.is_vhd) {
    patient.spacing = kind_.spacing;
  }
  return patient;
}

std::optional<volume::DatastoreKey> SickStore::own_key() const {
  return kind_.encrypted ? std::optional(key()) : std::nullopt;
}

std::size_t SickStore::newest_slot() const {
  return format::follows(header(1).sequence, header(0).sequence) ? 1 : 0;
}

std::size_t SickStore::header_at(std::size_t slot) const {
  return slot * static_cast<std::size_t>(kind_.spacing);
}

format::Header SickStore::header(std::size_t slot) const {
  const auto decoded = format::decode_header(
      std::span(bytes).subspan(header_at(slot)).first<format::kHeaderBytes>());
  require(decoded.has_value());
  return *decoded;
}

void SickStore::put_header(std::size_t slot, const format::Header& header) {
  base::store(format::encode_header(header),
              std::span(bytes).subspan(header_at(slot)).first<format::kHeaderBytes>());
}

std::size_t SickStore::table_at(std::size_t slot) const {
  return std::size_t{header(slot).file_table_block} * format::kBlockBytes;
}

format::FileEntryLayout SickStore::entry(FileId id) const {
  return base::load<format::FileEntryLayout>(
      std::span(bytes)
          .subspan(table_at(newest_slot()) + format::index(id) * sizeof(format::FileEntryLayout))
          .first<sizeof(format::FileEntryLayout)>());
}

void SickStore::put_entry(FileId id, const format::FileEntryLayout& entry) {
  base::store(entry, std::span(bytes)
                         .subspan(table_at(newest_slot()) +
                                  format::index(id) * sizeof(format::FileEntryLayout))
                         .first<sizeof(format::FileEntryLayout)>());
}

void SickStore::fill(std::size_t at, std::size_t count, std::byte value) {
  std::ranges::fill(std::span(bytes).subspan(at, count), value);
}

Contents SickStore::contents_of(const base::Bytes& whole) const {
  storage::MemoryDevice device(whole);
  const auto packaging = find_packaging(device, patient());
  if (!packaging) {
    return {};
  }
  Window window(device, packaging->store_bytes);
  auto opened = Volume::open(window, packaging->spacing);
  if (!opened || (opened->encrypted() && !opened->unlock(volume::fixed_key(key())))) {
    return {};
  }
  Contents contents;
  for (const auto& file : opened->files()) {
    if (const auto content = opened->read(file.id)) {
      contents[file.id] = base::copy_of(content->expose());
    }
  }
  return contents;
}

}  // namespace vmgs::repair
