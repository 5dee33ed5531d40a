// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "vmgs/base/result.h"

namespace tools::swtpm {

// What swtpm's command line asks for, before any of it is looked at: the text behind each option.
struct CommandLine {
  std::optional<std::string> control;        // --ctrl
  std::optional<std::string> server;         // --server
  std::optional<std::string> port;           // -p, --port
  std::optional<std::string> data_fd;        // -f, --fd
  std::optional<std::string> state;          // --tpmstate
  std::optional<std::string> key;            // --key
  std::optional<std::string> migration_key;  // --migration-key
  std::optional<std::string> log;            // --log
  std::optional<std::string> pid;            // --pid
  std::optional<std::string> locality;       // --locality
  std::optional<std::string> flags;          // --flags
  std::optional<std::string> migration;      // --migration
  std::optional<std::string> seccomp;        // --seccomp
  std::optional<std::string> user;           // -r, --runas
  std::optional<std::string> root;           // -R, --chroot
  bool daemon = false;                       // -d
  bool terminate = false;                    // -t
  bool tpm2 = false;
  bool help = false;
  bool print_capabilities = false;
  bool print_states = false;
};

// read_command_line() reads what follows `swtpm socket`. kInvalidArgument with the sentence for the
// person who typed it; getopt_long() has then said on stderr what it does not know.
base::Result<CommandLine> read_command_line(int argc, char** argv);

// usage() is what --help prints.
std::string usage(const std::string& program);

}  // namespace tools::swtpm
