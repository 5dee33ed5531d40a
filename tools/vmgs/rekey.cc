// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <array>
#include <memory>
#include <utility>

#include "tools/cli/stream.h"
#include "tools/vmgs/commands.h"
#include "tools/vmgs/store.h"

namespace tools::vmgs {

namespace {

namespace format = ::vmgs::format;
namespace volume = ::vmgs::volume;
using format::FileId;

constexpr std::array kProtectors = {FileId::kKeyProtector, FileId::kHwKeyProtector,
                                    FileId::kSealedKeys};

struct RekeyArguments {
  StoreArguments store;
  std::string new_key;
  bool drop_protectors = false;
};

base::Result<volume::Transaction> without_protectors(const OpenStore& store, bool drop) {
  volume::Transaction transaction(volume::Sequence::kKeep, volume::Barriers::kTwo);
  for (const auto id : kProtectors) {
    if (!store.volume.contains(id)) {
      continue;
    }
    if (!drop) {
      return base::fail(base::ErrorCode::kDenied,
                        format::describe(id) +
                            " opens this store for a VM and would open nothing under another key: "
                            "say --drop-protectors to remove it, and keep the new key");
    }
    transaction.remove(id);
  }
  return transaction;
}

base::Result<cli::ExitStatus> rekey(const RekeyArguments& arguments, cli::Output& output) {
  if (arguments.store.key.empty() || arguments.store.key == arguments.new_key) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "the present key (--key) is needed, from another place than the new one");
  }
  TRY_ASSIGN(new_key, cli::read_key(arguments.new_key));
  TRY_ASSIGN(store, open_store(arguments.store, ::vmgs::storage::Access::kReadWrite, output));
  TRY_ASSIGN(transaction, without_protectors(store, arguments.drop_protectors));
  TRY(store.volume.rekey(std::move(new_key), transaction));
  if (output.json()) {
    TRY(output.document(
        "strongroom.vmgs.rekey/1",
        {{"file", arguments.store.path}, {"sequence", store.volume.current().header().sequence}}));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command rekey_command() {
  return {.name = "rekey",
          .summary = "Seal the store under another key; the old one opens nothing afterwards",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<RekeyArguments>();
            add_store_arguments(app, arguments->store);
            app.add_option("--new-key", arguments->new_key, "The new datastore key, as --key")
                ->type_name("FROM")
                ->required();
            app.add_flag("--drop-protectors", arguments->drop_protectors,
                         "Remove the protectors (files 6, 11, 48) that open the store for a VM");
            return [arguments](cli::Output& output) { return rekey(*arguments, output); };
          }};
}

}  // namespace tools::vmgs
