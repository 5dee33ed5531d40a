// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>
#include <utility>

#include "tools/vmgs/change.h"
#include "tools/vmgs/commands.h"
#include "tools/vmgs/protectors.h"
#include "tools/vmgs/store.h"

namespace tools::vmgs {

namespace {

namespace volume = ::vmgs::volume;

struct RekeyArguments {
  ChangeArguments change;
  std::string new_key;
  bool drop_protectors = false;
};

base::Result<void> rekey_store(OpenStore& store, volume::DatastoreKey new_key, bool drop) {
  TRY_ASSIGN(protectors, protectors_to_drop(store, drop));
  volume::Transaction transaction(volume::Sequence::kKeep, volume::Barriers::kTwo);
  for (const auto id : protectors) {
    transaction.remove(id);
  }
  return store.volume.rekey(std::move(new_key), transaction);
}

base::Result<cli::ExitStatus> rekey(const RekeyArguments& arguments, cli::Output& output) {
  const auto& key = arguments.change.store.key;
  if (key.empty() || key == arguments.new_key) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "the present key (--key) is needed, from another place than the new one");
  }
  TRY_ASSIGN(new_key, read_store_key(arguments.new_key));
  std::uint32_t sequence = 0;
  TRY_ASSIGN(changed,
             change_store(arguments.change, output, [&](OpenStore& store) -> base::Result<void> {
               TRY(rekey_store(store, std::move(new_key), arguments.drop_protectors));
               sequence = store.volume.current().header().sequence;
               return {};
             }));
  if (changed.undo_file) {
    output.talk(*changed.undo_file +
                " still opens with the old key: delete it, securely, when you are sure of the new "
                "one");
  }
  TRY(answer_change(output, arguments.change, "strongroom.vmgs.rekey/1", {{"sequence", sequence}},
                    changed, {}));
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command rekey_command() {
  return {.name = "rekey",
          .summary = "Seal the store under another key; the old one opens nothing afterwards",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<RekeyArguments>();
            add_change_arguments(app, arguments->change, Writing::kAtOnce);
            app.add_option("--new-key", arguments->new_key, "The new datastore key, as --key")
                ->type_name("FROM")
                ->required();
            app.add_flag("--drop-protectors", arguments->drop_protectors,
                         "Remove the protectors (files 6, 11, 48) that open the store for a VM");
            return [arguments](cli::Output& output) { return rekey(*arguments, output); };
          }};
}

}  // namespace tools::vmgs
