// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "tools/vtpmctl/commands.h"
#include "tools/vtpmctl/service.h"

namespace tools::vtpmctl {

namespace {

struct Arguments {
  Service service;
  api::DeleteVmRequest request;
  bool yes = false;
};

base::Result<void> confirm(const Arguments& arguments, const cli::Output& output) {
  if (arguments.yes) {
    return {};
  }
  if (isatty(STDIN_FILENO) == 0) {
    return base::fail(base::ErrorCode::kDenied,
                      "this destroys the TPM and every secret sealed to it; say --yes");
  }
  output.talk("this destroys the TPM of '" + arguments.request.vm() +
              "' and every secret sealed to it. Type its name to go on:");
  std::string answer;
  std::getline(std::cin, answer);
  if (answer != arguments.request.vm()) {
    return base::fail(base::ErrorCode::kDenied, "nothing was deleted");
  }
  return {};
}

base::Result<cli::ExitStatus> remove(const Arguments& arguments, cli::Output& output) {
  TRY(confirm(arguments, output));
  TRY_ASSIGN(deleted, arguments.service.call<api::DeleteVmResponse>("DeleteVm", arguments.request));
  if (output.json()) {
    TRY(output.document("strongroom.deleted_vm/1", {{"vm_id", deleted.vm_id()}}));
  } else {
    output.talk("deleted " + deleted.vm_id());
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command delete_command() {
  return {.name = "delete",
          .summary = "Remove a VM and destroy its TPM",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.footer("Example:\n  vtpmctl stop web1 && vtpmctl delete web1 --yes\n");
            app.add_option("vm", *arguments->request.mutable_vm(), "Its name or id")->required();
            add_service_arguments(app, arguments->service);
            add_key_argument(app, *arguments->request.mutable_idempotency_key());
            app.add_flag("--yes", arguments->yes, "Do not ask");
            return [arguments](cli::Output& output) { return remove(*arguments, output); };
          }};
}

}  // namespace tools::vtpmctl
