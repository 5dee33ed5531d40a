// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmgs/crypto/digest.h"
#include "vmgs/storage/resizable.h"
#include "vmgs/storage/undo_file.h"

namespace vmgs::storage {

// digest_of() is SHA-256 of the whole device, read in pieces. kIo.
base::Result<crypto::Sha256Digest> digest_of(BlockDevice& device);

// What an undo file can do for a file as it lies.
enum class Undoing {
  kNothing,     // the file is what it was before the change
  kWhole,       // the file is what the change made of it
  kUnfinished,  // the change, or an earlier undoing, was cut off; the original can be put together
};

// examine_undo() finds out, and proves it: the digest of what undoing would leave is computed and
// is that of the original. kDenied if it is not: the file was changed after the change that
// `undo` describes, or is another file. kIo. Nothing is written.
base::Result<Undoing> examine_undo(BlockDevice& file, const UndoFile& undo, BlockDevice& undo_file);

// apply_undo() examines, then puts the old bytes and the old length back, flushes and reads the
// whole file again. It may be cut off anywhere and taken up again. Errors as examine_undo(), and
// those of writing; kIo if the file reads otherwise afterwards.
base::Result<Undoing> apply_undo(ResizableDevice& file, const UndoFile& undo,
                                 ResizableDevice& undo_file);

}  // namespace vmgs::storage
