// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/cli/output.h"
#include "tools/vmgs/store.h"
#include "tools/vmgs/undo_option.h"
#include "vmgs/base/result.h"
#include "vmgs/repair/plan.h"
#include "vmgs/storage/undo_recorder.h"
#include "vmgs/volume/datastore_key.h"

namespace tools::vmgs {

// WholeFile is a file that may be too damaged to be opened as a store, locked, packaging included.
struct WholeFile {
  std::unique_ptr<::vmgs::storage::ResizableDevice> device;
  ::vmgs::storage::UndoRecorder* undo = nullptr;  // in front of it, if it may be changed
  ::vmgs::repair::Patient patient;
};

// open_whole_file() opens and locks it: to change it, with an undo file, or to read it. Errors of
// FileDevice::open() and undo_file_for().
base::Result<WholeFile> open_whole_file(const StoreArguments& store, bool to_change,
                                        const UndoArguments& undo);

// read_key_of() is the key that --key names, if there is one. Errors of cli::read_key().
base::Result<std::optional<::vmgs::volume::DatastoreKey>> read_key_of(const StoreArguments& store);

// carry_out() applies the steps, one synced before the next begins, and finishes the undo file, of
// which it gives the name; also after a step failed.
base::Result<std::optional<std::string>> carry_out(const WholeFile& file,
                                                   const StoreArguments& store,
                                                   const std::vector<::vmgs::repair::Step>& steps,
                                                   const cli::Output& output);

}  // namespace tools::vmgs
