// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/kbctl/commands.h"
#include "tools/kbctl/service.h"

namespace tools::kbctl {

namespace {

struct Arguments {
  Service service;
  bool roots = false;
};

constexpr const char* kExamples = R"(Examples:
  kbctl status
  kbctl status --roots > broker-root.pem     what `vtpmctl create --broker-root` takes
)";

base::Result<cli::ExitStatus> status(const Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(status, arguments.service.call<api::GetStatusResponse>("BrokerService", "GetStatus",
                                                                    api::GetStatusRequest()));
  std::string text;
  if (arguments.roots) {
    for (const auto& pem : status.root_pems()) {
      text += pem;
    }
  } else {
    text = "keybrokerd " + status.version() + ", " + time_text(status.time()) + "\n";
    cli::add_line(text, "records", status.database());
    if (status.recovery()) {
      cli::add_line(text, "RECOVERY",
                    "until " + time_text(status.recovery_until()) +
                        ": receipts of VMs move their records forward");
    }
    for (const auto& problem : status.problems()) {
      cli::add_line(text, "problem", problem);
    }
  }
  TRY(answer(output, "strongroom.broker/1", status, text));
  return status.problems().empty() ? cli::ExitStatus::kDone : cli::ExitStatus::kFoundProblem;
}

}  // namespace

cli::Command status_command() {
  return {.name = "status",
          .summary = "Whether the broker is well, and the roots it signs under",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.footer(kExamples);
            app.add_flag("--roots", arguments->roots, "Write the roots, in PEM");
            add_service_arguments(app, arguments->service);
            return [arguments](cli::Output& output) { return status(*arguments, output); };
          }};
}

}  // namespace tools::kbctl
