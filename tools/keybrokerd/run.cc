// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/daemon/log.h"
#include "tools/keybrokerd/commands.h"
#include "tools/keybrokerd/daemon.h"

namespace tools::keybrokerd {

void add_flags(CLI::App& app, Flags& flags) {
  app.add_option("--config", flags.config,
                 "Read this file, and conf.d/*.toml beside it [" +
                     std::string(config::kKeybrokerdFile) + "]")
      ->type_name("FILE");
  app.add_option("--state", flags.state, "Keep the broker's keys and records here")
      ->type_name("FOLDER");
}

base::Result<config::KeybrokerdSettings> read_settings(const Flags& flags) {
  config::KeybrokerdSettings settings;
  const auto schema = config::keybrokerd_schema(settings);
  const bool is_named = !flags.config.empty();
  const auto loaded =
      config::load(schema, is_named ? flags.config : config::kKeybrokerdFile, is_named);
  std::string faults;
  for (const auto& fault : loaded.faults) {
    faults += (faults.empty() ? "" : "\n") + to_string(fault);
  }
  if (!faults.empty()) {
    return base::fail(base::ErrorCode::kInvalidArgument, faults);
  }
  if (!flags.state.empty()) {
    settings.state_folder = flags.state;
  }
  return settings;
}

cli::Command run_command() {
  return {
      .name = "run", .summary = "Serve, until SIGTERM", .set_up = [](CLI::App& app) -> cli::Action {
        auto flags = std::make_shared<Flags>();
        add_flags(app, *flags);
        return [flags](cli::Output&) -> base::Result<cli::ExitStatus> {
          TRY_ASSIGN(settings, read_settings(*flags));
          TRY_ASSIGN(level, daemon::parse_level(settings.log_level));
          daemon::start_log(level);
          TRY(run_daemon(settings, [flags] { return read_settings(*flags); }));
          return cli::ExitStatus::kDone;
        };
      }};
}

}  // namespace tools::keybrokerd
