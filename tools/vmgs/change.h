// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <functional>
#include <optional>
#include <string>

#include "tools/cli/output.h"
#include "tools/vmgs/store.h"
#include "tools/vmgs/undo_option.h"
#include "vmgs/base/result.h"

namespace CLI {
class App;
}

namespace tools::vmgs {

// When a command that changes a store writes.
enum class Writing {
  kOnApply,  // only with --apply; without it, it says what it would do
  kAtOnce,   // unless --dry-run is said: commands whose name says plainly what they write
};

// What such a command is told, besides what is its own.
struct ChangeArguments {
  StoreArguments store;
  UndoArguments undo;
  Writing writing = Writing::kOnApply;
  bool apply = false;
  bool dry_run = false;

  [[nodiscard]] bool writes() const { return writing == Writing::kAtOnce ? !dry_run : apply; }
};

// add_change_arguments() declares FILE and its key, --apply or --dry-run, and those of undoing.
// `arguments` must outlive `app`.
void add_change_arguments(CLI::App& app, ChangeArguments& arguments, Writing writing);

// What came of a change.
struct Changed {
  bool applied = false;
  std::optional<std::string> undo_file{};
};

// change_store() opens the store, makes `change`, and ends it so that it can be undone. Where
// nothing is to be written the same is done in memory, on a store that is open for reading: so a
// plan that succeeds is one that is possible. The lock of a running VM is respected either way.
// Errors of open_store() and of `change`.
base::Result<Changed> change_store(const ChangeArguments& arguments, const cli::Output& output,
                                   const std::function<base::Result<void>(OpenStore&)>& change);

// answer_change() is the answer of such a command: with --json the document, `fields` with "file",
// "applied" and "undo_file"; else `text`, which says what was or would be done, and, if nothing was
// written, how to do it. Commands that write at once say nothing when they have.
base::Result<void> answer_change(cli::Output& output, const ChangeArguments& arguments,
                                 std::string_view schema, boost::json::object fields,
                                 const Changed& changed, std::string text);

}  // namespace tools::vmgs
