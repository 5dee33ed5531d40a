// SPDX-License-Identifier: Apache-2.0
#include "vmgs/repair/salvage.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "vmgs/crypto/aead.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/repair/candidates.h"

namespace vmgs::repair {

namespace {

using format::FileEntry;
using format::FileId;
using volume::Generation;

// How many times the store's length is given out, and looked at with one key or another.
constexpr std::uint64_t kMostCopies = 64;
constexpr std::uint64_t kMostPasses = 1024;

struct TableLeft {
  std::uint32_t block;
  std::string origin;
};

// Every table of a generation long past leads to the same sealed table again: one is enough.
std::vector<Generation> distinct(std::vector<Generation> opened) {
  std::set<std::array<std::byte, 16>> seen;
  std::vector<Generation> result;
  for (auto& generation : opened) {
    const auto& table = generation.table();
    const auto entry = table ? table->entries[format::index(FileId::kExtendedFileTable)]
                             : std::optional<FileEntry>();
    if (!entry || seen.insert(entry->tag).second) {
      result.push_back(std::move(generation));
    }
  }
  return result;
}

// Tables that headers name come first, since what they lead to is best known.
base::Result<std::vector<TableLeft>> tables_left(storage::BlockDevice& device) {
  std::vector<TableLeft> result;
  base::Bytes area(format::kHeaderAreaBytes);
  TRY(device.read(0, area));
  const auto capacity = format::capacity_blocks(device.size_bytes());
  const auto add = [&](std::uint32_t block, std::string origin) {
    if (block < capacity && std::none_of(result.begin(), result.end(),
                                         [&](const auto& known) { return known.block == block; })) {
      result.push_back({block, std::move(origin)});
    }
  };
  for (const std::size_t at : {std::size_t{0}, std::size_t{512}, std::size_t{4096}}) {
    const auto header = mended_header(std::span(area).subspan(at).first<format::kHeaderBytes>());
    if (header) {
      add(header->file_table_block, "header-" + std::to_string(at));
    }
  }
  const auto scanned = tables_found(device);
  for (const auto block : scanned ? *scanned : std::vector<std::uint32_t>()) {
    add(block, "block-" + std::to_string(block));
  }
  return result;
}

class Salvage {
 public:
  Salvage(storage::BlockDevice& device, std::vector<Generation> opened,
          const std::function<base::Result<void>(const Salvaged&)>& take)
      : device_(device),
        opened_(distinct(std::move(opened))),
        take_(take),
        most_given_(device.size_bytes() * kMostCopies),
        most_looked_at_(device.size_bytes() * kMostPasses) {}

  [[nodiscard]] bool at_limit() const {
    return given_bytes_ > most_given_ || looked_at_bytes_ > most_looked_at_;
  }

  base::Result<void> look_through(const TableLeft& table) {
    format::Block block{};
    if (!device_.read(std::uint64_t{table.block} * format::kBlockBytes, block)) {
      return {};
    }
    const auto capacity = format::capacity_blocks(device_.size_bytes());
    for (std::size_t i = 0; i < format::kFileIds; ++i) {
      const auto id = static_cast<FileId>(i);
      const auto entry = format::decode_file_entry(block, id, capacity);
      if (!format::is_content(id) || !entry || !*entry || at_limit()) {
        continue;
      }
      const auto raw = std::span(block)
                           .subspan(i * sizeof(format::FileEntryLayout))
                           .first<sizeof(format::FileEntryLayout)>();
      if (looked_at_.insert({id, crypto::sha256(raw)}).second) {
        TRY(look_at(table, id, **entry));
      }
    }
    return {};
  }

 private:
  base::Result<void> look_at(const TableLeft& table, FileId id, const FileEntry& entry) {
    looked_at_bytes_ += entry.valid_bytes;
    base::SecretBytes raw(entry.valid_bytes);
    if (!device_.read(std::uint64_t{entry.first_block} * format::kBlockBytes, raw.fill())) {
      return {};  // a bad sector takes one file, not the rest
    }
    for (const auto& generation : opened_) {
      const auto& extended = generation.extended();
      looked_at_bytes_ += entry.valid_bytes;
      if (at_limit()) {
        return {};
      }
      if (format::is_encrypted(extended.attributes(id))) {
        base::SecretBytes content(raw.size());
        if (crypto::open(extended.key(id), entry.nonce, {}, entry.tag, raw.expose(),
                         content.fill())) {
          return give({id, table.origin, table.block, true, std::move(content)});
        }
      } else if (generation.commit_info() && crypto::sha224(raw.expose()) == extended.digest(id)) {
        return give({id, table.origin, table.block, true, std::move(raw)});
      }
    }
    const bool sealed = format::is_encrypted(entry.attributes) || !base::is_all_zero(entry.nonce) ||
                        !base::is_all_zero(entry.tag);
    return sealed ? base::Result<void>()
                  : give({id, table.origin, table.block, false, std::move(raw)});
  }

  base::Result<void> give(const Salvaged& found) {
    const auto digest = crypto::sha256(found.content.expose());
    if (!given_.insert({found.id, digest}).second) {
      return {};
    }
    given_bytes_ += found.content.size();
    return take_(found);
  }

  storage::BlockDevice& device_;
  std::vector<Generation> opened_;
  const std::function<base::Result<void>(const Salvaged&)>& take_;
  std::uint64_t most_given_;
  std::uint64_t most_looked_at_;
  std::uint64_t given_bytes_ = 0;
  std::uint64_t looked_at_bytes_ = 0;
  std::set<std::pair<FileId, crypto::Sha256Digest>> looked_at_;  // entries, by their bytes
  std::set<std::pair<FileId, crypto::Sha256Digest>> given_;
};

}  // namespace

base::Result<KeyFits> key_fits(storage::BlockDevice& device, const volume::DatastoreKey& key) {
  if (device.size_bytes() < format::kHeaderAreaBytes) {
    return base::fail(base::ErrorCode::kCorrupt, "it is too short to hold any header");
  }
  TRY_ASSIGN(area, read_area(device));
  bool any_slot = false;
  for (const std::size_t at : {std::size_t{0}, std::size_t{512}, std::size_t{4096}}) {
    const auto raw = std::span(area).subspan(at).first<format::kHeaderBytes>();
    if (has_key_slots(raw)) {
      any_slot = true;
      if (opens_key_slot(raw, key)) {
        return KeyFits::kYes;
      }
    }
  }
  return any_slot ? KeyFits::kNo : KeyFits::kNoSlotIsLeft;
}

base::Result<Searched> salvage(storage::BlockDevice& device, const volume::DatastoreKey* key,
                               const std::function<base::Result<void>(const Salvaged&)>& take) {
  if (device.size_bytes() < format::kHeaderAreaBytes) {
    return base::fail(base::ErrorCode::kCorrupt, "it is too short to hold any file");
  }
  TRY_ASSIGN(tables, tables_left(device));
  std::vector<Generation> opened;
  if (key != nullptr) {
    auto found = generations_opened(device, *key);
    opened = found ? *std::move(found) : std::vector<Generation>();
  }
  Salvage work(device, std::move(opened), take);
  for (const auto& table : tables) {
    TRY(work.look_through(table));
    if (work.at_limit()) {
      return Searched::kUpToLimit;
    }
  }
  return Searched::kAll;
}

}  // namespace vmgs::repair
