// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>

#include "tools/cli/exit_status.h"
#include "tools/cli/stream.h"
#include "tools/config/vtpmd_settings.h"
#include "tools/daemon/log.h"
#include "tools/vtpmd/daemon.h"

namespace {

using tools::cli::ExitStatus;
using tools::config::VtpmdSettings;

// What the command line says. It wins over the files.
struct Flags {
  std::string config;
  std::string state;
  std::string runtime;
  std::string socket;
  std::string instance;
  std::string log_level;
};

void apply(const Flags& flags, VtpmdSettings& settings) {
  const auto set = [](const std::string& flag, auto& setting) {
    if (!flag.empty()) {
      setting = flag;
    }
  };
  set(flags.state, settings.state_folder);
  set(flags.runtime, settings.runtime_folder);
  set(flags.socket, settings.socket);
  set(flags.instance, settings.instance_program);
  set(flags.log_level, settings.log_level);
}

// All faults of the configuration are in the error, one a line.
base::Result<VtpmdSettings> read_settings(const Flags& flags) {
  VtpmdSettings settings;
  const auto schema = vtpmd_schema(settings);
  const bool is_named = !flags.config.empty();
  const auto loaded =
      tools::config::load(schema, is_named ? flags.config : tools::config::kVtpmdFile, is_named);
  std::string faults;
  for (const auto& fault : loaded.faults) {
    faults += (faults.empty() ? "" : "\n") + to_string(fault);
  }
  if (!faults.empty()) {
    return base::fail(base::ErrorCode::kInvalidArgument, faults);
  }
  apply(flags, settings);
  if (settings.instance_program.empty()) {
    std::error_code error;
    settings.instance_program = tools::config::find_instance_program(
        std::filesystem::read_symlink("/proc/self/exe", error));
  }
  return settings;
}

int give_up(const base::Error& error) {
  std::fprintf(stderr, "vtpmd: %s\n", error.message.c_str());
  return static_cast<int>(tools::cli::exit_status(error.code));
}

int run(int argc, char** argv) {
  Flags flags;
  CLI::App app("Serves the virtual TPMs of this host's VMs. vtpmctl talks to it.", "vtpmd");
  app.set_version_flag("--version", "vtpmd " STRONGROOM_VERSION);
  app.add_option("--config", flags.config,
                 "Read this file, and conf.d/*.toml beside it [" +
                     std::string(tools::config::kVtpmdFile) + "]")
      ->type_name("FILE");
  app.add_option("--state", flags.state, "Keep the registry and the stores here")
      ->type_name("FOLDER");
  app.add_option("--runtime", flags.runtime, "Make the sockets here")->type_name("FOLDER");
  app.add_option("--socket", flags.socket, "Listen for vtpmctl here")->type_name("PATH");
  app.add_option("--instance", flags.instance, "The program that runs one VM's TPM")
      ->type_name("PROGRAM");
  app.add_option("--log-level", flags.log_level, "Log from this level on")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}));
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked_for_help) {
    return app.exit(asked_for_help);
  } catch (const CLI::ParseError& error) {
    app.exit(error);
    return static_cast<int>(ExitStatus::kUsage);
  }
  const auto settings = read_settings(flags);
  if (!settings) {
    return give_up(settings.error());
  }
  const auto level = tools::daemon::parse_level(settings->log_level);
  if (!level) {
    return give_up(level.error());
  }
  tools::daemon::start_log(*level);
  const auto done = tools::vtpmd::run_daemon(*settings, [flags] { return read_settings(flags); });
  return done ? static_cast<int>(ExitStatus::kDone) : give_up(done.error());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const auto held = tools::cli::hold_standard_streams();
    return held ? run(argc, argv) : give_up(held.error());
  } catch (const std::exception& error) {
    return give_up({base::ErrorCode::kIo, std::string("internal error: ") + error.what()});
  }
}
