// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tools/cli/exit_status.h"
#include "tools/cli/output.h"
#include "vmgs/base/result.h"

namespace CLI {
class App;
}

namespace tools::cli {

// What a command does once its arguments are read.
using Action = std::function<base::Result<ExitStatus>(Output&)>;

// Command is one subcommand of a program: one that does something, or a group of others.
struct Command {
  std::string name;
  std::string summary;

  // set_up() declares the command's own arguments and gives the action that uses them. --json is
  // declared for every command. A group has none.
  std::function<Action(CLI::App&)> set_up = nullptr;
  std::vector<Command> group = {};
};

struct Program {
  std::string name;
  std::string summary;
  std::vector<Command> commands;
};

// run() is the main() of a program: it reads the command line, runs one command and gives the exit
// status. An error goes to stderr as a sentence and, with --json, to stdout as a document
// "strongroom.error/1". No exception leaves it.
int run(const Program& program, int argc, const char* const* argv);

// What a run left behind that was not one of its own process.
struct Captured {
  int status = 0;
  std::string answer;  // what would have gone to stdout
  std::string talked;  // and to stderr
};

// run_captured() runs one command as run() would, with `words` behind the program's name. Threads
// may do so at the same time, if the commands themselves may.
Captured run_captured(const Program& program, const std::vector<std::string>& words);

}  // namespace tools::cli
