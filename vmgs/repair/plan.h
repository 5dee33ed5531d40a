// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "vmgs/base/result.h"
#include "vmgs/format/file_id.h"
#include "vmgs/format/header_spacing.h"
#include "vmgs/storage/overlay.h"
#include "vmgs/volume/datastore_key.h"
#include "vmgs/volume/finding.h"

namespace vmgs::repair {

// Wishes are what a person has said that a plan cannot know.
struct Wishes {
  std::set<std::string> accepted = {};           // words that a plan asked for
  std::set<format::FileId> dropped = {};         // files that may go
  std::optional<std::uint32_t> file_table = {};  // the block of the table, where several could be
};

// Step is one repair, tried already: what it cures and every write of it.
struct Step {
  std::string code;     // of the finding, or of the word that was accepted
  std::string where;    // the place, as in the finding
  std::string message;  // what is done, for people
  std::vector<storage::Operation> operations;
};

// Plan is what can be repaired, in order, and what cannot.
struct Plan {
  std::vector<Step> steps;
  // What is not done and why; the message ends with what a person can do. Its code is that of the
  // finding, or the word to accept, and it is as severe as the finding.
  std::vector<volume::Finding> open;
  std::vector<volume::Finding> before;  // the findings as the file lies
  std::vector<volume::Finding> after;   // the findings once the steps are carried out
};

// Patient is what is known of a file from outside its bytes.
struct Patient {
  bool is_block_device = false;  // no packaging, and sectors of `sector_bytes`
  std::uint32_t sector_bytes = 512;
  std::optional<format::HeaderSpacing> spacing;  // if a person said it
};

// plan_repair() finds out what is wrong with the whole file, packaging included, and tries every
// repair on an overlay, one after another, examining again after each. A step after which any file
// reads otherwise than before, or no longer, is not taken, except where the wishes say so by name:
// then `open` asks for the word. Nothing is written. kIo from the device.
base::Result<Plan> plan_repair(storage::BlockDevice& whole, const Patient& patient,
                               const volume::DatastoreKey* key, const Wishes& wishes);

// apply() carries out one step: its writes in their order, each barrier of it, and a flush at the
// end. If it is cut off, the old state, the new one, or what an undo file mends is there.
base::Result<void> apply(storage::ResizableDevice& whole, const Step& step);

// examine_whole() is examine() for a whole file, packaging included. kIo.
base::Result<std::vector<volume::Finding>> examine_whole(storage::BlockDevice& whole,
                                                         const Patient& patient,
                                                         const volume::DatastoreKey* key);

}  // namespace vmgs::repair
