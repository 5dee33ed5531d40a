// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/undo.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "tools/vmgs/commands.h"
#include "vmgs/storage/file.h"
#include "vmgs/storage/undoable_file.h"

namespace tools::vmgs {

namespace {

namespace storage = ::vmgs::storage;
using storage::Undoing;

struct UndoCommandArguments {
  std::string store;
  std::string undo_file;
  bool apply = false;
  bool unfinished = false;
};

std::string_view name(Undoing undoing) {
  switch (undoing) {
    case Undoing::kNothing:
      return "nothing";
    case Undoing::kWhole:
      return "whole";
    case Undoing::kUnfinished:
      return "unfinished";
  }
  return {};
}

std::string sentence(Undoing undoing, const UndoCommandArguments& arguments) {
  if (undoing == Undoing::kNothing) {
    return arguments.store + " is what it was before the change: there is nothing to undo\n";
  }
  if (arguments.apply) {
    return arguments.store + " is again, byte for byte, what it was before the change\n";
  }
  if (undoing == Undoing::kUnfinished) {
    return "The change, or an undoing of it, was cut off. The file can be put back as it was, but "
           "anything written since is lost then: if nothing was, say --apply --unfinished. Nothing "
           "was written now\n";
  }
  return "The change can be undone. Nothing was written; say --apply to do it\n";
}

base::Result<cli::ExitStatus> undo(const UndoCommandArguments& arguments, cli::Output& output) {
  const auto access = arguments.apply ? storage::Access::kReadWrite : storage::Access::kReadOnly;
  TRY_ASSIGN(file, storage::FileDevice::open(arguments.store, access));
  TRY_ASSIGN(undo_file, storage::FileDevice::open(arguments.undo_file, access));
  auto read = storage::read_undo_file(*undo_file);
  if (!read) {
    return base::fail(std::move(read).error().context(arguments.undo_file));
  }
  TRY_ASSIGN(identity, storage::identity_of(*file));
  const auto unfinished =
      arguments.unfinished ? storage::Unfinished::kUndo : storage::Unfinished::kRefuse;
  auto undoing = arguments.apply
                     ? storage::apply_undo(*file, *read, *undo_file, unfinished, identity)
                     : storage::examine_undo(*file, *read, *undo_file, identity);
  if (!undoing) {
    return base::fail(std::move(undoing).error().context(arguments.store));
  }
  std::uint64_t saved_bytes = 0;
  for (const auto& range : read->ranges) {
    saved_bytes += range.length;
  }
  TRY(output.json()
          ? output.document("strongroom.vmgs.undo/1",
                            {{"file", arguments.store},
                             {"undo_file", arguments.undo_file},
                             {"change", name(*undoing)},
                             {"saved_bytes", saved_bytes},
                             {"original_bytes", read->original_bytes},
                             {"original_sha256", base::to_hex(read->original_digest)},
                             {"applied", arguments.apply && *undoing != Undoing::kNothing}})
          : output.text(sentence(*undoing, arguments)));
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command undo_command() {
  return {.name = "undo",
          .summary = "Put a file back as it was before a change, byte for byte",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<UndoCommandArguments>();
            app.add_option("FILE", arguments->store, "The file that was changed")->required();
            app.add_option("UNDOFILE", arguments->undo_file, "What the change left beside it")
                ->required();
            app.add_flag("--apply", arguments->apply,
                         "Do it; otherwise only say whether it can be");
            app.add_flag("--unfinished", arguments->unfinished,
                         "Undo a change that was cut off: anything written since is lost");
            return [arguments](cli::Output& output) { return undo(*arguments, output); };
          }};
}

}  // namespace tools::vmgs
