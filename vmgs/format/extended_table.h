// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "vmgs/base/layout.h"
#include "vmgs/base/secret.h"
#include "vmgs/format/blocks.h"
#include "vmgs/format/file_id.h"

namespace vmgs::format {

// One slot of the extended file table, byte for byte.
struct ExtendedEntryLayout {
  base::U32Le attributes;
  std::array<std::byte, 32> key;       // of the file, AES-256-GCM
  std::array<std::byte, 28> reserved;  // ours: SHA-224 of a plaintext file's content
};

static_assert(sizeof(ExtendedEntryLayout) == 64);
static_assert(offsetof(ExtendedEntryLayout, key) == 4);
static_assert(offsetof(ExtendedEntryLayout, reserved) == 36);

// What ours keeps in the key field of entry 0, which other writers leave zero and zero again when
// they write.
struct CommitInfoLayout {
  std::array<std::byte, 4> magic;  // "SRM1"
  base::U32Le flags;               // bit 0: committed with one barrier
  base::U64Le sequence;
  std::array<std::byte, 16> reserved;
};

static_assert(sizeof(CommitInfoLayout) == 32);
static_assert(offsetof(CommitInfoLayout, sequence) == 8);

// CommitInfo tells how this generation was committed by a writer of ours.
struct CommitInfo {
  bool one_barrier = false;
  // The commit sequence S: one more at every commit of an instance, kept by a tool that changes no
  // content, 0 when the content was made or edited by a tool.
  std::uint64_t sequence = 0;
};

using ContentDigest = std::array<std::byte, 28>;  // SHA-224

// ExtendedTable is the opened extended file table: file keys and, in stores of ours, digests. It is
// key material as a whole, so it lives in a secret and moves but does not copy. Block 63 of an
// encrypted store is this, sealed with the metadata key.
class ExtendedTable {
 public:
  // A table in which every slot is zero.
  ExtendedTable();

  // filled_by() lets `fill` write the 4096 plaintext bytes, as an AEAD open does.
  template <typename Fill>
  static base::Result<ExtendedTable> filled_by(Fill&& fill) {
    auto block = base::Secret<kBlockBytes>::filled_by(std::forward<Fill>(fill));
    if (!block) {
      return base::fail(std::move(block).error());
    }
    return ExtendedTable(*std::move(block));
  }

  [[nodiscard]] std::span<const std::byte, kBlockBytes> expose() const { return block_.expose(); }

  [[nodiscard]] ExtendedTable clone() const;

  [[nodiscard]] std::uint32_t attributes(FileId id) const;
  [[nodiscard]] base::Secret<32> key(FileId id) const;
  [[nodiscard]] ContentDigest digest(FileId id) const;

  // set_encrypted() gives a file its key; set_plaintext() gives it the digest of its content;
  // clear() makes the slot zero.
  void set_encrypted(FileId id, const base::Secret<32>& key);
  void set_plaintext(FileId id, const ContentDigest& digest);
  void clear(FileId id);

  // commit_info() is absent when a foreign writer made this table. Its digest, that of the file
  // table, is digest(FileId::kFileTable).
  [[nodiscard]] std::optional<CommitInfo> commit_info() const;
  void set_commit_info(const CommitInfo& info, const ContentDigest& file_table_digest);

 private:
  explicit ExtendedTable(base::Secret<kBlockBytes> block) : block_(std::move(block)) {}

  [[nodiscard]] std::span<const std::byte> slot(FileId id) const;
  [[nodiscard]] std::span<std::byte> slot(FileId id);

  base::Secret<kBlockBytes> block_;
};

// The digest that a table of ours keeps in entry 0: SHA-224 of the file table block with nonce and
// tag of entry 63 zeroed, since those are known only once this table is sealed.
ContentDigest file_table_digest(const Block& file_table);

}  // namespace vmgs::format
