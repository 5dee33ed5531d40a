// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/program.h"

#include <CLI/CLI.hpp>
#include <csignal>
#include <map>
#include <optional>

#include "tools/cli/stream.h"

namespace tools::cli {

namespace {

int number(ExitStatus status) { return static_cast<int>(status); }

int report(Output& output, const base::Error& error) {
  output.talk(error.message);
  const auto status = number(exit_status(error.code));
  if (output.json()) {
    const auto written = output.document(
        "strongroom.error/1",
        {{"code", base::name(error.code)}, {"message", error.message}, {"exit_status", status}});
    if (!written) {
      return number(ExitStatus::kFailed);
    }
  }
  return status;
}

int run_action(const Action& action, Output& output) {
  auto status = action(output);
  return status ? number(*status) : report(output, status.error());
}

using Actions = std::map<const CLI::App*, Action>;

void add_commands(CLI::App& app, const std::vector<Command>& commands, Actions& actions,
                  bool& json) {
  for (const auto& command : commands) {
    auto* const sub = app.add_subcommand(command.name, command.summary);
    if (command.set_up) {
      actions[sub] = command.set_up(*sub);
      sub->add_flag("--json", json, "Answer with one JSON document");
    } else {
      sub->require_subcommand(1);
      add_commands(*sub, command.group, actions, json);
    }
  }
}

// The innermost command that was named and has an action.
const Action& chosen(const CLI::App& app, const Actions& actions) {
  const auto* const named = app.get_subcommands().front();
  const auto found = actions.find(named);
  return found != actions.end() ? found->second : chosen(*named, actions);
}

}  // namespace

int run(const Program& program, int argc, const char* const* argv) {
  Output output(program.name);
  if (const auto held = hold_standard_streams(); !held) {
    return report(output, held.error());
  }
  // A limit on file sizes is an error like a full disk, to be said and cleaned up after.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    CLI::App app(program.summary, program.name);
    app.set_version_flag("--version", program.name + " " STRONGROOM_VERSION);
    app.require_subcommand(0, 1);
    std::optional<int> explained;
    app.add_option("--explain", explained, "Say what an exit status means")->type_name("STATUS");

    bool json = false;
    Actions actions;
    add_commands(app, program.commands, actions, json);

    try {
      app.parse(argc, argv);
    } catch (const CLI::Success& asked_for_help) {
      return app.exit(asked_for_help);
    } catch (const CLI::ParseError& error) {
      app.exit(error);
      return number(ExitStatus::kUsage);
    }

    output.set_json(json);
    if (explained) {
      const auto text = explain(*explained);
      return text ? run_action(
                        [&](Output& out) -> base::Result<ExitStatus> {
                          TRY(out.text(*text + "\n"));
                          return ExitStatus::kDone;
                        },
                        output)
                  : report(output, text.error());
    }
    if (app.get_subcommands().empty()) {
      output.talk("a command is needed\n" + app.help());
      return number(ExitStatus::kUsage);
    }
    return run_action(chosen(app, actions), output);
  } catch (const std::exception& error) {
    output.talk(std::string("internal error: ") + error.what());
    return number(ExitStatus::kFailed);
  }
}

}  // namespace tools::cli
