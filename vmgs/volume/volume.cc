// SPDX-License-Identifier: Apache-2.0
#include "vmgs/volume/volume.h"

#include <algorithm>
#include <string>
#include <utility>

#include "vmgs/format/header_spacing.h"
#include "vmgs/volume/choice.h"
#include "vmgs/volume/headers.h"

namespace vmgs::volume {

namespace {

using format::FileId;

std::uint64_t byte_offset(std::uint32_t block) {
  return std::uint64_t{block} * format::kBlockBytes;
}

std::size_t other(std::size_t slot) { return 1 - slot; }

base::Result<void> check_key(const DatastoreKey& key) {
  if (key.bytes.is_all_zero()) {
    return base::fail(base::ErrorCode::kInvalidArgument, "an all-zero key protects nothing");
  }
  return {};
}

void report_bad_header(const HeaderSlots& slots, const HeaderOrder& order,
                       std::vector<Finding>& findings) {
  const auto bad = other(order.newest);
  // Right after a format the second slot is still blank.
  if (order.older || (slots[bad].blank && slots[order.newest].header->sequence == 1)) {
    return;
  }
  findings.push_back(
      {"bad-header", Severity::kWarning, "header slot " + std::to_string(bad),
       (slots[bad].blank ? std::string("blank") : slots[bad].header.error().message) +
           ": a commit was cut off, or an older state was put back; slot " +
           std::to_string(order.newest) + " is the state"});
}

base::Result<void> check_ids(const Transaction& transaction) {
  for (const auto& change : transaction.changes()) {
    if (!format::is_content(change.id) &&
        !(change.relocates && change.id == FileId::kExtendedFileTable)) {
      return base::fail(base::ErrorCode::kInvalidArgument,
                        format::describe(change.id) + " holds a table and is no file to write");
    }
  }
  return {};
}

base::Result<void> check_structure(const Generation& generation) {
  if (!generation.table()) {
    return base::fail(generation.table().error());
  }
  const auto& table = *generation.table();
  if (const auto overlap = format::find_overlap(table)) {
    return base::fail(base::ErrorCode::kDenied,
                      format::describe(overlap->first) + " and " +
                          format::describe(overlap->second) +
                          " claim the same blocks: a write could destroy either; nothing is "
                          "written until that is repaired");
  }
  if (generation.header().encrypted) {
    return {};
  }
  const bool has_slots = generation.header().key_slots[0] || generation.header().key_slots[1];
  const bool has_encrypted = std::any_of(
      table.entries.begin(), table.entries.end(),
      [](const auto& entry) { return entry && format::is_encrypted(entry->attributes); });
  if (has_slots || has_encrypted) {
    return base::fail(base::ErrorCode::kDenied,
                      "the header says that the store is not encrypted, yet it has key slots or "
                      "encrypted files: a downgrade; nothing is written until that is repaired");
  }
  return {};
}

}  // namespace

Volume::Volume(storage::BlockDevice& device, format::HeaderSpacing spacing, Generation newest,
               std::optional<Generation> older)
    : device_(&device), spacing_(spacing), newest_(std::move(newest)), older_(std::move(older)) {
  if (older_ && older_->table()) {
    previous_table_ = *older_->table();
  }
}

base::Result<Volume> Volume::open(storage::BlockDevice& device, format::HeaderSpacing spacing) {
  TRY_ASSIGN(slots, read_header_slots(device, spacing));
  TRY_ASSIGN(order, order_headers(slots));
  TRY_ASSIGN(newest, Generation::read(device, order.newest, *slots[order.newest].header));
  std::optional<Generation> older;
  std::optional<base::Error> older_unread;
  if (order.older) {
    auto read = Generation::read(device, *order.older, *slots[*order.older].header);
    if (read) {
      older = *std::move(read);
    } else {
      older_unread = std::move(read).error();
    }
  }
  // Plaintext stores are always committed with two barriers, so a valid header means that all
  // behind it was durable: what is wrong there is damage, and going back would hide it.
  const bool may_fall_back = newest.header().encrypted && older && older->table();
  if (!newest.table() && !may_fall_back) {
    return base::fail(newest.table().error());
  }
  Volume volume(device, spacing, std::move(newest), std::move(older));
  report_bad_header(slots, order, volume.findings_);
  if (older_unread) {
    // A bad sector there must not take the newest one away.
    volume.findings_.push_back(
        {"unreadable-generation", Severity::kWarning, "header slot " + std::to_string(*order.older),
         "the generation before the newest cannot be read (" + older_unread->message +
             "): there is nothing to fall back to. Look after the disk"});
  }
  return volume;
}

base::Result<Volume> Volume::format(storage::BlockDevice& device, format::HeaderSpacing spacing,
                                    std::optional<DatastoreKey> key, const Transaction& first) {
  if (device.size_bytes() < format::kSmallestStoreBytes) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "a store needs at least " + std::to_string(format::kSmallestStoreBytes) +
                          " bytes to rewrite even one small file, this has " +
                          std::to_string(device.size_bytes()));
  }
  if (key) {
    TRY(check_key(*key));
  }
  TRY(check_ids(first));
  TRY_ASSIGN(plan, plan_format(format::capacity_blocks(device.size_bytes()), first,
                               key ? &*key : nullptr));

  // Both headers go first and durably, so that no crash leaves an old header over new blocks.
  TRY(clear_header(device, spacing, 0));
  TRY(clear_header(device, spacing, 1));
  TRY(device.flush());
  // Before the first generation there is none, as if in slot 1, so that it goes to slot 0.
  Volume volume(device, spacing, Generation(1, plan.header, plan.table, std::nullopt),
                std::nullopt);
  volume.key_ = std::move(key);
  volume.base_is_durable_ = true;
  TRY(volume.carry_out(std::move(plan)));
  volume.previous_table_.reset();
  return volume;
}

base::Result<bool> Volume::is_blank(storage::BlockDevice& device) {
  base::Bytes start(format::kHeaderAreaBytes);
  if (device.size_bytes() < start.size()) {
    return base::fail(base::ErrorCode::kCorrupt, "too short for a guest-state store");
  }
  TRY(device.read(0, start));
  return base::is_all_zero(start);
}

base::Result<void> Volume::unlock(const KeySource& source) {
  if (!encrypted()) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "the store is not encrypted: there is nothing to unlock");
  }
  auto choice = choose(*device_, newest_, older_ ? &*older_ : nullptr, source);
  if (!choice) {
    newest_.lock();
    if (older_) {
      older_->lock();
    }
    return base::fail(std::move(choice).error());
  }
  if (choice->fell_back) {
    // What the torn commit wrote is of no use to anybody; its blocks are free.
    previous_table_.reset();
    newest_ = *std::move(older_);
  }
  older_.reset();
  rewrite_other_header_ = choice->fell_back;
  edited_without_key_ = choice->edited_without_key;
  key_ = std::move(choice->key);
  findings_.insert(findings_.end(), choice->findings.begin(), choice->findings.end());
  return {};
}

base::Result<void> Volume::recover() {
  if (locked() || edited_without_key_) {
    return base::fail(base::ErrorCode::kDenied,
                      locked() ? "the store is locked: unlock it first"
                               : "the store was changed without its key: look at it with `vmgs "
                                 "check`, and accept it with the key if the change is wanted");
  }
  TRY(check_structure(newest_));
  // A process that died may have left its last writes in the page cache only. What is served from
  // here on must not vanish later.
  TRY(device_->flush());
  if (rewrite_other_header_) {
    auto header = newest_.header();
    header.sequence += 1;
    TRY(write_header(*device_, spacing_, other(newest_.slot()), header));
    TRY(device_->flush());
    newest_.relocate(other(newest_.slot()), header.sequence);
    rewrite_other_header_ = false;
  }
  base_is_durable_ = true;
  return {};
}

std::uint64_t Volume::commit_sequence() const {
  const auto info = newest_.commit_info();
  return info ? info->sequence : 0;
}

std::vector<FileStatus> Volume::files() const {
  std::vector<FileStatus> result;
  for (std::size_t i = 0; newest_.table() && i < format::kFileIds; ++i) {
    const auto id = static_cast<FileId>(i);
    if (const auto& entry = (*newest_.table())[id]; entry && format::is_content(id)) {
      result.push_back({id, entry->valid_bytes, entry->first_block, entry->allocated_blocks,
                        newest_.is_encrypted(id)});
    }
  }
  return result;
}

bool Volume::contains(FileId id) const {
  return newest_.table() && format::is_content(id) && (*newest_.table())[id].has_value();
}

base::Result<base::SecretBytes> Volume::read(FileId id) const {
  return newest_.read_file(*device_, id);
}

base::Result<void> Volume::check_writable(const Transaction& transaction) const {
  TRY(check_ids(transaction));
  if (broken_) {
    return base::fail(base::Error(*broken_).context(
        "an earlier commit failed, so nothing is written until the store is opened anew"));
  }
  TRY(check_structure(newest_));
  if (edited_without_key_) {
    return base::fail(base::ErrorCode::kDenied,
                      "the store was changed without its key; accept or undo that first");
  }
  if (locked() && !transaction.allowed_on_locked_store()) {
    return base::fail(base::ErrorCode::kDenied,
                      "the store is locked: its key is needed to change it");
  }
  for (const auto& change : transaction.changes()) {
    if (locked() && (newest_.is_encrypted(change.id) ||
                     (!change.removes && change.protection != Protection::kPlaintext))) {
      return base::fail(base::ErrorCode::kDenied,
                        format::describe(change.id) +
                            " is kept encrypted: the store's key is needed to change it");
    }
  }
  return {};
}

base::Result<void> Volume::commit(const Transaction& transaction) {
  TRY(check_writable(transaction));
  const auto slot = newest_.key_slot().value_or(0);
  return commit_under(transaction, {key_ ? &*key_ : nullptr, slot}, transaction.barriers());
}

base::Result<void> Volume::rekey(DatastoreKey key, const Transaction& transaction) {
  TRY(check_key(key));
  if (!encrypted()) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "the store is not encrypted: there is no key to change");
  }
  TRY(check_writable(transaction));
  if (locked()) {
    return base::fail(base::ErrorCode::kDenied, "the store is locked: unlock it first");
  }
  const auto new_slot = other(newest_.key_slot().value_or(1));
  TRY(commit_under(transaction, {&key, new_slot}, Barriers::kTwo));
  key_ = std::move(key);
  // The other header still wraps the old metadata key under the old key.
  return commit_under(Transaction(Sequence::kKeep), {&*key_, new_slot}, Barriers::kTwo);
}

base::Result<void> Volume::encrypt(DatastoreKey key) {
  TRY(check_key(key));
  if (encrypted()) {
    return base::fail(base::ErrorCode::kDenied,
                      "the store is encrypted already: rekey changes its key");
  }
  Transaction transaction(Sequence::kEdit, Barriers::kTwo);
  TRY(check_writable(transaction));
  TRY_ASSIGN(contents, contents_where([](FileId id) { return !format::is_plaintext_by_role(id); }));
  for (const auto& [id, content] : contents) {
    transaction.put(id, content.expose());
  }
  TRY(commit_under(transaction, {&key, 0}, Barriers::kTwo));
  key_ = std::move(key);
  // The other header still leads to the plaintext.
  return commit_under(Transaction(Sequence::kKeep), {&*key_, 0}, Barriers::kTwo);
}

base::Result<void> Volume::decrypt(const Transaction& transaction) {
  if (!encrypted()) {
    return base::fail(base::ErrorCode::kInvalidArgument, "the store is not encrypted");
  }
  TRY(check_writable(transaction));
  const auto& changes = transaction.changes();
  TRY_ASSIGN(contents, contents_where([&](FileId id) {
               return newest_.is_encrypted(id) &&
                      std::none_of(changes.begin(), changes.end(),
                                   [&](const auto& change) { return change.id == id; });
             }));
  auto all = transaction;
  for (const auto& [id, content] : contents) {
    all.put(id, content.expose(), Protection::kPlaintext);
  }
  TRY(commit_under(all, {nullptr, 0, true}, Barriers::kTwo));
  key_.reset();
  return commit_under(Transaction(Sequence::kKeep), {}, Barriers::kTwo);
}

base::Result<std::vector<std::pair<FileId, base::SecretBytes>>> Volume::contents_where(
    const std::function<bool(FileId)>& wanted) const {
  std::vector<std::pair<FileId, base::SecretBytes>> contents;
  for (const auto& file : files()) {
    if (wanted(file.id)) {
      TRY_ASSIGN(content, read(file.id));
      contents.emplace_back(file.id, std::move(content));
    }
  }
  return contents;
}

base::Result<void> Volume::close() {
  if (broken_) {
    return base::fail(base::Error(*broken_).context(
        "an earlier commit failed, so the store is not closed in order: open it anew"));
  }
  const auto info = newest_.commit_info();
  if (info && info->one_barrier) {
    return commit(Transaction(Sequence::kKeep, Barriers::kTwo));
  }
  return device_->flush();
}

base::Result<void> Volume::commit_under(const Transaction& transaction, const CommitKey& key,
                                        Barriers barriers) {
  TRY_ASSIGN(plan, plan_commit(*device_, newest_, previous_table_ ? &*previous_table_ : nullptr,
                               transaction, key, barriers));
  if (!base_is_durable_) {
    // As in recover(): this commit may reuse blocks of the generation before the open one, so the
    // open one must not lie in a page cache only.
    TRY(device_->flush());
    base_is_durable_ = true;
  }
  return carry_out(std::move(plan));
}

base::Result<void> Volume::carry_out(CommitPlan plan) {
  // Until the header is written the old state is the state, whatever fails.
  for (const auto& write : plan.writes) {
    TRY(device_->write(byte_offset(write.block), write.bytes));
  }
  const auto slot = other(newest_.slot());
  auto result = plan.one_barrier ? base::Result<void>() : device_->flush();
  if (result) {
    result = write_header(*device_, spacing_, slot, plan.header);
  }
  if (result) {
    result = device_->flush();
  }
  if (!result) {
    broken_ = result.error();
    return result;
  }
  previous_table_ = *newest_.table();
  newest_ = Generation(slot, plan.header, plan.table, std::move(plan.extended));
  rewrite_other_header_ = false;
  return {};
}

}  // namespace vmgs::volume
