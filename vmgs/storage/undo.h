// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "vmgs/crypto/digest.h"
#include "vmgs/storage/resizable.h"
#include "vmgs/storage/undo_file.h"

namespace vmgs::storage {

// digest_of() is SHA-256 of the whole device, read in pieces. kIo.
base::Result<crypto::Sha256Digest> digest_of(BlockDevice& device);

// What an undo file can do for a file as it lies.
enum class Undoing {
  kNothing,  // the file is what it was before the change
  kWhole,    // the file is what the change made of it
  // The change, or an earlier undoing, was cut off: the original can be put together, but nothing
  // tells what was written since then, and that would be lost.
  kUnfinished,
};

// examine_undo() finds out, and proves it: the digest of what undoing would leave is computed and
// is that of the original. kDenied if it is not: the file was changed after the change that
// `undo` describes, was undone already, or is another file. For Undoing::kUnfinished, where the
// saved bytes may be all that is looked at, the identities must be equal too where both are known.
// kIo. Nothing is written.
base::Result<Undoing> examine_undo(BlockDevice& file, const UndoFile& undo, BlockDevice& undo_file,
                                   std::optional<std::uint64_t> identity = std::nullopt);

// What apply_undo() does about Undoing::kUnfinished: only a person can know that nothing was
// written since.
enum class Unfinished { kRefuse, kUndo };

// apply_undo() examines, then puts the old bytes and the old length back, flushes, reads the whole
// file again, and notes in the undo file that it is done, so that a second time takes nothing later
// away. It may be cut off anywhere and taken up again. Errors as examine_undo(), kDenied by
// `unfinished`, and those of writing; kIo if the file reads otherwise afterwards.
base::Result<Undoing> apply_undo(ResizableDevice& file, const UndoFile& undo,
                                 ResizableDevice& undo_file, Unfinished unfinished,
                                 std::optional<std::uint64_t> identity = std::nullopt);

}  // namespace vmgs::storage
