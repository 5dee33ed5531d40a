// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "vmgs/base/result.h"
#include "vmgs/format/blocks.h"
#include "vmgs/storage/block_device.h"
#include "vmgs/volume/datastore_key.h"
#include "vmgs/volume/finding.h"

namespace vmgs::repair {

// Codes of findings, which programs may rely on. Most are told by examine() itself, some come from
// volume::choose().
//
//   too-short blank version-1                        it is no store of this format
//   bad-header no-valid-header sequence-gap          the two headers
//   wrong-spacing
//   no-key-slot two-keys downgrade old-key-remains   what a header says
//   bad-file-table bad-entry bad-self-entry          the file table
//   bad-extended-entry overlap extra-blocks
//   not-encrypted locked wrong-key stale-key         the key that was given, or not
//   zero-metadata-key no-commit-info edited          the sealed table
//   one-barrier orphan-key attributes-differ
//   fell-back edited-without-key auth-failure        what opens and what does not
//   unreadable-file unreadable-generation empty-encrypted
//   plaintext-left
//   bad-content wrong-size foreign-tpm-state         what files hold
//   full variables-full                              no room for what comes next
//   unknown-bits reprovisioned                       anything else
//   bad-container vhd-slack missing-footer           what the store is wrapped in

struct Examination {
  std::vector<volume::Finding> findings;  // in order of the store's parts

  // clean() tells that no finding is an error.
  [[nodiscard]] bool clean() const;
};

// examine() says everything that is wrong, or worth knowing, about the store on `device`, and never
// writes. Without a key the sealed part of an encrypted store is left out, which a finding says.
// With one, everything is read and verified. A damaged store is not an error here but findings; kIo
// if the headers or tables cannot be read.
base::Result<Examination> examine(storage::BlockDevice& device, format::HeaderSpacing spacing,
                                  const volume::DatastoreKey* key);

}  // namespace vmgs::repair
