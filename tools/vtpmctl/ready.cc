// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/vtpmctl/commands.h"
#include "tools/vtpmctl/service.h"

namespace tools::vtpmctl {

namespace {

struct Arguments {
  Service service;
  api::GetReadinessRequest request;
};

constexpr const char* kExamples = R"(The exit status is 0 if the VM may trust its TPM and 3 if not.
Examples:
  vtpmctl ready web1
  vtpmctl ready --wait --timeout 30s web1
)";

base::Result<cli::ExitStatus> ready(const Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(answer,
             arguments.service.call<api::GetReadinessResponse>("GetReadiness", arguments.request));
  const auto& readiness = answer.readiness();
  if (output.json()) {
    TRY(output.document("strongroom.readiness/1", to_json(readiness)));
  } else {
    TRY(output.text(describe(readiness)));
  }
  return readiness.is_ready() ? cli::ExitStatus::kDone : cli::ExitStatus::kFoundProblem;
}

}  // namespace

cli::Command ready_command() {
  return {.name = "ready",
          .summary = "Say whether a VM may trust its TPM, and if not, why and what to do",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.footer(kExamples);
            app.add_option("vm", *arguments->request.mutable_vm(), "Its name or id")->required();
            add_service_arguments(app, arguments->service);
            app.add_flag_callback(
                "--wait", [arguments] { arguments->request.set_wait(true); },
                "Wait until it is ready, or until only a person can help");
            return [arguments](cli::Output& output) { return ready(*arguments, output); };
          }};
}

}  // namespace tools::vtpmctl
