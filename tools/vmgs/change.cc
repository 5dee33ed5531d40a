// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/change.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <utility>

namespace tools::vmgs {

namespace storage = ::vmgs::storage;

namespace {

// Commands that always wrote at once go on doing so on a block device, beside which there is no
// room for an undo file.
base::Result<std::optional<std::filesystem::path>> undo_file_of(const ChangeArguments& arguments) {
  if (!arguments.writes() || (arguments.writing == Writing::kAtOnce &&
                              !keeps_undo(arguments.store.path, arguments.undo))) {
    return std::optional<std::filesystem::path>();
  }
  return undo_file_for(arguments.store.path, arguments.undo);
}

}  // namespace

void add_change_arguments(CLI::App& app, ChangeArguments& arguments, Writing writing) {
  arguments.writing = writing;
  add_store_arguments(app, arguments.store);
  if (writing == Writing::kOnApply) {
    auto* apply = app.add_flag("--apply", arguments.apply,
                               "Write the change; without it only what would be done is said");
    app.add_flag("--dry-run", arguments.dry_run, "Write nothing, which is what happens anyway")
        ->excludes(apply);
  } else {
    app.add_flag("--dry-run", arguments.dry_run,
                 "Find out whether it can be done, and write nothing");
  }
  add_undo_arguments(app, arguments.undo);
}

base::Result<Changed> change_store(const ChangeArguments& arguments, const cli::Output& output,
                                   const std::function<base::Result<void>(OpenStore&)>& change) {
  const bool writes = arguments.writes();
  TRY_ASSIGN(undo_file, undo_file_of(arguments));
  const auto access = writes ? storage::Access::kReadWrite : storage::Access::kReadOnly;
  TRY_ASSIGN(store, open_store(arguments.store, access, output, undo_file,
                               writes ? WritesGo::kToTheFile : WritesGo::kToMemory));
  const auto made = change(store);
  auto undo_path = finish_change(store.container, output);
  if (!made) {
    return base::fail(made.error());
  }
  if (!undo_path) {
    return base::fail(std::move(undo_path).error());
  }
  return Changed{writes, *std::move(undo_path)};
}

base::Result<void> answer_change(cli::Output& output, const ChangeArguments& arguments,
                                 std::string_view schema, boost::json::object fields,
                                 const Changed& changed, std::string text) {
  if (output.json()) {
    fields["file"] = arguments.store.path;
    fields["applied"] = changed.applied;
    fields["undo_file"] =
        changed.undo_file ? boost::json::value(*changed.undo_file) : boost::json::value();
    return output.document(schema, std::move(fields));
  }
  if (!changed.applied) {
    text += arguments.writing == Writing::kAtOnce ? "It can be done. Nothing was written.\n"
                                                  : "Nothing was written; say --apply to do it.\n";
  } else if (arguments.writing == Writing::kAtOnce) {
    return {};
  }
  return output.text(text);
}

}  // namespace tools::vmgs
