// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vmgs/format/blocks.h"
#include "vmgs/format/file_id.h"
#include "vmgs/storage/block_device.h"
#include "vmgs/volume/commit_plan.h"
#include "vmgs/volume/datastore_key.h"
#include "vmgs/volume/finding.h"
#include "vmgs/volume/generation.h"
#include "vmgs/volume/transaction.h"

namespace vmgs::volume {

// One file as a listing shows it.
struct FileStatus {
  format::FileId id;
  std::uint64_t size_bytes = 0;
  std::uint32_t first_block = 0;
  std::uint32_t allocated_blocks = 0;
  bool encrypted = false;
};

// Volume is an open guest-state store: up to 62 numbered files, changed by transactions that are
// durable when they return, encrypted or not.
//
//   open -> (unlock, if encrypted) -> read ... commit ... -> close
//
// Opening and reading never write. An instance calls recover() before it serves. One owner, no
// lock; the device must outlive it.
class Volume {
 public:
  // open() reads both headers and the tables behind them; an older generation that cannot be read
  // is a finding. A plaintext store is then ready; an encrypted one is locked: its plaintext files
  // can be read, unverified. kNotFound for a blank store, kDenied for a version-1 store, kCorrupt
  // where no generation can be used, kIo.
  static base::Result<Volume> open(storage::BlockDevice& device, format::HeaderSpacing spacing);

  // format() makes a store that holds what `first` puts, encrypted if a key is given. The header is
  // written last, so a store is there with all of that or not at all. Whatever the device held is
  // lost, from its first write on, so nothing calls this because something failed to open.
  // kInvalidArgument for a device of less than kSmallestStoreBytes or an all-zero key; else as
  // commit().
  static base::Result<Volume> format(storage::BlockDevice& device, format::HeaderSpacing spacing,
                                     std::optional<DatastoreKey> key,
                                     const Transaction& first = Transaction(Sequence::kEdit));

  // is_blank() tells whether `device` may be formatted without asking: its first two blocks are
  // zero throughout. An open() that says kNotFound looks at the headers' own bytes only, and a file
  // system may begin behind them. kCorrupt for a device of less than two blocks; kIo.
  static base::Result<bool> is_blank(storage::BlockDevice& device);

  Volume(Volume&&) noexcept = default;
  Volume& operator=(Volume&&) noexcept = default;

  [[nodiscard]] bool encrypted() const { return newest_.header().encrypted; }

  [[nodiscard]] bool locked() const { return encrypted() && !key_; }

  // unlock() decides between the newest generation and the one before it, by the rules of choice.h,
  // and keeps the key for later commits. On failure the volume stays as it was. Errors of
  // choose(); kInvalidArgument if the store is not encrypted.
  base::Result<void> unlock(const KeySource& source);

  // recover() makes the state that was opened the durable one: it flushes, and after a fallback
  // writes the chosen header over the failed one. An instance calls it before it serves. kDenied
  // for a locked volume or one that was edited without the key; kIo.
  base::Result<void> recover();

  // findings() says what was out of the ordinary when the store was opened.
  [[nodiscard]] const std::vector<Finding>& findings() const { return findings_; }

  // edited() is true of an encrypted, unlocked store whose last writer was no instance of ours:
  // there is no commit sequence.
  [[nodiscard]] bool edited() const { return !locked() && encrypted() && commit_sequence() == 0; }

  // edited_without_key() is true of an unlocked store in which somebody changed the parts that are
  // in plaintext, without the key: a file was swapped, taken out or put in.
  [[nodiscard]] bool edited_without_key() const { return edited_without_key_; }

  // commit_sequence() is S of the open state, 0 if there is none.
  [[nodiscard]] std::uint64_t commit_sequence() const;

  [[nodiscard]] std::vector<FileStatus> files() const;
  [[nodiscard]] bool contains(format::FileId id) const;

  // current() is the generation that is open; its tables may have failed on a locked volume.
  [[nodiscard]] const Generation& current() const { return newest_; }

  // read() gives a file's whole content, authenticated where the store is encrypted and unlocked.
  // Errors of Generation::read_file().
  [[nodiscard]] base::Result<base::SecretBytes> read(format::FileId id) const;

  // commit() makes all changes of the transaction, durably, or none. When it returns an error the
  // old state is whole; after kIo from the header write on, or from a flush, what the disk holds is
  // unknown and every later commit is refused until the store is opened anew. kDenied: locked (but
  // for on_locked_store()), structural damage, or no room; kInvalidArgument: a table's id. The
  // first commit after an open without recover() flushes what was opened before it writes.
  base::Result<void> commit(const Transaction& transaction);

  // rekey() commits the transaction under a new datastore key with a new metadata key, in which
  // only the new key's slot remains, and then scrubs the other header, so that no header keeps
  // what the old key opens. If it fails in between, the new key is the one that opens the store.
  // The transaction carries the protector of the new key, if it has one. kInvalidArgument for an
  // all-zero key or a plaintext store; else as commit(), always with two barriers.
  base::Result<void> rekey(DatastoreKey key, const Transaction& transaction);

  // encrypt() makes a plaintext store an encrypted one: every file but those that are plaintext by
  // role is sealed, and so is the other header's generation afterwards. If it fails in between, the
  // key opens the store. Blocks that held plaintext are free then and still hold it: see
  // vmgs/edit/scrub.h. kDenied for a store that is encrypted or has no room for all files twice;
  // else as rekey().
  base::Result<void> encrypt(DatastoreKey key);

  // decrypt() commits the transaction on an unlocked store and makes it a plaintext one, in the
  // same commit, with all of its other files, in both generations. The transaction takes out the
  // protectors that would open nothing afterwards. kInvalidArgument for a store that is not
  // encrypted; else as commit(), always with two barriers.
  base::Result<void> decrypt(const Transaction& transaction = Transaction(Sequence::kEdit));

  // close() leaves a store that any reader opens: a generation committed with one barrier is
  // committed again with two. The volume can still be used afterwards. As commit(); after a commit
  // that left the disk unknown it fails too.
  base::Result<void> close();

 private:
  Volume(storage::BlockDevice& device, format::HeaderSpacing spacing, Generation newest,
         std::optional<Generation> older);

  [[nodiscard]] base::Result<void> check_writable(const Transaction& transaction) const;
  base::Result<void> commit_under(const Transaction& transaction, const CommitKey& key,
                                  Barriers barriers);
  base::Result<void> carry_out(CommitPlan plan);
  base::Result<std::vector<std::pair<format::FileId, base::SecretBytes>>> contents_where(
      const std::function<bool(format::FileId)>& wanted) const;

  storage::BlockDevice* device_;
  format::HeaderSpacing spacing_;
  Generation newest_;                                // once unlocked, the chosen one
  std::optional<Generation> older_;                  // until unlocked
  std::optional<format::FileTable> previous_table_;  // whose blocks are spared while there is room
  std::optional<DatastoreKey> key_;
  bool rewrite_other_header_ = false;  // recover() has a fallback to make durable
  bool base_is_durable_ = false;       // what was opened has been flushed
  bool edited_without_key_ = false;
  std::optional<base::Error> broken_;
  std::vector<Finding> findings_;
};

}  // namespace vmgs::volume
