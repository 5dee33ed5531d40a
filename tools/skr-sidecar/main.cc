// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>

#include "tools/cli/program.h"
#include "tools/skr-sidecar/daemon.h"
#include "vmgs/base/log.h"

namespace {

using namespace tools;
using tools::skr_sidecar::DaemonOptions;

constexpr const char* kExamples = R"(Examples:
  skr-sidecar run --broker https://broker.example:8444 --ca broker-ca.pem --group skr
  curl --unix-socket /run/skr-sidecar/skr.sock http://skr/status
Who is root, or a member of the group, may ask. On a port (--port) every process of this machine may.
)";

void log_to_stderr() {
  base::set_log_sink([](base::LogLevel level, std::string_view line) {
    if (level != base::LogLevel::kDebug) {
      std::fprintf(stderr, "skr-sidecar: %.*s\n", static_cast<int>(line.size()), line.data());
    }
  });
}

base::Result<cli::ExitStatus> serve(const DaemonOptions& options) {
  const auto is_https = [](const std::string& url) { return url.starts_with("https://"); };
  if (!std::ranges::all_of(options.brokers, is_https)) {
    return base::fail(base::ErrorCode::kInvalidArgument, "--broker is an https:// URL");
  }
  log_to_stderr();
  TRY(tools::skr_sidecar::run_daemon(options));
  return cli::ExitStatus::kDone;
}

cli::Command run_command() {
  return {
      .name = "run",
      .summary = "Serve this guest's workloads, until SIGTERM",
      .set_up = [](CLI::App& app) -> cli::Action {
        auto options = std::make_shared<DaemonOptions>();
        options->socket = "/run/skr-sidecar/skr.sock";
        app.footer(kExamples);
        auto* const authorities =
            app.add_option("--ca", options->authorities,
                           "Under which brokers' certificates are believed, PEM; the system's own "
                           "authorities never are")
                ->type_name("FILE")
                ->check(CLI::ExistingFile);
        app.add_option("--broker", options->brokers,
                       "A broker's face for guests; requests may name these and no others. Without "
                       "one there are raw reports only")
            ->type_name("URL")
            ->needs(authorities);
        auto* const socket =
            app.add_option("--socket", options->socket, "Where callers connect")->type_name("PATH");
        app.add_option("--group", options->group, "Whose members may, beside root");
        app.add_option("--port", options->port,
                       "On 127.0.0.1 in place of the socket: every process may then have the keys")
            ->check(CLI::Range(1, 65535))
            ->excludes(socket);
        auto& guest = options->guest;
        app.add_option("--tcti", guest.tcti,
                       "How to reach the TPM, as the TSS spells it: device:/dev/tpmrm0");
        app.add_option("--owner-auth", guest.owner_auth, "The TPM owner's password, in a file")
            ->type_name("FILE");
        app.add_option("--snp-certificates", guest.snp_certificates,
                       "VCEK and what is above it, where the broker does not keep them")
            ->type_name("FILE");
        app.add_option("--event-log", guest.event_log,
                       "The firmware's log; the kernel's without it, none for \"none\"")
            ->type_name("FILE");
        return [options](cli::Output&) { return serve(*options); };
      }};
}

}  // namespace

int main(int argc, char** argv) {
  const cli::Program program{
      .name = "skr-sidecar",
      .summary =
          "In a confidential VM: gives workloads hardware reports, attestation tokens and the keys "
          "that a broker releases for them, by the REST interface of Azure's sidecar.",
      .commands = {run_command()}};
  return cli::run(program, argc, argv);
}
