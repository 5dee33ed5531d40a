// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/vmgs/uefi_change.h"
#include "tools/vmgs/uefi_commands.h"
#include "vmgs/storage/private_file.h"

namespace tools::vmgs {

namespace {

namespace uefi = ::vmgs::uefi;

struct GetArguments {
  StoreArguments store;
  std::string name;
  std::string vendor;
  std::string output = "-";
};

base::Result<cli::ExitStatus> get(const GetArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(store, open_store(arguments.store, ::vmgs::storage::Access::kReadOnly, output));
  TRY_ASSIGN(variables, open_variables(store));
  TRY_ASSIGN(variable, find_variable(variables.store, arguments.name, arguments.vendor));
  if (store.volume.locked()) {
    output.talk("the variable was not verified: that takes the store's key");
  }
  if (arguments.output != "-") {
    TRY(::vmgs::storage::create_private_file(arguments.output, variable->data));
  }
  if (output.json()) {
    boost::json::object fields = {{"file", arguments.store.path},
                                  {"name", uefi::text_of(variable->name)},
                                  {"vendor", uefi::to_string(variable->vendor)},
                                  {"attributes", variable->attributes},
                                  {"size_bytes", variable->data.size()}};
    if (arguments.output == "-") {
      fields["data_hex"] = base::to_hex(variable->data);
    } else {
      fields["output"] = arguments.output;
    }
    TRY(output.document("strongroom.vmgs.uefi-get/1", std::move(fields)));
  } else if (arguments.output == "-") {
    TRY(output.bytes(variable->data));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command uefi_get_command() {
  return {.name = "get",
          .summary = "Write the content of a UEFI variable to stdout or to a new file",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<GetArguments>();
            add_store_arguments(app, arguments->store);
            app.add_option("NAME", arguments->name, "The variable, such as BootOrder")->required();
            app.add_option("--vendor", arguments->vendor,
                           "Its vendor: a GUID, or a name such as EFI_GLOBAL_VARIABLE")
                ->type_name("GUID");
            app.add_option("--output", arguments->output,
                           "Where it goes: a new file, made for its owner alone, or - for stdout")
                ->type_name("TO");
            return [arguments](cli::Output& output) { return get(*arguments, output); };
          }};
}

}  // namespace tools::vmgs
