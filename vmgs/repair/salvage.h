// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vmgs/format/file_id.h"
#include "vmgs/storage/block_device.h"
#include "vmgs/volume/datastore_key.h"

namespace vmgs::repair {

// One content that was found for a file id.
struct Salvaged {
  format::FileId id{};
  // Which file table led to it: "header-0", "header-512" or "header-4096" for the one that the
  // header at that byte names, "block-N" for one that only a scan found.
  std::string origin;
  std::uint32_t file_table_block = 0;
  // The sealed table vouches for it: its tag or its digest fits. What has no such witness is given
  // out as it lies: blocks that were freed may hold anything by now.
  bool authentic = false;
  base::SecretBytes content;
};

// What a key is worth for a damaged store: whether it opens a key slot that is left.
enum class KeyFits { kYes, kNo, kNoSlotIsLeft };

// key_fits() looks at every place where a header can lie, however damaged. kCorrupt for a device of
// less than two blocks; kIo.
base::Result<KeyFits> key_fits(storage::BlockDevice& device, const volume::DatastoreKey& key);

// How far salvage() came.
enum class Searched { kAll, kUpToLimit };

// salvage() gives `take` everything that can be read, of every generation that is left: it looks at
// each block that may be a file table, even one of which only some entries keep the rules, and
// tries what is encrypted with every file key that `key` leads to. The same content for the same id
// comes once, the best witnessed first origin. Nothing is written. An error of `take` ends it and
// is returned; kIo only if the header area cannot be read.
//
// Tables can be planted that lead to the same blocks over and over: it ends with
// Searched::kUpToLimit when it has read, or given out, as much as no honest store asks for.
base::Result<Searched> salvage(storage::BlockDevice& device, const volume::DatastoreKey* key,
                               const std::function<base::Result<void>(const Salvaged&)>& take);

}  // namespace vmgs::repair
