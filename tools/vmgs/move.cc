// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/vmgs/change.h"
#include "tools/vmgs/commands.h"

namespace tools::vmgs {

namespace {

namespace format = ::vmgs::format;
namespace volume = ::vmgs::volume;

struct MoveArguments {
  ChangeArguments change;
  std::string from;
  std::string to;
  bool overwrite = false;
};

base::Result<void> move_file(OpenStore& store, format::FileId from, format::FileId to,
                             bool overwrite) {
  auto& volume = store.volume;
  if (!volume.contains(from)) {
    return base::fail(base::ErrorCode::kNotFound, format::describe(from) + " is not in the store");
  }
  if (from == to) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      format::describe(from) + " cannot be moved onto itself");
  }
  if (volume.contains(to) && !overwrite) {
    return base::fail(
        base::ErrorCode::kDenied,
        format::describe(to) + " exists already: say --overwrite if its content may be lost");
  }
  TRY_ASSIGN(content, volume.read(from));
  volume::Transaction transaction(volume::Sequence::kEdit, volume::Barriers::kTwo);
  transaction.put(to, content.expose(),
                  volume.current().is_encrypted(from) ? volume::Protection::kAsStore
                                                      : volume::Protection::kPlaintext);
  transaction.remove(from);
  return volume.commit(transaction);
}

base::Result<cli::ExitStatus> move(const MoveArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(from, parse_content_id(arguments.from));
  TRY_ASSIGN(to, parse_content_id(arguments.to));
  TRY_ASSIGN(changed, change_store(arguments.change, output, [&](OpenStore& store) {
               return move_file(store, from, to, arguments.overwrite);
             }));
  TRY(answer_change(output, arguments.change, "strongroom.vmgs.move/1",
                    {{"from", format::index(from)}, {"to", format::index(to)}}, changed,
                    format::describe(from) + " becomes " + format::describe(to) + "\n"));
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command move_command() {
  return {.name = "move",
          .summary = "Give a file of the store another id",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<MoveArguments>();
            add_change_arguments(app, arguments->change, Writing::kOnApply);
            app.add_option("FROM", arguments->from, "The file: a number, or a name")->required();
            app.add_option("TO", arguments->to, "What it becomes: a number, or a name")->required();
            app.add_flag("--overwrite", arguments->overwrite, "Replace a file that is there");
            return [arguments](cli::Output& output) { return move(*arguments, output); };
          }};
}

}  // namespace tools::vmgs
