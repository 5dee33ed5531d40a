// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/vmgs/commands.h"
#include "tools/vmgs/store.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/storage/private_file.h"

namespace tools::vmgs {

namespace {

namespace format = ::vmgs::format;

struct ReadArguments {
  StoreArguments store;
  std::string id;
  std::string output = "-";
};

base::Result<void> answer_json(cli::Output& output, const ReadArguments& arguments,
                               format::FileId id, base::ByteView content) {
  boost::json::object fields = {{"file", arguments.store.path},
                                {"id", format::index(id)},
                                {"size_bytes", content.size()},
                                {"sha256", base::to_hex(::vmgs::crypto::sha256(content))}};
  if (arguments.output == "-") {
    fields["content_hex"] = base::to_hex(content);
  } else {
    fields["output"] = arguments.output;
  }
  return output.document("strongroom.vmgs.read/1", std::move(fields));
}

base::Result<cli::ExitStatus> read(const ReadArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(id, parse_content_id(arguments.id));
  TRY_ASSIGN(store, open_store(arguments.store, ::vmgs::storage::Access::kReadOnly, output));
  TRY_ASSIGN(content, store.volume.read(id));
  if (store.volume.locked()) {
    output.talk(format::describe(id) + " was not verified: that takes the store's key");
  }
  if (arguments.output != "-") {
    // Guest state holds secrets: for the owner alone, and never over something else.
    TRY(::vmgs::storage::create_private_file(arguments.output, content.expose()));
  }
  if (output.json()) {
    TRY(answer_json(output, arguments, id, content.expose()));
  } else if (arguments.output == "-") {
    TRY(output.bytes(content.expose()));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command read_command() {
  return {.name = "read",
          .summary = "Write a file of the store to stdout or to a new file",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<ReadArguments>();
            add_store_arguments(app, arguments->store);
            add_file_id_argument(app, arguments->id);
            app.add_option("--output", arguments->output,
                           "Where it goes: a new file, made for its owner alone, or - for stdout")
                ->type_name("TO");
            return [arguments](cli::Output& output) { return read(*arguments, output); };
          }};
}

}  // namespace tools::vmgs
