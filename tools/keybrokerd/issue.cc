// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <map>
#include <memory>

#include "keybroker/protocol/uuid.h"
#include "tools/keybrokerd/commands.h"
#include "tools/keybrokerd/services.h"
#include "tools/keybrokerd/tls_authority.h"

namespace tools::keybrokerd {

namespace {

using transport::tls::Role;

struct Arguments {
  Flags flags;
  TlsAuthority::Caller caller;
  std::string tenant;
  std::string folder;
  int days = 30;
};

constexpr const char* kExamples = R"(Examples:
  keybrokerd issue --role operator --name alice --out alice
  keybrokerd issue --role tenant --tenant 6ba7b810-... --name bob --out bob
  keybrokerd issue --role hypervisor --name host-7 --out host-7     for vtpmd's [broker] settings
)";

base::Result<cli::ExitStatus> issue(Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(settings, read_settings(arguments.flags));
  if (!settings.tls_certificate.empty()) {
    return base::fail(base::ErrorCode::kDenied,
                      "this broker's TLS credentials are of another authority ([tls]): that one "
                      "issues certificates for callers");
  }
  auto& caller = arguments.caller;
  if ((caller.role == Role::kTenant) != !arguments.tenant.empty()) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "--tenant goes with --role tenant, and has to");
  }
  if (!arguments.tenant.empty()) {
    TRY_ASSIGN(tenant, keybroker::protocol::parse_uuid(arguments.tenant));
    caller.tenant = tenant;
  }
  caller.life = std::chrono::days(arguments.days);
  const auto now = now_in_seconds();
  TRY_ASSIGN(authority, TlsAuthority::open(settings.state_folder / "tls", now));
  TRY(authority.issue(caller, arguments.folder, now));
  TRY(output.json() ? output.document("strongroom.identity/1", {{"folder", arguments.folder}})
                    : output.text(arguments.folder + "\n"));
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command issue_command() {
  return {.name = "issue",
          .summary = "Make a caller's TLS key and certificate, on the broker's machine",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.footer(kExamples);
            add_flags(app, arguments->flags);
            app.add_option("--role", arguments->caller.role, "What the caller may do")
                ->transform(CLI::CheckedTransformer(
                    std::map<std::string, Role>{{"hypervisor", Role::kHypervisor},
                                                {"tenant", Role::kTenant},
                                                {"operator", Role::kOperator},
                                                {"auditor", Role::kAuditor}}))
                ->required();
            app.add_option("--tenant", arguments->tenant, "For which tenant it speaks")
                ->type_name("UUID");
            app.add_option("--name", arguments->caller.name, "Its name, for logs")->required();
            app.add_option("--days", arguments->days, "How long it is good [30]")
                ->check(CLI::Range(1, 366));
            app.add_option("--out", arguments->folder, "A new folder for it")
                ->type_name("FOLDER")
                ->required();
            return [arguments](cli::Output& output) { return issue(*arguments, output); };
          }};
}

}  // namespace tools::keybrokerd
