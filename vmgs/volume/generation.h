// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vmgs/format/blocks.h"
#include "vmgs/format/extended_table.h"
#include "vmgs/format/file_table.h"
#include "vmgs/format/header.h"
#include "vmgs/storage/block_device.h"
#include "vmgs/volume/datastore_key.h"

namespace vmgs::volume {

// What became of an attempt to unlock a generation.
enum class Unlocking {
  kOpened,            // slot and extended table open
  kTableDoesNotOpen,  // a slot opens, the extended table does not: torn, damaged, or a stale slot
  kNoSlotOpens,       // no key slot opens: another key
};

struct FileFailure {
  format::FileId id;
  base::Error error;
};

// Generation is what one header leads to: a file table and, once unlocked, the extended table. The
// tables are read once and kept; file contents are read, and checked, at every read. It judges its
// own bytes only; choosing between two generations is done in volume.cc.
class Generation {
 public:
  // read() takes in the file table that `header` names. A table that breaks the format is not an
  // error here but table().error(); kIo is.
  static base::Result<Generation> read(storage::BlockDevice& device, std::size_t slot,
                                       const format::Header& header);

  // The generation that a commit just made.
  Generation(std::size_t slot, format::Header header, format::FileTable table,
             std::optional<format::ExtendedTable> extended);

  [[nodiscard]] std::size_t slot() const { return slot_; }

  [[nodiscard]] const format::Header& header() const { return header_; }

  [[nodiscard]] const base::Result<format::FileTable>& table() const { return table_; }

  // unlock() tries every key slot and then the extended table. On kOpened extended() is there and
  // key_slot() says which slot it was. kCorrupt if the store is not encrypted or has no usable
  // entry 63; kIo from the device.
  base::Result<Unlocking> unlock(storage::BlockDevice& device, const DatastoreKey& key);

  [[nodiscard]] bool unlocked() const { return extended_.has_value(); }

  [[nodiscard]] const format::ExtendedTable& extended() const { return *extended_; }

  [[nodiscard]] std::optional<std::size_t> key_slot() const { return key_slot_; }

  // The metadata key of the slot that opened is 32 zero bytes, which a faulty release of the
  // reference wrote: the file keys are no secret. Cured by any commit with the key.
  [[nodiscard]] bool metadata_key_is_zero() const { return metadata_key_is_zero_; }

  // lock() forgets every key again.
  void lock();

  // relocate() says that this generation's header lies, or will lie, in another slot with another
  // sequence.
  void relocate(std::size_t slot, std::uint32_t sequence);

  // commit_info() is there when a writer of ours made this generation and it is unlocked.
  [[nodiscard]] std::optional<format::CommitInfo> commit_info() const;

  // file_table_digest_holds() compares the table with the digest that the sealed table keeps of it.
  // True where no such digest is known.
  [[nodiscard]] bool file_table_digest_holds() const;

  // is_encrypted() tells whether a present file is encrypted: by the extended table once unlocked
  // (older writers left the file table's attributes zero), by the file table before, where a nonce
  // or a tag tells as well.
  [[nodiscard]] bool is_encrypted(format::FileId id) const;

  // read_file() gives the whole content, opened and checked. kNotFound; kDenied for an encrypted
  // file of a locked store; kAuthentication where tag or digest do not fit or the two tables
  // disagree; kCorrupt for an encrypted file in a store that calls itself unencrypted; kIo.
  [[nodiscard]] base::Result<base::SecretBytes> read_file(storage::BlockDevice& device,
                                                          format::FileId id) const;

  // failing_files() reads every file and returns those that do not read. On a locked store the
  // encrypted ones are passed over.
  [[nodiscard]] std::vector<FileFailure> failing_files(storage::BlockDevice& device) const;

  // shares() tells whether the file of this id is the very one of `other`: equal entries in both
  // tables. An equal block number alone is not sharing.
  [[nodiscard]] bool shares(const Generation& other, format::FileId id) const;

 private:
  Generation(std::size_t slot, format::Header header, base::Result<format::FileTable> table,
             const format::Block& table_block);

  std::size_t slot_;
  format::Header header_;
  base::Result<format::FileTable> table_;
  // Entry 63 is looked at even where the rest of the table is wrong: whether the sealed table opens
  // decides if an older generation may be taken instead.
  std::optional<format::FileEntry> extended_entry_;
  format::ContentDigest file_table_digest_;
  std::optional<format::ExtendedTable> extended_;
  std::optional<std::size_t> key_slot_;
  bool metadata_key_is_zero_ = false;
};

}  // namespace vmgs::volume
