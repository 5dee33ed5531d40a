// SPDX-License-Identifier: Apache-2.0
#include "vmgs/volume/commit_plan.h"

#include <algorithm>
#include <array>
#include <utility>

#include "vmgs/crypto/aead.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/crypto/random.h"
#include "vmgs/volume/placement.h"

namespace vmgs::volume {

namespace {

using format::FileId;

constexpr std::uint32_t kFormattedTableBlock = 2;
constexpr std::uint32_t kFormattedExtendedTableBlock = 3;

// Nonces of files and tables: 4 random bytes, then zeros; unique because the key is used once.
base::Result<crypto::AeadNonce> one_time_nonce() {
  crypto::AeadNonce nonce{};
  TRY(crypto::random_bytes(std::span(nonce).first<4>()));
  return nonce;
}

base::Bytes whole_blocks(base::ByteView content) {
  base::Bytes bytes(format::blocks_for(content.size()) * format::kBlockBytes);
  std::copy(content.begin(), content.end(), bytes.begin());
  return bytes;
}

base::Result<format::FileEntry> place_file(Placement& placement, std::uint64_t size_bytes) {
  const auto blocks = format::blocks_for(size_bytes);
  TRY_ASSIGN(first, placement.place(blocks));
  format::FileEntry entry;
  entry.first_block = first;
  entry.allocated_blocks = static_cast<std::uint32_t>(blocks);
  entry.valid_bytes = size_bytes;
  return entry;
}

base::Result<void> plan_file(CommitPlan& plan, Placement& placement,
                             const Transaction::Change& change) {
  TRY_ASSIGN(entry, place_file(placement, change.content.size()));
  auto bytes = whole_blocks(change.content);
  if (plan.extended && change.protection == Protection::kAsStore) {
    TRY_ASSIGN(key, crypto::random_secret<32>());
    TRY_ASSIGN(nonce, one_time_nonce());
    TRY_ASSIGN(tag, crypto::seal(key, nonce, {}, change.content,
                                 std::span(bytes).first(change.content.size())));
    entry.nonce = nonce;
    entry.tag = tag;
    entry.attributes = format::kAttributesEncrypted;
    plan.extended->set_encrypted(change.id, key);
  } else if (plan.extended) {
    plan.extended->set_plaintext(change.id, crypto::sha224(change.content));
  }
  plan.table[change.id] = entry;
  plan.writes.push_back({entry.first_block, std::move(bytes)});
  return {};
}

// A store that another writer left has no digests, and may not say in the file table which files
// are encrypted. Both are made good for the files that this commit does not touch.
base::Result<void> adopt_foreign_files(storage::BlockDevice& device, const Generation& committed,
                                       const Transaction& transaction, CommitPlan& plan) {
  for (std::size_t i = 0; i < format::kFileIds; ++i) {
    const auto id = static_cast<FileId>(i);
    auto& entry = plan.table[id];
    const bool is_new =
        std::any_of(transaction.changes().begin(), transaction.changes().end(),
                    [id](const auto& change) { return change.id == id && !change.relocates; });
    if (entry && is_new) {
      continue;  // what it was before says nothing of it
    }
    if (!entry) {
      plan.extended->clear(id);
    } else if (format::is_content(id) && committed.is_encrypted(id)) {
      entry->attributes |= format::kAttributesEncrypted;
    } else if (format::is_content(id) && !format::is_encrypted(entry->attributes)) {
      TRY_ASSIGN(content, committed.read_file(device, id));
      plan.extended->set_plaintext(id, crypto::sha224(content.expose()));
    }
  }
  return {};
}

std::uint64_t sequence_after(Sequence change, std::uint64_t before) {
  switch (change) {
    case Sequence::kAdvance:
      return before + 1;
    case Sequence::kKeep:
      return before;
    case Sequence::kEdit:
      return 0;
  }
  return 0;
}

// The bytes as they lie, ciphertext where they are that.
base::Result<void> plan_relocation(storage::BlockDevice& device, CommitPlan& plan,
                                   Placement& placement, FileId id) {
  auto& entry = plan.table[id];
  if (!entry) {
    return {};
  }
  TRY_ASSIGN(place, place_file(placement, entry->valid_bytes));
  base::Bytes content(static_cast<std::size_t>(entry->valid_bytes));
  TRY(device.read(std::uint64_t{entry->first_block} * format::kBlockBytes, content));
  entry->first_block = place.first_block;
  entry->allocated_blocks = place.allocated_blocks;
  plan.writes.push_back({entry->first_block, whole_blocks(content)});
  return {};
}

base::Result<void> plan_changes(storage::BlockDevice* device, CommitPlan& plan,
                                Placement& placement, const Transaction& transaction) {
  for (const auto& change : transaction.changes()) {
    if (change.relocates) {
      TRY(plan_relocation(*device, plan, placement, change.id));
      continue;
    }
    if (!change.removes) {
      TRY(plan_file(plan, placement, change));
      continue;
    }
    plan.table[change.id].reset();
    if (plan.extended) {
      plan.extended->clear(change.id);
    }
  }
  return {};
}

// Completes a plan whose files are placed: digests and commit info go into the extended table,
// which is sealed under a fresh metadata key, which the header wraps.
base::Result<void> seal_tables(CommitPlan& plan, const CommitKey& key, std::uint64_t sequence) {
  auto& extended = *plan.extended;
  auto& entry = *plan.table[FileId::kExtendedFileTable];
  TRY_ASSIGN(metadata_key, crypto::random_secret<32>());
  TRY_ASSIGN(nonce, one_time_nonce());
  entry.attributes = format::kAttributesEncrypted;
  extended.set_encrypted(FileId::kExtendedFileTable, metadata_key);
  extended.set_commit_info({plan.one_barrier, sequence},
                           format::file_table_digest(format::encode_file_table(plan.table)));

  base::Bytes sealed(format::kBlockBytes);
  TRY_ASSIGN(tag, crypto::seal(metadata_key, nonce, {}, extended.expose(), sealed));
  entry.nonce = nonce;
  entry.tag = tag;
  plan.writes.push_back({entry.first_block, std::move(sealed)});

  // All 12 bytes at random: after a fallback or a restored copy a counter would repeat.
  format::KeySlot slot{};
  TRY(crypto::random_bytes(slot.nonce));
  TRY_ASSIGN(slot_tag,
             crypto::seal(key.key->bytes, slot.nonce, {}, metadata_key.expose(), slot.wrapped_key));
  slot.tag = slot_tag;
  plan.header.key_slots = {};
  plan.header.key_slots[key.slot] = slot;
  return {};
}

// A plaintext store has a blank extended table, and nothing that is encrypted.
base::Result<void> plan_plaintext(const Generation& committed, Placement& placement,
                                  const Transaction& transaction, CommitPlan& plan) {
  for (std::size_t i = 0; i < format::kFileIds; ++i) {
    const auto id = static_cast<FileId>(i);
    const auto& changes = transaction.changes();
    const bool is_changed = std::any_of(changes.begin(), changes.end(), [&](const auto& change) {
      return change.id == id && !change.relocates;
    });
    if (format::is_content(id) && plan.table[id] && committed.is_encrypted(id) && !is_changed) {
      return base::fail(base::ErrorCode::kInvalidArgument,
                        format::describe(id) + " would stay encrypted in a store that is not");
    }
  }
  plan.header.encrypted = false;
  plan.header.key_slots = {};
  TRY_ASSIGN(entry, place_file(placement, format::kBlockBytes));
  plan.table[FileId::kExtendedFileTable] = entry;
  plan.writes.push_back({entry.first_block, base::Bytes(format::kBlockBytes)});
  return {};
}

// The file table goes last into a plan: it is complete only then.
void write_file_table(CommitPlan& plan) {
  plan.writes.push_back(
      {plan.header.file_table_block, base::copy_of(format::encode_file_table(plan.table))});
}

}  // namespace

base::Result<CommitPlan> plan_format(std::uint64_t capacity_blocks, const Transaction& first,
                                     const DatastoreKey* key) {
  CommitPlan plan;
  const auto one_block = [](std::uint32_t block) {
    return format::FileEntry{.first_block = block,
                             .allocated_blocks = 1,
                             .valid_bytes = format::kBlockBytes,
                             .nonce = {},
                             .tag = {},
                             .attributes = 0,
                             .reserved = {}};
  };
  plan.header.sequence = 1;
  plan.header.file_table_block = kFormattedTableBlock;
  plan.header.encrypted = key != nullptr;
  plan.table[FileId::kFileTable] = one_block(kFormattedTableBlock);
  plan.table[FileId::kExtendedFileTable] = one_block(kFormattedExtendedTableBlock);
  if (key != nullptr) {
    plan.extended.emplace();
  }
  Placement placement(capacity_blocks, plan.table, nullptr);
  TRY(plan_changes(nullptr, plan, placement, first));
  if (key != nullptr) {
    TRY(seal_tables(plan, {key, 0}, sequence_after(first.sequence(), 0)));
  } else {
    plan.writes.push_back({kFormattedExtendedTableBlock, base::Bytes(format::kBlockBytes)});
  }
  write_file_table(plan);
  return plan;
}

base::Result<CommitPlan> plan_commit(storage::BlockDevice& device, const Generation& committed,
                                     const format::FileTable* previous,
                                     const Transaction& transaction, const CommitKey& key,
                                     Barriers barriers) {
  CommitPlan plan;
  plan.table = *committed.table();
  plan.header = committed.header();
  plan.header.sequence += 1;
  plan.header.reprovisioned = false;
  if (key.key != nullptr) {
    plan.header.encrypted = true;
    plan.extended = committed.unlocked() ? committed.extended().clone() : format::ExtendedTable();
  }
  Placement placement(format::capacity_blocks(device.size_bytes()), plan.table, previous);

  TRY_ASSIGN(table_entry, place_file(placement, format::kBlockBytes));
  plan.table[FileId::kFileTable] = table_entry;
  plan.header.file_table_block = table_entry.first_block;
  TRY(plan_changes(&device, plan, placement, transaction));
  if (key.decrypts) {
    TRY(plan_plaintext(committed, placement, transaction, plan));
  }
  if (plan.extended) {
    TRY_ASSIGN(extended_entry, place_file(placement, format::kBlockBytes));
    plan.table[FileId::kExtendedFileTable] = extended_entry;
    const auto info = committed.commit_info();
    if (!info) {
      TRY(adopt_foreign_files(device, committed, transaction, plan));
    }
    // One barrier needs the digests on both sides of the commit.
    plan.one_barrier = info.has_value() && barriers == Barriers::kOneWhereSafe;
    TRY(seal_tables(plan, key, sequence_after(transaction.sequence(), info ? info->sequence : 0)));
  }
  write_file_table(plan);
  return plan;
}

}  // namespace vmgs::volume
