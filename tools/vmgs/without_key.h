// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tools/vmgs/store.h"
#include "tools/vmgs/undo_option.h"
#include "vmgs/base/result.h"

namespace tools::vmgs {

// check_without_key() refuses a change of a locked store that nothing could take back. Only the key
// tells whether a crash has cut the newest commit off, and then the state is the one before it,
// whose header the change writes over: so an undo file has to be kept. kDenied where none is
// (keeps_undo()), but where both generations hold the same files. kIo.
base::Result<void> check_without_key(const OpenStore& store, const UndoArguments& undo);

}  // namespace tools::vmgs
