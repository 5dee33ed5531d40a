// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/vtpmctl/commands.h"
#include "tools/vtpmctl/service.h"

namespace tools::vtpmctl {

namespace {

struct Arguments {
  Service service;
  api::StartVmRequest request;
};

base::Result<cli::ExitStatus> start(const Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(started, arguments.service.call<api::StartVmResponse>("StartVm", arguments.request));
  if (output.json()) {
    TRY(output.document("strongroom.vm/1", to_json(started.vm())));
  } else {
    TRY(output.text(describe(started.vm().readiness())));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command start_command() {
  return {.name = "start",
          .summary = "Start a VM's instance now, rather than when its hypervisor connects",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.footer("Example:\n  vtpmctl start web1 && vtpmctl ready --wait web1\n");
            app.add_option("vm", *arguments->request.mutable_vm(), "Its name or id")->required();
            add_service_arguments(app, arguments->service);
            add_key_argument(app, *arguments->request.mutable_idempotency_key());
            return [arguments](cli::Output& output) { return start(*arguments, output); };
          }};
}

}  // namespace tools::vtpmctl
