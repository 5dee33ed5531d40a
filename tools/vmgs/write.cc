// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "tools/cli/stream.h"
#include "tools/vmgs/change.h"
#include "tools/vmgs/commands.h"
#include "tools/vmgs/without_key.h"

namespace tools::vmgs {

namespace {

namespace format = ::vmgs::format;
namespace volume = ::vmgs::volume;

struct WriteArguments {
  ChangeArguments change;
  std::string id;
  std::string input = "-";
  bool overwrite = false;
  bool plaintext = false;
  bool without_key = false;
};

struct Written {
  std::size_t size_bytes = 0;
  std::uint32_t sequence = 0;
};

base::Result<Written> write_file(OpenStore& store, const WriteArguments& arguments,
                                 format::FileId id) {
  if (store.volume.contains(id) && !arguments.overwrite) {
    return base::fail(
        base::ErrorCode::kDenied,
        format::describe(id) + " exists already: say --overwrite if its content may be lost");
  }
  TRY_ASSIGN(content, cli::read_input(arguments.input, store.container.device->size_bytes()));
  volume::Transaction transaction(volume::Sequence::kEdit, volume::Barriers::kTwo);
  transaction.put(id, content.expose(),
                  arguments.plaintext || arguments.without_key ? volume::Protection::kPlaintext
                                                               : volume::Protection::kAsStore);
  if (arguments.without_key) {
    TRY(check_without_key(store, arguments.change.undo));
    transaction.on_locked_store();
  }
  TRY(store.volume.commit(transaction));
  return Written{content.size(), store.volume.current().header().sequence};
}

base::Result<cli::ExitStatus> write(const WriteArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(id, parse_content_id(arguments.id));
  if (arguments.input == "-" && arguments.change.store.key == "-") {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "stdin cannot be both the key and the content");
  }
  Written written;
  TRY_ASSIGN(changed,
             change_store(arguments.change, output, [&](OpenStore& store) -> base::Result<void> {
               TRY_ASSIGN(done, write_file(store, arguments, id));
               written = done;
               return {};
             }));
  TRY(answer_change(output, arguments.change, "strongroom.vmgs.write/1",
                    {{"id", format::index(id)},
                     {"size_bytes", written.size_bytes},
                     {"sequence", written.sequence}},
                    changed, {}));
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command write_command() {
  return {.name = "write",
          .summary = "Put a file into the store, encrypted if the store is",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<WriteArguments>();
            add_change_arguments(app, arguments->change, Writing::kAtOnce);
            add_file_id_argument(app, arguments->id);
            app.add_option("--input", arguments->input,
                           "Where it comes from: a file, or - for stdin")
                ->type_name("FROM");
            app.add_flag("--overwrite", arguments->overwrite, "Replace the file if it is there");
            app.add_flag("--plaintext", arguments->plaintext,
                         "Keep it in plaintext, readable without the key");
            app.add_flag("--without-key", arguments->without_key,
                         "Write plaintext into an encrypted store without its key; an instance "
                         "refuses the store until somebody with the key accepts the change");
            return [arguments](cli::Output& output) { return write(*arguments, output); };
          }};
}

}  // namespace tools::vmgs
