// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "tools/cli/output.h"
#include "vmgs/base/result.h"
#include "vmgs/storage/container.h"

namespace CLI {
class App;
}

namespace tools::vmgs {

// What a command that changes a file is told about undoing.
struct UndoArguments {
  bool none = false;  // --no-undo
  std::string file;   // --undo-file; empty: beside the store
};

// add_undo_arguments() declares --no-undo and --undo-file. `arguments` must outlive `app`.
void add_undo_arguments(CLI::App& app, UndoArguments& arguments);

// keeps_undo() tells whether a change of `store` that asks for no decision keeps an undo file: not
// where --no-undo is said, nor on a block device for which no --undo-file is named.
bool keeps_undo(const std::string& store, const UndoArguments& arguments);

// undo_file_for() is the undo file of a change of `store` that begins now, for OpenOptions: the one
// that was named, or STORE.undo-20261122T143000Z beside it, or none. kInvalidArgument for a block
// device if none was named: beside it is no room that lasts.
base::Result<std::optional<std::filesystem::path>> undo_file_for(const std::string& store,
                                                                 const UndoArguments& arguments);

// finish_change() ends the change of an open container, so that its undo file is whole, and says
// which command undoes it. Every command that may have changed something calls it last, after a
// failure too. The undo file, if there is one, goes into the command's document. Errors of
// UndoRecorder::finish().
base::Result<std::optional<std::string>> finish_change(const ::vmgs::storage::Container& container,
                                                       const cli::Output& output);

// The same of a whole file that is open behind a recorder, or behind none.
base::Result<std::optional<std::string>> finish_change(::vmgs::storage::UndoRecorder* undo,
                                                       const std::string& store,
                                                       const cli::Output& output);

}  // namespace tools::vmgs
