// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/vmgs/change.h"
#include "tools/vmgs/commands.h"
#include "tools/vmgs/without_key.h"

namespace tools::vmgs {

namespace {

namespace format = ::vmgs::format;
namespace volume = ::vmgs::volume;

struct DeleteArguments {
  ChangeArguments change;
  std::string id;
  bool without_key = false;
};

base::Result<cli::ExitStatus> remove(const DeleteArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(id, parse_content_id(arguments.id));
  std::uint32_t sequence = 0;
  TRY_ASSIGN(changed,
             change_store(arguments.change, output, [&](OpenStore& store) -> base::Result<void> {
               if (!store.volume.contains(id)) {
                 return base::fail(base::ErrorCode::kNotFound,
                                   format::describe(id) + " is not in the store");
               }
               volume::Transaction transaction(volume::Sequence::kEdit, volume::Barriers::kTwo);
               transaction.remove(id);
               if (arguments.without_key) {
                 TRY(check_without_key(store, arguments.change.undo));
                 transaction.on_locked_store();
               }
               TRY(store.volume.commit(transaction));
               sequence = store.volume.current().header().sequence;
               return {};
             }));
  TRY(answer_change(output, arguments.change, "strongroom.vmgs.delete/1",
                    {{"id", format::index(id)}, {"sequence", sequence}}, changed, {}));
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command delete_command() {
  return {.name = "delete",
          .summary = "Take a file out of the store",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<DeleteArguments>();
            add_change_arguments(app, arguments->change, Writing::kAtOnce);
            add_file_id_argument(app, arguments->id);
            app.add_flag("--without-key", arguments->without_key,
                         "Remove a plaintext file of an encrypted store without its key; an "
                         "instance refuses the store until somebody with the key accepts that");
            return [arguments](cli::Output& output) { return remove(*arguments, output); };
          }};
}

}  // namespace tools::vmgs
