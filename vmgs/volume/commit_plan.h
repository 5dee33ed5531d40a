// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/format/extended_table.h"
#include "vmgs/format/file_table.h"
#include "vmgs/format/header.h"
#include "vmgs/storage/block_device.h"
#include "vmgs/volume/datastore_key.h"
#include "vmgs/volume/generation.h"
#include "vmgs/volume/transaction.h"

namespace vmgs::volume {

// CommitPlan is the next generation, complete in memory: what to write where, and the header that
// makes it the state. Nothing of it lies in a block of the committed generation.
struct CommitPlan {
  struct Write {
    std::uint32_t block;
    base::Bytes bytes;  // whole blocks
  };

  std::vector<Write> writes;
  format::Header header;
  format::FileTable table;
  std::optional<format::ExtendedTable> extended;
  bool one_barrier = false;
};

// Under what the next generation is sealed.
struct CommitKey {
  const DatastoreKey* key = nullptr;  // none: a plaintext store, or a locked one
  std::size_t slot = 0;               // the only key slot that stays in use
  bool decrypts = false;              // an unlocked store becomes a plaintext one; no key then
};

// plan_commit() draws fresh keys, seals and places everything. `previous` is the file table of the
// generation before the committed one, whose blocks are spared while there is room. With a key a
// plaintext store becomes an encrypted one. kDenied without
// room; kInvalidArgument where a store that is to be plaintext would keep an encrypted file; errors
// of reading where digests of untouched files have to be made.
base::Result<CommitPlan> plan_commit(storage::BlockDevice& device, const Generation& committed,
                                     const format::FileTable* previous,
                                     const Transaction& transaction, const CommitKey& key,
                                     Barriers barriers);

// plan_format() is the first generation of a store: the file table at block 2, the extended table
// at block 3, and behind them what `first` puts. Without a key it is a plaintext store. Errors as
// plan_commit().
base::Result<CommitPlan> plan_format(std::uint64_t capacity_blocks, const Transaction& first,
                                     const DatastoreKey* key);

}  // namespace vmgs::volume
