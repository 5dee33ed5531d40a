// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/vtpmctl/commands.h"
#include "tools/vtpmctl/service.h"

namespace tools::vtpmctl {

namespace {

struct Arguments {
  Service service;
  api::StopVmRequest request;
};

base::Result<cli::ExitStatus> stop(const Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(stopped, arguments.service.call<api::StopVmResponse>("StopVm", arguments.request));
  if (output.json()) {
    TRY(output.document("strongroom.vm/1", to_json(stopped.vm())));
  } else {
    TRY(output.text(describe(stopped.vm().readiness())));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command stop_command() {
  return {.name = "stop",
          .summary = "End a VM's instance in order, and wait for its end",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.footer("Example:\n  vtpmctl stop web1\n");
            app.add_option("vm", *arguments->request.mutable_vm(), "Its name or id")->required();
            add_service_arguments(app, arguments->service);
            add_key_argument(app, *arguments->request.mutable_idempotency_key());
            app.add_flag_callback(
                "--force", [arguments] { arguments->request.set_force(true); },
                "Even under a running guest, which is left with a TPM that fails; the second time "
                "without asking the instance");
            return [arguments](cli::Output& output) { return stop(*arguments, output); };
          }};
}

}  // namespace tools::vtpmctl
