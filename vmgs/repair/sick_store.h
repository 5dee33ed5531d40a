// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>

#include "vmgs/base/bytes.h"
#include "vmgs/base/layout.h"
#include "vmgs/format/file_table.h"
#include "vmgs/format/header.h"
#include "vmgs/repair/plan.h"
#include "vmgs/volume/datastore_key.h"

namespace vmgs::repair {

// What a test's store is like before it is made sick.
struct StoreKind {
  bool encrypted = false;
  format::HeaderSpacing spacing = format::HeaderSpacing::k512;
  bool is_vhd = false;

  [[nodiscard]] std::string name() const;
};

using Contents = std::map<format::FileId, base::Bytes>;

// SickStore is a small store of several commits, as the bytes of a whole file, with ways to damage
// it at its joints. Its history: every file written, then file 1 rewritten, then file 45 rewritten
// in the newest commit; so both generations are there and differ.
class SickStore {
 public:
  explicit SickStore(StoreKind kind);

  static volume::DatastoreKey key();

  [[nodiscard]] const StoreKind& kind() const { return kind_; }

  [[nodiscard]] Patient patient() const;
  [[nodiscard]] std::optional<volume::DatastoreKey> own_key() const;

  // healthy() is what every file holds in the newest state, before() in the one before.
  [[nodiscard]] const Contents& healthy() const { return healthy_; }

  [[nodiscard]] const Contents& before() const { return before_; }

  base::Bytes bytes;  // the whole file

  // The parts of it, as they lie.
  [[nodiscard]] std::size_t newest_slot() const;
  [[nodiscard]] std::size_t header_at(std::size_t slot) const;
  [[nodiscard]] format::Header header(std::size_t slot) const;
  void put_header(std::size_t slot, const format::Header& header);

  [[nodiscard]] std::size_t table_at(std::size_t slot) const;
  [[nodiscard]] format::FileEntryLayout entry(format::FileId id) const;
  void put_entry(format::FileId id, const format::FileEntryLayout& entry);

  // flip() changes one byte.
  void flip(std::size_t at) { bytes[at] ^= std::byte{0x40}; }

  void fill(std::size_t at, std::size_t count, std::byte value);

  // contents_of() is what reads from the bytes of a whole file.
  [[nodiscard]] Contents contents_of(const base::Bytes& whole) const;

 private:
  StoreKind kind_;
  Contents healthy_;
  Contents before_;
};

}  // namespace vmgs::repair
