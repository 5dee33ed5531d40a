// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>
#include <vector>

#include "vmgs/base/result.h"
#include "vmgs/storage/block_device.h"
#include "vmgs/volume/datastore_key.h"
#include "vmgs/volume/finding.h"
#include "vmgs/volume/generation.h"

namespace vmgs::volume {

// Choice is what became of two generations of an encrypted store and the keys found through them.
struct Choice {
  explicit Choice(DatastoreKey opening_key) : key(std::move(opening_key)) {}

  DatastoreKey key;                        // opens the chosen generation
  bool fell_back = false;                  // the older one is the state
  bool edited_without_key = false;         // somebody changed plaintext parts without the key
  std::vector<FileFailure> failing_files;  // of the chosen generation
  std::vector<Finding> findings;           // why it was chosen, for people
};

// choose() unlocks and decides, as follows. The newest generation is taken if all of it opens. If
// not, the older one is taken only where a torn commit of ours explains the damage, that is if
//  (a) the newest key slot opens, and the commit was made with one barrier or its extended table
//      does not open;
//  (b) something that fails was written by that commit: its file table, its extended table, or a
//      file that the older generation does not share; and
//  (c) in the older one nothing fails but files that both share.
// Otherwise a bad file fails alone: damage to anything older than the newest commit never rolls a
// TPM back. A file table that does not match its digest, beside an extended table that the older
// generation has too, was written without the key: no falling back, the state is `edited`.
//
// kAuthentication if no key slot opens with a key that `source` finds, or the source's own error;
// kCorrupt where neither generation can be used; kIo from the device.
base::Result<Choice> choose(storage::BlockDevice& device, Generation& newest, Generation* older,
                            const KeySource& source);

}  // namespace vmgs::volume
