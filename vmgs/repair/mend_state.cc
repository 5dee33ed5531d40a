// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "vmgs/crypto/digest.h"
#include "vmgs/repair/mend.h"
#include "vmgs/volume/commit_plan.h"
#include "vmgs/volume/headers.h"
#include "vmgs/volume/volume.h"

namespace vmgs::repair {

namespace {

using format::FileId;
using volume::Generation;
using volume::Transaction;
using volume::Volume;
using volume::write_header;

constexpr std::uint64_t kTpmNvramBytes = 32768;
constexpr std::uint64_t kOldTpmNvramBytes = 16384;

Outcome needs_key(const volume::Finding& finding) {
  return not_done(finding.code, finding.where, "it takes the store's key: give it with --key");
}

Transaction unchanged() { return Transaction(volume::Sequence::kKeep, volume::Barriers::kTwo); }

// Zeroes every block that neither generation holds.
base::Result<void> wipe_free_blocks(const Case& patient) {
  const auto capacity = format::capacity_blocks(patient.device.size_bytes());
  std::vector<bool> used(capacity);
  const auto slots = volume::read_header_slots(patient.device, patient.spacing);
  for (std::size_t slot = 0; slots && slot < slots->size(); ++slot) {
    if (!(*slots)[slot].header) {
      continue;
    }
    TRY_ASSIGN(generation, Generation::read(patient.device, slot, *(*slots)[slot].header));
    for (std::size_t i = 0; generation.table() && i < format::kFileIds; ++i) {
      if (const auto& entry = generation.table()->entries[i]) {
        std::fill_n(used.begin() + entry->first_block, entry->allocated_blocks, true);
      }
    }
  }
  const base::Bytes nothing(format::kBlockBytes);
  base::Bytes block(format::kBlockBytes);
  for (std::uint64_t i = format::kFirstUsableBlock; i < capacity; ++i) {
    if (!used[i]) {
      TRY(patient.device.read(i * format::kBlockBytes, block));
      if (!base::is_all_zero(block)) {
        TRY(patient.device.write(i * format::kBlockBytes, nothing));
      }
    }
  }
  return patient.device.flush();
}

// What the two tables say about one file of an unlocked generation, made to agree.
struct Agreement {
  format::FileTable table;
  format::ExtendedTable extended;
  std::vector<std::string> changes;
  std::set<FileId> changed;
  std::vector<FileId> overwritten;  // in plaintext, without the key
};

base::Result<base::Bytes> raw_content(const Case& patient, const format::FileEntry& entry) {
  base::Bytes content(entry.valid_bytes);
  TRY(patient.device.read(std::uint64_t{entry.first_block} * format::kBlockBytes, content));
  return content;
}

base::Result<void> agree_on(const Case& patient, const Generation& current, FileId id,
                            Agreement& result) {
  auto& entry = result.table[id];
  const bool is_sealed = format::is_encrypted(result.extended.attributes(id));
  const bool has_info = current.commit_info().has_value();
  if (!entry) {
    const auto had = result.extended.clone();
    result.extended.clear(id);
    if (!std::ranges::equal(had.expose(), result.extended.expose())) {
      result.changes.push_back(format::describe(id) + " is gone");
    }
    return {};
  }
  const bool calls_itself_sealed = format::is_encrypted(entry->attributes);
  if (is_sealed && !calls_itself_sealed) {
    entry->attributes |= format::kAttributesEncrypted;
    // With equal attributes the file opens if it is still what the key holder wrote.
    Generation sealed(current.slot(), current.header(), result.table, result.extended.clone());
    if (sealed.read_file(patient.device, id)) {
      result.changes.push_back(format::describe(id) + " is encrypted after all");
      return {};
    }
    if (!patient.accepts("attributes-differ")) {
      result.overwritten.push_back(id);
      return {};
    }
    entry->attributes &= ~format::kAttributesEncrypted;
    TRY_ASSIGN(content, raw_content(patient, *entry));
    result.extended.set_plaintext(id, crypto::sha224(content));
    result.changes.push_back(format::describe(id) + " is in plaintext now");
    result.changed.insert(id);
    return {};
  }
  if (!is_sealed && !calls_itself_sealed && has_info) {
    TRY_ASSIGN(content, raw_content(patient, *entry));
    const auto digest = crypto::sha224(content);
    if (digest != result.extended.digest(id)) {
      result.extended.set_plaintext(id, digest);
      result.changes.push_back(format::describe(id) + " has other content");
    }
  }
  return {};
}

// Writes what a plan says, in the order that durability needs.
base::Result<void> carry_out(const Case& patient, const volume::CommitPlan& plan,
                             std::size_t slot) {
  for (const auto& write : plan.writes) {
    TRY(patient.device.write(std::uint64_t{write.block} * format::kBlockBytes, write.bytes));
  }
  TRY(patient.device.flush());
  TRY(write_header(patient.device, patient.spacing, slot, plan.header));
  return patient.device.flush();
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const auto& part : parts) {
    text += (text.empty() ? "" : ", ") + part;
  }
  return text;
}

// Rewrites every encrypted file that reads, one a commit where they do not all fit at once.
base::Result<void> reseal_files(Volume& store) {
  std::vector<std::pair<FileId, base::SecretBytes>> contents;
  for (const auto& file : store.files()) {
    if (auto content = store.read(file.id); content && file.encrypted) {
      contents.emplace_back(file.id, *std::move(content));
    }
  }
  auto all = unchanged();
  for (const auto& [id, content] : contents) {
    all.put(id, content.expose());
  }
  if (store.commit(all)) {
    return {};
  }
  for (const auto& [id, content] : contents) {
    auto one = unchanged();
    one.put(id, content.expose());
    TRY(store.commit(one));
  }
  return {};
}

}  // namespace

base::Result<std::optional<Volume>> open_with_key(const Case& patient) {
  auto opened = Volume::open(patient.device, patient.spacing);
  if (!opened) {
    return std::optional<Volume>();
  }
  if (opened->encrypted()) {
    if (patient.key == nullptr || !opened->unlock(volume::fixed_key(patient.key->clone()))) {
      return std::optional<Volume>();
    }
  }
  return std::optional(*std::move(opened));
}

Mended mend_torn_commit(const Case& patient) {
  const auto* const finding = patient.found("fell-back");
  if (finding == nullptr) {
    return std::optional<Outcome>();
  }
  TRY_ASSIGN(store, open_with_key(patient));
  if (!store) {
    return std::optional<Outcome>();
  }
  TRY(store->recover());
  TRY(store->close());
  return std::optional(done(finding->code, finding->where,
                            "write the header of the state before over that of the torn commit, "
                            "which nobody was told of"));
}

Mended mend_changes_without_key(const Case& patient) {
  const volume::Finding* finding = nullptr;
  for (const auto* const code : {"edited-without-key", "attributes-differ", "orphan-key"}) {
    finding = finding == nullptr ? patient.found(code) : finding;
  }
  if (finding == nullptr) {
    return std::optional<Outcome>();
  }
  TRY_ASSIGN(store, open_with_key(patient));
  if (!store || !store->encrypted()) {
    return std::optional<Outcome>();
  }
  const auto& current = store->current();
  Agreement agreement{*current.table(), current.extended().clone(), {}, {}, {}};
  if (format::find_overlap(agreement.table)) {
    return std::optional<Outcome>();
  }
  for (std::size_t i = 0; i < format::kFileIds; ++i) {
    if (const auto id = static_cast<FileId>(i); format::is_content(id)) {
      TRY(agree_on(patient, current, id, agreement));
    }
  }
  if (agreement.changes.empty() && finding->code != "edited-without-key") {
    return agreement.overwritten.empty()
               ? std::optional<Outcome>()
               : std::optional(not_done(
                     "attributes-differ", format::describe(agreement.overwritten.front()),
                     "was overwritten in plaintext by somebody without the key. Say --accept "
                     "attributes-differ to take that content, or --drop " +
                         std::to_string(format::index(agreement.overwritten.front())) +
                         " to take it out; `vmgs previous` and `vmgs salvage` look for the old "
                         "one"));
  }
  const auto slot = current.key_slot().value_or(0);
  Generation agreed(current.slot(), current.header(), agreement.table,
                    std::move(agreement.extended));
  TRY_ASSIGN(plan, volume::plan_commit(patient.device, agreed, nullptr,
                                       Transaction(volume::Sequence::kEdit, volume::Barriers::kTwo),
                                       {patient.key, slot}, volume::Barriers::kTwo));
  TRY(carry_out(patient, plan, 1 - current.slot()));
  auto outcome =
      done(finding->code, finding->where,
           "accept the store as it lies and seal that" +
               (agreement.changes.empty() ? std::string() : ": " + joined(agreement.changes)) +
               ". Its commit sequence ends here");
  outcome.changed = agreement.changed;
  return std::optional(std::move(outcome));
}

Mended mend_zero_key(const Case& patient) {
  const auto* const finding = patient.found("zero-metadata-key");
  if (finding == nullptr) {
    return std::optional<Outcome>();
  }
  TRY_ASSIGN(store, open_with_key(patient));
  if (!store) {
    return std::optional(needs_key(*finding));
  }
  TRY(reseal_files(*store));
  TRY(store->commit(unchanged()));
  TRY(wipe_free_blocks(patient));
  return std::optional(done(
      finding->code, finding->where,
      "seal every file and the tables under fresh keys and wipe what lay there before. Who had "
      "a copy of the old file had its keys: renew what it protects, and destroy the undo file "
      "once it is not needed"));
}

Mended mend_keys(const Case& patient) {
  const auto* finding = patient.found("two-keys");
  finding = finding == nullptr ? patient.found("old-key-remains") : finding;
  if (finding == nullptr || patient.key == nullptr) {
    return std::optional<Outcome>();
  }
  TRY_ASSIGN(store, open_with_key(patient));
  if (!store) {
    return std::optional<Outcome>();
  }
  const auto& slots = store->current().header().key_slots;
  const auto own = store->current().key_slot().value_or(0);
  if (slots[1 - own]) {
    // The same key in both is a stale slot, which opens nothing any more; another key may be the
    // one that a protector holds.
    auto header = store->current().header();
    header.key_slots[own].reset();
    TRY_ASSIGN(other, Generation::read(patient.device, store->current().slot(), header));
    TRY_ASSIGN(unlocking, other.unlock(patient.device, *patient.key));
    if (unlocking == volume::Unlocking::kNoSlotOpens && !patient.accepts("two-keys")) {
      return std::optional(
          not_done("two-keys", finding->where,
                   "the other slot belongs to another key, perhaps the one that "
                   "opens the store for its VM. Say --accept two-keys to keep only "
                   "the key that was given"));
    }
  }
  TRY(store->commit(unchanged()));
  TRY(store->commit(unchanged()));
  return std::optional(done(finding->code, finding->where,
                            "commit twice under the key that was given, so that neither header has "
                            "another"));
}

Mended mend_tpm_size(const Case& patient) {
  const auto where = format::describe(FileId::kTpmNvram);
  const auto* const finding = patient.found("wrong-size");
  if (finding == nullptr || patient.found("foreign-tpm-state") == nullptr) {
    return std::optional<Outcome>();
  }
  TRY_ASSIGN(store, open_with_key(patient));
  const auto content =
      store ? store->read(FileId::kTpmNvram)
            : base::Result<base::SecretBytes>(base::fail(base::ErrorCode::kDenied, "locked"));
  if (!content || content->size() == kTpmNvramBytes || content->size() == kOldTpmNvramBytes) {
    return std::optional<Outcome>();
  }
  const auto right = content->size() < kOldTpmNvramBytes ? kOldTpmNvramBytes : kTpmNvramBytes;
  const auto kept = std::min<std::uint64_t>(right, content->size());
  if (!base::is_all_zero(content->expose().subspan(kept))) {
    return std::optional(not_done("wrong-size", where,
                                  "is longer than any TPM state of its kind, and not with zeros: "
                                  "nothing is known to cut off"));
  }
  if (!patient.accepts("wrong-size")) {
    return std::optional(not_done("wrong-size", where,
                                  "say --accept wrong-size to make it " + std::to_string(right) +
                                      " bytes long with zeros; the old one is kept as "
                                      "TPM_NVRAM_BACKUP"));
  }
  base::SecretBytes resized(right);
  std::ranges::copy(content->expose().first(kept), resized.fill().begin());
  Transaction transaction(volume::Sequence::kEdit, volume::Barriers::kTwo);
  transaction.put(FileId::kTpmNvram, resized.expose());
  if (!store->contains(FileId::kTpmNvramBackup)) {
    transaction.put(FileId::kTpmNvramBackup, content->expose());
  }
  TRY(store->commit(transaction));
  auto outcome = done("wrong-size", where,
                      "make it " + std::to_string(right) + " bytes long, and keep the old one");
  outcome.changed.insert(FileId::kTpmNvram);
  return std::optional(std::move(outcome));
}

Mended mend_empty_files(const Case& patient) {
  const auto* const finding = patient.found("empty-encrypted");
  if (finding == nullptr || !patient.accepts("empty-encrypted")) {
    return std::optional<Outcome>();
  }
  TRY_ASSIGN(store, open_with_key(patient));
  if (!store || !store->encrypted()) {
    return std::optional<Outcome>();
  }
  Transaction transaction(volume::Sequence::kEdit, volume::Barriers::kTwo);
  for (const auto& file : store->files()) {
    if (file.encrypted && file.size_bytes == 0) {
      transaction.put(file.id, {}, volume::Protection::kPlaintext);
    }
  }
  TRY(store->commit(transaction));
  return std::optional(done(finding->code, finding->where,
                            "keep empty files in plaintext, so that every reader reads them"));
}

Mended mend_dropped_files(const Case& patient) {
  TRY_ASSIGN(store, open_with_key(patient));
  if (!store) {
    return std::optional<Outcome>();
  }
  for (const auto id : patient.wishes.dropped) {
    if (!store->contains(id) || store->read(id)) {
      continue;  // what reads is taken out by `vmgs delete`, and not by a repair
    }
    Transaction transaction(volume::Sequence::kEdit, volume::Barriers::kTwo);
    transaction.remove(id);
    TRY(store->commit(transaction));
    auto outcome = done("dropped", format::describe(id), "take the file, which does not read, out");
    outcome.changed.insert(id);
    return std::optional(std::move(outcome));
  }
  return std::optional<Outcome>();
}

}  // namespace vmgs::repair
