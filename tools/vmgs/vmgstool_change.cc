// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "tools/cli/output.h"
#include "tools/vmgs/vmgstool_commands.h"
#include "tools/vmgs/without_key.h"

namespace tools::vmgs::vmgstool {

namespace storage = ::vmgs::storage;

Outcome<std::optional<std::string>> change(const Arguments& arguments, Locked locked,
                                           const std::function<Outcome<void>(OpenStore&)>& make) {
  std::optional<std::filesystem::path> undo_file;
  if (!arguments.dry_run && keeps_undo(arguments.file_path, arguments.undo)) {
    TOOL_TRY_ASSIGN(named, undo_file_for(arguments.file_path, arguments.undo));
    undo_file = std::move(named);
  }
  const auto access = arguments.dry_run ? storage::Access::kReadOnly : storage::Access::kReadWrite;
  TOOL_TRY_ASSIGN(store, open(arguments.file_path, arguments.key_path, access, locked, undo_file));
  const auto made = make(store);
  const auto kept = finish_change(store.container, cli::Output("vmgstool"));
  TOOL_TRY(made);
  TOOL_TRY(kept);
  return *kept;
}

Outcome<void> commit(OpenStore& store, ::vmgs::volume::Transaction transaction,
                     const UndoArguments& undo) {
  if (store.volume.locked()) {
    TOOL_TRY(check_without_key(store, undo));
    transaction.on_locked_store();
  }
  TOOL_TRY(store.volume.commit(transaction));
  return {};
}

}  // namespace tools::vmgs::vmgstool
