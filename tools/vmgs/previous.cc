// SPDX-License-Identifier: Apache-2.0
#include "vmgs/repair/previous.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "tools/vmgs/commands.h"
#include "tools/vmgs/whole_file.h"
#include "vmgs/storage/private_file.h"

namespace tools::vmgs {

namespace {

namespace format = ::vmgs::format;
namespace repair = ::vmgs::repair;

struct PreviousArguments {
  StoreArguments store;
  std::string id;
  std::string out;
  bool apply = false;
  UndoArguments undo;
};

base::Result<cli::ExitStatus> list(const PreviousArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(key, read_key_of(arguments.store));
  TRY_ASSIGN(file, open_whole_file(arguments.store, /*to_change=*/false, {}));
  TRY_ASSIGN(older, repair::previous_generation(*file.device, file.patient, key ? &*key : nullptr));
  boost::json::array files;
  std::string text;
  for (std::size_t i = 0; i < format::kFileIds; ++i) {
    const auto id = static_cast<format::FileId>(i);
    const auto& entry = (*older.table())[id];
    if (!entry || !format::is_content(id)) {
      continue;
    }
    const auto content = older.read_file(*file.device, id);
    files.push_back({{"id", i},
                     {"name", format::name(id)},
                     {"size_bytes", entry->valid_bytes},
                     {"encrypted", older.is_encrypted(id)},
                     {"reads", content.has_value()}});
    text += format::describe(id) + ", " + std::to_string(entry->valid_bytes) + " bytes" +
            (content ? "" : ": " + content.error().message) + "\n";
  }
  TRY(output.json() ? output.document("strongroom.vmgs.previous.list/1",
                                      {{"file", arguments.store.path},
                                       {"sequence", older.header().sequence},
                                       {"files", std::move(files)}})
                    : output.text(text));
  return cli::ExitStatus::kDone;
}

base::Result<cli::ExitStatus> read(const PreviousArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(id, parse_content_id(arguments.id));
  TRY_ASSIGN(key, read_key_of(arguments.store));
  TRY_ASSIGN(file, open_whole_file(arguments.store, /*to_change=*/false, {}));
  TRY_ASSIGN(older, repair::previous_generation(*file.device, file.patient, key ? &*key : nullptr));
  TRY_ASSIGN(content, older.read_file(*file.device, id));
  if (arguments.out == "-" && !output.json()) {
    TRY(output.bytes(content.expose()));
    return cli::ExitStatus::kDone;
  }
  if (arguments.out == "-") {
    return base::fail(base::ErrorCode::kInvalidArgument, "--json needs a file to read into");
  }
  TRY(::vmgs::storage::create_private_file(arguments.out, content.expose()));
  if (output.json()) {
    TRY(output.document("strongroom.vmgs.previous.read/1", {{"file", arguments.store.path},
                                                            {"id", format::index(id)},
                                                            {"size_bytes", content.size()},
                                                            {"out", arguments.out}}));
  }
  return cli::ExitStatus::kDone;
}

base::Result<cli::ExitStatus> restore(const PreviousArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(key, read_key_of(arguments.store));
  TRY_ASSIGN(file, open_whole_file(arguments.store, arguments.apply, arguments.undo));
  TRY_ASSIGN(step, repair::restore_previous(*file.device, file.patient, key ? &*key : nullptr));
  std::optional<std::string> undo_file;
  if (arguments.apply) {
    TRY_ASSIGN(undo, carry_out(file, arguments.store, {step}, output));
    undo_file = undo;
  }
  TRY(output.json()
          ? output.document(
                "strongroom.vmgs.previous.restore/1",
                {{"file", arguments.store.path},
                 {"applied", arguments.apply},
                 {"undo_file", undo_file ? boost::json::value(*undo_file) : boost::json::value()}})
          : output.text((arguments.apply ? "done: " : "step: ") + step.where + ": " + step.message +
                        (arguments.apply
                             ? "\n"
                             : "\nnothing was written: say --apply to carry this out\n")));
  return cli::ExitStatus::kDone;
}

cli::Command with_store(std::string name, std::string summary,
                        std::function<void(CLI::App&, PreviousArguments&)> more,
                        base::Result<cli::ExitStatus> (*run)(const PreviousArguments&,
                                                             cli::Output&)) {
  return {.name = std::move(name),
          .summary = std::move(summary),
          .set_up = [more = std::move(more), run](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<PreviousArguments>();
            add_store_arguments(app, arguments->store);
            more(app, *arguments);
            return [arguments, run](cli::Output& output) { return run(*arguments, output); };
          }};
}

}  // namespace

cli::Command previous_command() {
  return {.name = "previous",
          .summary = "The state before the newest commit: list, read, restore",
          .group = {with_store(
                        "list", "List its files, and whether they still read",
                        [](CLI::App&, PreviousArguments&) {}, list),
                    with_store(
                        "read", "Read one of its files",
                        [](CLI::App& app, PreviousArguments& arguments) {
                          add_file_id_argument(app, arguments.id);
                          app.add_option("OUT", arguments.out,
                                         "A new file for the content, or - for stdout")
                              ->required();
                        },
                        read),
                    with_store(
                        "restore", "Make it the newest again, which undoes the last commit",
                        [](CLI::App& app, PreviousArguments& arguments) {
                          app.add_flag("--apply", arguments.apply,
                                       "Do it; otherwise only say whether it can be done");
                          add_undo_arguments(app, arguments.undo);
                        },
                        restore)}};
}

}  // namespace tools::vmgs
