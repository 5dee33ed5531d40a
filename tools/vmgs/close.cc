// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/vmgs/commands.h"
#include "tools/vmgs/store.h"

namespace tools::vmgs {

namespace {

// What a VM does when it is stopped in order, for one that was not: afterwards every reader of the
// format finds the newest state.
base::Result<cli::ExitStatus> close(const StoreArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(store, open_store(arguments, ::vmgs::storage::Access::kReadWrite, output));
  if (store.volume.locked()) {
    return base::fail(base::ErrorCode::kDenied,
                      arguments.path + " is encrypted: --key is needed to close it");
  }
  TRY(store.volume.recover());
  TRY(store.volume.close());
  if (output.json()) {
    TRY(output.document(
        "strongroom.vmgs.close/1",
        {{"file", arguments.path}, {"sequence", store.volume.current().header().sequence}}));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command close_command() {
  return {.name = "close",
          .summary = "Make a store that was left by a crash safe for other readers",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto store = std::make_shared<StoreArguments>();
            add_store_arguments(app, *store);
            return [store](cli::Output& output) { return close(*store, output); };
          }};
}

}  // namespace tools::vmgs
