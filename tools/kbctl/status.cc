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
  std::string ak_class;
  std::string crl_class;
};

constexpr const char* kExamples = R"(Examples:
  kbctl status
  kbctl status --roots > broker-root.pem     what `vtpmctl create --broker-root` takes
  kbctl status --ak-roots cvm > ak-root.pem  what `attest verify --ak-root` takes
  kbctl status --ak-crl cvm > ak.crl         in DER
)";

base::Result<cli::ExitStatus> ak_crl(const Arguments& arguments, cli::Output& output) {
  api::GetAkCrlRequest request;
  request.set_class_(arguments.crl_class);
  TRY_ASSIGN(got,
             arguments.service.call<api::GetAkCrlResponse>("BrokerService", "GetAkCrl", request));
  TRY(output.json() ? output.document("strongroom.ak_crl/1", to_json(got))
                    : output.bytes(base::bytes_of(got.crl())));
  return cli::ExitStatus::kDone;
}

base::Result<cli::ExitStatus> ak_roots(const Arguments& arguments,
                                       const api::GetStatusResponse& status, cli::Output& output) {
  for (const auto& authority : status.ak_authorities()) {
    if (authority.class_() == arguments.ak_class) {
      return answer(output, "strongroom.ak_authority/1", authority, authority.root_pem());
    }
  }
  return base::fail(base::ErrorCode::kNotFound,
                    "this broker has no CA of class '" + arguments.ak_class + "'");
}

base::Result<cli::ExitStatus> status(const Arguments& arguments, cli::Output& output) {
  if (!arguments.crl_class.empty()) {
    return ak_crl(arguments, output);
  }
  TRY_ASSIGN(status, arguments.service.call<api::GetStatusResponse>("BrokerService", "GetStatus",
                                                                    api::GetStatusRequest()));
  if (!arguments.ak_class.empty()) {
    return ak_roots(arguments, status, output);
  }
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
            app.add_option("--ak-roots", arguments->ak_class,
                           "Write the root of the CA that certifies AKs of this class, in PEM")
                ->type_name("cvm|simulated");
            app.add_option("--ak-crl", arguments->crl_class,
                           "Write the revocation list of that CA, in DER")
                ->type_name("cvm|simulated");
            add_service_arguments(app, arguments->service);
            return [arguments](cli::Output& output) { return status(*arguments, output); };
          }};
}

}  // namespace tools::kbctl
