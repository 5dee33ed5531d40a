// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "tools/cli/stream.h"
#include "tools/vtpmctl/commands.h"
#include "tools/vtpmctl/service.h"

namespace tools::vtpmctl {

namespace {

constexpr std::size_t kMaxAuthorizationBytes = 64;

struct Arguments {
  Service service;
  std::string vm;
  std::string auth_file;
};

constexpr const char* kExamples =
    R"(The authorization is the tenant's: what the guest's owner has set with tpm2_changeauth -c lockout.
A wrong one is not only refused: the TPM then takes no other until its recovery time is over.
Examples:
  vtpmctl lockout show web1
  vtpmctl lockout reset web1 --auth-file web1.lockout
)";

base::Result<cli::ExitStatus> print(const api::Lockout& lockout, cli::Output& output) {
  if (output.json()) {
    TRY(output.document("strongroom.lockout/1", to_json(lockout)));
  } else {
    TRY(output.text(describe(lockout) + "\n"));
  }
  return lockout.locked_out() ? cli::ExitStatus::kFoundProblem : cli::ExitStatus::kDone;
}

base::Result<cli::ExitStatus> show(const Arguments& arguments, cli::Output& output) {
  api::GetLockoutRequest request;
  request.set_vm(arguments.vm);
  TRY_ASSIGN(got, arguments.service.call<api::GetLockoutResponse>("GetLockout", request));
  return print(got.lockout(), output);
}

base::Result<cli::ExitStatus> reset(const Arguments& arguments, cli::Output& output) {
  // One line end is no part of it, as people make such files with an editor.
  TRY_ASSIGN(file, cli::read_input(arguments.auth_file, kMaxAuthorizationBytes + 1));
  auto authorization = file.expose();
  if (!authorization.empty() && authorization.back() == std::byte{'\n'}) {
    authorization = authorization.first(authorization.size() - 1);
  }
  api::ResetLockoutRequest request;
  request.set_vm(arguments.vm);
  request.set_authorization(authorization.data(), authorization.size());
  const auto done = arguments.service.call<api::ResetLockoutResponse>("ResetLockout", request);
  if (!done && done.error().code == base::ErrorCode::kAuthentication) {
    output.talk(
        "do not try again with another guess: see how long it waits with `vtpmctl lockout show " +
        arguments.vm + " --json` (lockout_recovery_seconds; 0 is until the guest's TPM is reset)");
  }
  TRY_ASSIGN(got, done);
  return print(got.lockout(), output);
}

}  // namespace

cli::Command lockout_command() {
  return {.name = "lockout",
          .summary = "How near a TPM is to a lockout by wrong authorizations, and its reset",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.footer(kExamples);
            app.require_subcommand(1);
            auto* const show_app = app.add_subcommand("show", "Failed tries, the most, and times");
            auto* const reset_app =
                app.add_subcommand("reset", "Have the TPM forget failed tries, as its tenant");
            for (auto* const sub : {show_app, reset_app}) {
              sub->fallthrough();
              sub->add_option("vm", arguments->vm, "Its name or id")->required();
            }
            reset_app
                ->add_option("--auth-file", arguments->auth_file,
                             "The TPM's lockout authorization; - for stdin")
                ->required()
                ->type_name("FILE");
            add_service_arguments(app, arguments->service);
            return [arguments, reset_app](cli::Output& output) {
              return reset_app->parsed() ? reset(*arguments, output) : show(*arguments, output);
            };
          }};
}

}  // namespace tools::vtpmctl
