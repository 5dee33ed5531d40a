// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/vmgs/commands.h"
#include "tools/vmgs/store.h"

namespace tools::vmgs {

namespace {

namespace format = ::vmgs::format;
namespace volume = ::vmgs::volume;

struct DeleteArguments {
  StoreArguments store;
  std::string id;
  bool without_key = false;
};

base::Result<cli::ExitStatus> remove(const DeleteArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(id, parse_content_id(arguments.id));
  TRY_ASSIGN(store, open_store(arguments.store, ::vmgs::storage::Access::kReadWrite, output));
  if (!store.volume.contains(id)) {
    return base::fail(base::ErrorCode::kNotFound, format::describe(id) + " is not in the store");
  }
  volume::Transaction transaction(volume::Sequence::kEdit, volume::Barriers::kTwo);
  transaction.remove(id);
  if (arguments.without_key) {
    transaction.on_locked_store();
  }
  TRY(store.volume.commit(transaction));
  if (output.json()) {
    TRY(output.document("strongroom.vmgs.delete/1",
                        {{"file", arguments.store.path},
                         {"id", format::index(id)},
                         {"sequence", store.volume.current().header().sequence}}));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command delete_command() {
  return {.name = "delete",
          .summary = "Take a file out of the store",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<DeleteArguments>();
            add_store_arguments(app, arguments->store);
            add_file_id_argument(app, arguments->id);
            app.add_flag("--without-key", arguments->without_key,
                         "Remove a plaintext file of an encrypted store without its key; an "
                         "instance refuses the store until somebody with the key accepts that");
            return [arguments](cli::Output& output) { return remove(*arguments, output); };
          }};
}

}  // namespace tools::vmgs
