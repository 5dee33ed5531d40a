// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/vmgs/commands.h"
#include "tools/vmgs/store.h"
#include "tools/vmgs/uefi_report.h"

namespace tools::vmgs {

namespace {

struct VariablesArguments {
  StoreArguments store;
  bool all = false;
};

base::Result<cli::ExitStatus> variables(const VariablesArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(store, open_store(arguments.store, ::vmgs::storage::Access::kReadOnly, output));
  TRY_ASSIGN(found, read_uefi_variables(store));
  if (store.volume.locked()) {
    output.talk("the variables were not verified: that takes the store's key");
  }
  const auto report = report_on(found);
  if (output.json()) {
    auto fields = to_json(found, report, arguments.all);
    fields["file"] = arguments.store.path;
    TRY(output.document("strongroom.vmgs.variables/1", std::move(fields)));
  } else {
    TRY(output.text(to_text(found, report, arguments.all)));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command variables_command() {
  return {.name = "variables",
          .summary = "List UEFI variables, what Secure Boot trusts and what is booted",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<VariablesArguments>();
            add_store_arguments(app, arguments->store);
            app.add_flag("--all", arguments->all,
                         "Deleted variables too, as far as they are there");
            return [arguments](cli::Output& output) { return variables(*arguments, output); };
          }};
}

}  // namespace tools::vmgs
