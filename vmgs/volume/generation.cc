// SPDX-License-Identifier: Apache-2.0
#include "vmgs/volume/generation.h"

#include <algorithm>
#include <string>
#include <utility>

#include "vmgs/crypto/aead.h"
#include "vmgs/crypto/digest.h"

namespace vmgs::volume {

namespace {

using format::FileId;

std::uint64_t byte_offset(std::uint32_t block) {
  return std::uint64_t{block} * format::kBlockBytes;
}

// A tag can fail because the blocks never reached the disk; then they are still zero.
base::Error does_not_authenticate(base::ByteView ciphertext) {
  constexpr std::size_t kTooLongForChance = 16;
  if (ciphertext.size() >= kTooLongForChance && base::is_all_zero(ciphertext)) {
    return {base::ErrorCode::kAuthentication,
            "lost write: its blocks hold only zeros where ciphertext should be"};
  }
  return {base::ErrorCode::kAuthentication,
          "does not authenticate: damaged, or not written by the holder of the key"};
}

}  // namespace

base::Result<Generation> Generation::read(storage::BlockDevice& device, std::size_t slot,
                                          const format::Header& header) {
  const auto capacity = format::capacity_blocks(device.size_bytes());
  format::Block block{};
  if (header.file_table_block >= capacity) {
    return Generation(slot, header,
                      base::fail(base::ErrorCode::kCorrupt,
                                 "file table block " + std::to_string(header.file_table_block) +
                                     " lies past the store's " + std::to_string(capacity)),
                      block);
  }
  TRY(device.read(byte_offset(header.file_table_block), block));
  Generation generation(slot, header,
                        format::decode_file_table(block, header.file_table_block, capacity), block);
  const auto entry = format::decode_file_entry(block, FileId::kExtendedFileTable, capacity);
  if (entry && *entry && (*entry)->allocated_blocks == 1 &&
      (*entry)->valid_bytes == format::kBlockBytes) {
    generation.extended_entry_ = **entry;
  }
  return generation;
}

Generation::Generation(std::size_t slot, format::Header header,
                       base::Result<format::FileTable> table, const format::Block& table_block)
    : slot_(slot),
      header_(std::move(header)),
      table_(std::move(table)),
      file_table_digest_(format::file_table_digest(table_block)) {}

Generation::Generation(std::size_t slot, format::Header header, format::FileTable table,
                       std::optional<format::ExtendedTable> extended)
    : slot_(slot),
      header_(std::move(header)),
      table_(std::move(table)),
      extended_entry_((*table_)[FileId::kExtendedFileTable]),
      file_table_digest_(format::file_table_digest(format::encode_file_table(*table_))),
      extended_(std::move(extended)) {
  for (std::size_t i = 0; extended_ && i < header_.key_slots.size(); ++i) {
    if (header_.key_slots[i]) {
      key_slot_ = i;
    }
  }
}

base::Result<Unlocking> Generation::unlock(storage::BlockDevice& device, const DatastoreKey& key) {
  if (!header_.encrypted) {
    return base::fail(base::ErrorCode::kInvalidArgument, "the store is not encrypted");
  }
  auto outcome = Unlocking::kNoSlotOpens;
  for (std::size_t i = 0; i < header_.key_slots.size(); ++i) {
    const auto& slot = header_.key_slots[i];
    if (!slot) {
      continue;
    }
    auto metadata_key = crypto::AeadKey::filled_by([&](std::span<std::byte, 32> out) {
      return crypto::open(key.bytes, slot->nonce, {}, slot->tag, slot->wrapped_key, out);
    });
    if (!metadata_key) {
      continue;
    }
    outcome = Unlocking::kTableDoesNotOpen;
    if (!extended_entry_) {
      continue;
    }
    format::Block sealed{};
    TRY(device.read(byte_offset(extended_entry_->first_block), sealed));
    auto extended =
        format::ExtendedTable::filled_by([&](std::span<std::byte, format::kBlockBytes> out) {
          return crypto::open(*metadata_key, extended_entry_->nonce, {}, extended_entry_->tag,
                              sealed, out);
        });
    // After an interrupted rekey one slot may be stale: it opens, to a metadata key of the past. So
    // the other slot is tried before this counts as a failure.
    if (extended) {
      extended_ = *std::move(extended);
      key_slot_ = i;
      metadata_key_is_zero_ = metadata_key->is_all_zero();
      return Unlocking::kOpened;
    }
  }
  return outcome;
}

void Generation::lock() {
  extended_.reset();
  key_slot_.reset();
  metadata_key_is_zero_ = false;
}

void Generation::relocate(std::size_t slot, std::uint32_t sequence) {
  slot_ = slot;
  header_.sequence = sequence;
}

std::optional<format::CommitInfo> Generation::commit_info() const {
  return extended_ ? extended_->commit_info() : std::nullopt;
}

bool Generation::file_table_digest_holds() const {
  return !commit_info() ||
         crypto::equal_in_constant_time(extended_->digest(FileId::kFileTable), file_table_digest_);
}

bool Generation::is_encrypted(FileId id) const {
  const auto& entry = (*table_)[id];
  if (!header_.encrypted) {
    return entry && format::is_encrypted(entry->attributes);
  }
  if (!extended_) {
    // Anybody can clear the attributes of the file table; what has a nonce or a tag was sealed.
    return entry && (format::is_encrypted(entry->attributes) || !base::is_all_zero(entry->nonce) ||
                     !base::is_all_zero(entry->tag));
  }
  return entry && format::is_encrypted(extended_->attributes(id));
}

base::Result<base::SecretBytes> Generation::read_file(storage::BlockDevice& device,
                                                      FileId id) const {
  if (!table_) {
    return base::fail(table_.error());
  }
  const auto& entry = (*table_)[id];
  if (!format::is_content(id) || !entry) {
    return base::fail(base::ErrorCode::kNotFound, format::describe(id) + " is not in the store");
  }
  const auto refuse = [&](base::ErrorCode code, std::string why) {
    return base::fail(base::Error{code, std::move(why)}.context(format::describe(id)));
  };
  const bool table_says_encrypted = format::is_encrypted(entry->attributes);
  if (table_says_encrypted && !header_.encrypted) {
    return refuse(base::ErrorCode::kCorrupt,
                  "is encrypted, but the header says that the store is not: a downgrade, or a "
                  "removed key");
  }
  const bool encrypted = is_encrypted(id);
  if (encrypted && !extended_) {
    return refuse(base::ErrorCode::kDenied, "is encrypted: the store's key is needed to read it");
  }
  if ((table_says_encrypted && !encrypted) ||
      (commit_info() && table_says_encrypted != encrypted)) {
    return refuse(base::ErrorCode::kAuthentication,
                  "the file table and the sealed table disagree on whether it is encrypted: "
                  "somebody changed it without the key");
  }

  base::SecretBytes content(entry->valid_bytes);
  auto read = device.read(byte_offset(entry->first_block), content.fill());
  if (!read) {
    return base::fail(std::move(read).error().context(format::describe(id)));
  }
  if (encrypted) {
    base::SecretBytes opened(content.size());
    const auto result = crypto::open(extended_->key(id), entry->nonce, {}, entry->tag,
                                     content.expose(), opened.fill());
    if (!result) {
      return base::fail(does_not_authenticate(content.expose()).context(format::describe(id)));
    }
    return opened;
  }
  if (commit_info() && crypto::sha224(content.expose()) != extended_->digest(id)) {
    return refuse(base::ErrorCode::kAuthentication,
                  "its content does not match the digest in the sealed table");
  }
  return content;
}

std::vector<FileFailure> Generation::failing_files(storage::BlockDevice& device) const {
  std::vector<FileFailure> failures;
  for (std::size_t i = 0; i < format::kFileIds; ++i) {
    const auto id = static_cast<FileId>(i);
    const bool locked_away = header_.encrypted && !extended_ && is_encrypted(id);
    if (!format::is_content(id) || !(*table_)[id] || locked_away) {
      continue;
    }
    auto content = read_file(device, id);
    if (!content) {
      failures.push_back({id, std::move(content).error()});
    }
  }
  return failures;
}

bool Generation::shares(const Generation& other, FileId id) const {
  if (!table_ || !other.table_ || (*table_)[id] != (*other.table_)[id]) {
    return false;
  }
  if (!extended_ || !other.extended_) {
    return true;
  }
  return extended_->attributes(id) == other.extended_->attributes(id) &&
         extended_->key(id).equals_in_constant_time(other.extended_->key(id)) &&
         extended_->digest(id) == other.extended_->digest(id);
}

}  // namespace vmgs::volume
