// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/program.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <map>
#include <memory>
#include <optional>
#include <sstream>

#include "tools/cli/command_text.h"
#include "tools/cli/completion.h"
#include "tools/cli/manual.h"
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

// What every program can say of itself: how a shell completes its command line, and its manual.
void add_description_commands(CLI::App& app, const std::string& program, Actions& actions) {
  auto* const complete = app.add_subcommand(
      "completion", "Print a script that completes this command line in a shell");
  const auto shell = std::make_shared<std::string>();
  complete->add_option("SHELL", *shell, "bash, zsh or fish")->required();
  actions[complete] = [&app, program, shell](Output& output) -> base::Result<ExitStatus> {
    TRY_ASSIGN(script, completion(*shell, program, describe(app)));
    TRY(output.text(script));
    return ExitStatus::kDone;
  };
  actions[app.add_subcommand("man", "Print the manual page of this program")] =
      [&app, program](Output& output) -> base::Result<ExitStatus> {
    TRY(output.text(manual(program, STRONGROOM_VERSION, describe(app))));
    return ExitStatus::kDone;
  };
}

// The innermost command that was named and has an action.
const Action& chosen(const CLI::App& app, const Actions& actions) {
  const auto* const named = app.get_subcommands().front();
  const auto found = actions.find(named);
  return found != actions.end() ? found->second : chosen(*named, actions);
}

// Reads the words, runs what they ask for, and gives the exit status.
int run_words(const Program& program, std::vector<std::string> words, Output& output) {
  try {
    CLI::App app(program.summary, program.name);
    app.set_version_flag("--version", program.name + " " STRONGROOM_VERSION);
    app.require_subcommand(0, 1);
    std::optional<int> explained;
    app.add_option("--explain", explained, "Say what an exit status means")->type_name("STATUS");

    bool json = false;
    Actions actions;
    add_commands(app, program.commands, actions, json);
    add_description_commands(app, program.name, actions);

    try {
      std::reverse(words.begin(), words.end());  // as CLI11 takes them
      app.parse(std::move(words));
    } catch (const CLI::ParseError& error) {
      std::ostringstream answer;
      std::ostringstream talk;
      const bool asked_for_help = app.exit(error, answer, talk) == 0;
      output.say(talk.str());
      if (!asked_for_help || !output.text(answer.str())) {
        return number(asked_for_help ? ExitStatus::kFailed : ExitStatus::kUsage);
      }
      return number(ExitStatus::kDone);
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

}  // namespace

int run(const Program& program, int argc, const char* const* argv) {
  Output output(program.name);
  if (const auto held = hold_standard_streams(); !held) {
    return report(output, held.error());
  }
  // A limit on file sizes is an error like a full disk, to be said and cleaned up after.
  std::signal(SIGXFSZ, SIG_IGN);
  return run_words(program, {argv + std::min(argc, 1), argv + argc}, output);
}

Captured run_captured(const Program& program, const std::vector<std::string>& words) {
  auto output = Output::capturing(program.name);
  const int status = run_words(program, words, output);
  return {status, output.answer(), output.talked()};
}

}  // namespace tools::cli
