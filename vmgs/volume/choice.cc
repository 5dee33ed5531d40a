// SPDX-License-Identifier: Apache-2.0
#include "vmgs/volume/choice.h"

#include <algorithm>
#include <string>
#include <utility>

namespace vmgs::volume {

namespace {

using format::FileId;

// What of one generation opens with the key that was found.
struct Assessment {
  Unlocking unlocking = Unlocking::kNoSlotOpens;
  bool table_holds = false;  // it decodes, and its digest fits where there is one
  std::vector<FileFailure> failing_files;

  [[nodiscard]] bool tables_open() const { return unlocking == Unlocking::kOpened && table_holds; }

  [[nodiscard]] bool whole() const { return tables_open() && failing_files.empty(); }
};

// A key that a generation's protectors gave, or why they gave none.
base::Result<DatastoreKey> key_through(storage::BlockDevice& device, const Generation& generation,
                                       const KeySource& source) {
  return source([&](FileId id) -> base::Result<base::Bytes> {
    TRY_ASSIGN(content, generation.read_file(device, id));
    return base::copy_of(content.expose());
  });
}

Assessment assess(storage::BlockDevice& device, const Generation& generation, Unlocking unlocking) {
  Assessment result;
  result.unlocking = unlocking;
  result.table_holds = generation.table().has_value() && generation.file_table_digest_holds();
  if (unlocking == Unlocking::kOpened && generation.table()) {
    result.failing_files = generation.failing_files(device);
  }
  return result;
}

bool only_shared(const std::vector<FileFailure>& failures, const Generation& one,
                 const Generation& other) {
  return std::all_of(failures.begin(), failures.end(),
                     [&](const FileFailure& failure) { return one.shares(other, failure.id); });
}

bool has_io_failure(const std::vector<FileFailure>& failures) {
  return std::any_of(failures.begin(), failures.end(), [](const FileFailure& failure) {
    return failure.error.code == base::ErrorCode::kIo;
  });
}

bool shares_extended_table(const Generation& newest, const Generation& older) {
  return newest.table() && older.table() &&
         (*newest.table())[FileId::kExtendedFileTable] ==
             (*older.table())[FileId::kExtendedFileTable];
}

// Conditions (a) and (b): a torn commit of ours explains what fails in the newest generation.
bool torn_commit_explains(const Generation& newest, const Assessment& assessed,
                          const Generation& older) {
  if (assessed.unlocking == Unlocking::kTableDoesNotOpen) {
    // A commit of ours leaves one key slot in use. With two, the slot that opens may merely be the
    // stale one of an interrupted rekey, and its key must not bring an old state back.
    const auto& slots = newest.header().key_slots;
    return !(slots[0] && slots[1]) && !shares_extended_table(newest, older);
  }
  if (assessed.unlocking != Unlocking::kOpened || !newest.commit_info() ||
      !newest.commit_info()->one_barrier) {
    return false;
  }
  if (!assessed.table_holds) {
    return !shares_extended_table(newest, older);
  }
  return !only_shared(assessed.failing_files, newest, older) &&
         !has_io_failure(assessed.failing_files);
}

void report_failing_files(Choice& choice) {
  for (const auto& failure : choice.failing_files) {
    const bool authentic = failure.error.code != base::ErrorCode::kAuthentication;
    choice.findings.push_back({authentic ? "unreadable-file" : "auth-failure", Severity::kError,
                               format::describe(failure.id), failure.error.message});
  }
}

std::string what_fails(const Generation& newest, const Assessment& assessed) {
  if (assessed.unlocking == Unlocking::kTableDoesNotOpen) {
    return "its extended file table does not open";
  }
  if (!newest.table()) {
    return "its file table is wrong (" + newest.table().error().message + ")";
  }
  if (!assessed.table_holds) {
    return "its file table does not match its digest";
  }
  return assessed.failing_files.front().error.message;
}

base::Error wrong_key(const Generation& newest) {
  const auto& slots = newest.header().key_slots;
  if (!slots[0] && !slots[1]) {
    return {base::ErrorCode::kCorrupt,
            "the header says that the store is encrypted but has no key slot in use"};
  }
  return {base::ErrorCode::kAuthentication,
          "the key opens no key slot of the newest header: it is another store's key, or one from "
          "before the last change of key"};
}

}  // namespace

base::Result<Choice> choose(storage::BlockDevice& device, Generation& newest, Generation* older,
                            const KeySource& source) {
  auto newest_key = key_through(device, newest, source);
  base::Result<DatastoreKey> older_key =
      base::fail(base::ErrorCode::kNotFound, "there is no older generation");
  auto unlocking = Unlocking::kNoSlotOpens;
  if (newest_key) {
    TRY_ASSIGN(tried, newest.unlock(device, *newest_key));
    unlocking = tried;
  }
  // The newest protector may be torn with the rest of its commit; the one before may have the key.
  bool opened_with_older_key = false;
  if (unlocking == Unlocking::kNoSlotOpens && older != nullptr) {
    older_key = key_through(device, *older, source);
    if (older_key) {
      TRY_ASSIGN(tried, newest.unlock(device, *older_key));
      unlocking = tried;
      opened_with_older_key = unlocking != Unlocking::kNoSlotOpens;
    }
  }
  if (unlocking == Unlocking::kNoSlotOpens) {
    return base::fail(newest_key ? wrong_key(newest) : newest_key.error());
  }

  const auto assessed = assess(device, newest, unlocking);
  Choice choice((opened_with_older_key ? *older_key : *newest_key).clone());
  if (assessed.whole()) {
    return choice;
  }

  if (older != nullptr && torn_commit_explains(newest, assessed, *older)) {
    if (!older_key) {
      older_key = key_through(device, *older, source);
    }
    auto older_unlocking = Unlocking::kNoSlotOpens;
    for (const auto* key : {older_key ? &*older_key : nullptr, &choice.key}) {
      if (key != nullptr && older_unlocking != Unlocking::kOpened) {
        TRY_ASSIGN(tried, older->unlock(device, *key));
        older_unlocking = tried;
        if (tried == Unlocking::kOpened) {
          choice.key = key->clone();
        }
      }
    }
    const auto older_assessed = assess(device, *older, older_unlocking);
    if (older_assessed.tables_open() && only_shared(older_assessed.failing_files, *older, newest)) {
      choice.fell_back = true;
      choice.failing_files = older_assessed.failing_files;
      choice.findings.push_back(
          {"fell-back", Severity::kWarning, "header slot " + std::to_string(newest.slot()),
           "the newest commit is torn (" + what_fails(newest, assessed) +
               "), as a crash leaves it; the state is the one before, which was the last to be "
               "acknowledged"});
      report_failing_files(choice);
      return choice;
    }
  }

  if (unlocking == Unlocking::kTableDoesNotOpen) {
    return base::fail(base::ErrorCode::kAuthentication,
                      "the key opens a key slot, but not the extended file table: the key is stale "
                      "(the store was written under another since) or the table is damaged");
  }
  if (!newest.table()) {
    return base::fail(newest.table().error());
  }
  if (!newest.file_table_digest_holds()) {
    choice.edited_without_key = true;
    choice.findings.push_back(
        {"edited-without-key", Severity::kError, "file table",
         "the file table does not match the digest in the sealed table: somebody changed the store "
         "without its key. Nothing may be served from it until that is accepted"});
  }
  choice.failing_files = assessed.failing_files;
  report_failing_files(choice);
  return choice;
}

}  // namespace vmgs::volume
