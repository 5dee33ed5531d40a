// SPDX-License-Identifier: Apache-2.0
#include "tools/swtpm/command_line.h"

#include <getopt.h>

#include <array>
#include <map>

namespace tools::swtpm {

namespace {

enum Choice : int {
  kControl = 256,
  kServer,
  kState,
  kKey,
  kMigrationKey,
  kLog,
  kPid,
  kLocality,
  kFlags,
  kMigration,
  kSeccomp,
  kTpm2,
  kPrintCapabilities,
  kPrintStates,
};

constexpr std::array kOptions = {
    option{"ctrl", required_argument, nullptr, kControl},
    option{"server", required_argument, nullptr, kServer},
    option{"port", required_argument, nullptr, 'p'},
    option{"fd", required_argument, nullptr, 'f'},
    option{"tpmstate", required_argument, nullptr, kState},
    option{"key", required_argument, nullptr, kKey},
    option{"migration-key", required_argument, nullptr, kMigrationKey},
    option{"log", required_argument, nullptr, kLog},
    option{"pid", required_argument, nullptr, kPid},
    option{"locality", required_argument, nullptr, kLocality},
    option{"flags", required_argument, nullptr, kFlags},
    option{"migration", required_argument, nullptr, kMigration},
    option{"seccomp", required_argument, nullptr, kSeccomp},
    option{"runas", required_argument, nullptr, 'r'},
    option{"chroot", required_argument, nullptr, 'R'},
    option{"daemon", no_argument, nullptr, 'd'},
    option{"terminate", no_argument, nullptr, 't'},
    option{"tpm2", no_argument, nullptr, kTpm2},
    option{"help", no_argument, nullptr, 'h'},
    option{"print-capabilities", no_argument, nullptr, kPrintCapabilities},
    option{"print-states", no_argument, nullptr, kPrintStates},
    option{nullptr, 0, nullptr, 0},
};

using Text = std::optional<std::string> CommandLine::*;
using Flag = bool CommandLine::*;

const std::map<int, Text>& texts() {
  static const std::map<int, Text> members = {
      {kControl, &CommandLine::control},
      {kServer, &CommandLine::server},
      {'p', &CommandLine::port},
      {'f', &CommandLine::data_fd},
      {kState, &CommandLine::state},
      {kKey, &CommandLine::key},
      {kMigrationKey, &CommandLine::migration_key},
      {kLog, &CommandLine::log},
      {kPid, &CommandLine::pid},
      {kLocality, &CommandLine::locality},
      {kFlags, &CommandLine::flags},
      {kMigration, &CommandLine::migration},
      {kSeccomp, &CommandLine::seccomp},
      {'r', &CommandLine::user},
      {'R', &CommandLine::root},
  };
  return members;
}

const std::map<int, Flag>& flags() {
  static const std::map<int, Flag> members = {
      {'d', &CommandLine::daemon},
      {'t', &CommandLine::terminate},
      {kTpm2, &CommandLine::tpm2},
      {'h', &CommandLine::help},
      {kPrintCapabilities, &CommandLine::print_capabilities},
      {kPrintStates, &CommandLine::print_states},
  };
  return members;
}

}  // namespace

base::Result<CommandLine> read_command_line(int argc, char** argv) {
  CommandLine line;
  ::optind = 1;
  for (;;) {
    const int choice = ::getopt_long(argc, argv, "dhp:f:tr:R:", kOptions.data(), nullptr);
    if (choice == -1) {
      break;
    }
    if (const auto text = texts().find(choice); text != texts().end()) {
      line.*(text->second) = ::optarg;
    } else if (const auto flag = flags().find(choice); flag != flags().end()) {
      line.*(flag->second) = true;
    } else {
      return base::fail(base::ErrorCode::kInvalidArgument, "see --help for what there is");
    }
  }
  if (::optind < argc) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "Unknown parameter '" + std::string(argv[::optind]) + "'");
  }
  return line;
}

std::string usage(const std::string& program) {
  // --seccomp is taken and not named: programs look for its name here to learn whether there is a
  // filter, and there is none.
  return "Usage: " + program +
         " socket [options]\n\n"
         "The options are those of swtpm(8) for a TPM 2.0; the TPM's state is kept in a VMGS "
         "file.\n\n"
         "--tpm2            : a TPM 2.0; there is no other\n"
         "--tpmstate dir=DIR|backend-uri=dir://DIR|file://FILE[,mode=0600][,lock]\n"
         "                  : where the TPM's state is kept (else the folder $TPM_PATH); what "
         "swtpm\n"
         "                    left there is taken over\n"
         "--ctrl type=unixio[,path=PATH|,fd=FD|,clientfd=FD][,mode=0..][,uid=ID][,gid=ID]\n"
         "       type=tcp[,port=PORT[,bindaddr=ADDR]|,fd=FD]   each with [,terminate]\n"
         "                  : control channel; terminate ends with its connection\n"
         "--server type=tcp[,port=PORT[,bindaddr=ADDR]|,fd=FD][,disconnect]\n"
         "         type=unixio[,path=PATH|,fd=FD][,mode=0..][,uid=ID][,gid=ID]\n"
         "                  : where TPM commands come\n"
         "-p|--port PORT    : the same as --server type=tcp,port=PORT,disconnect\n"
         "-f|--fd FD        : TPM commands come on this descriptor; implies -t\n"
         "-t|--terminate    : end when the data channel is closed\n"
         "-d|--daemon       : go to the background\n"
         "--flags [not-need-init][,startup-clear|startup-state|startup-none]\n"
         "        [,disable-auto-shutdown]\n"
         "--key file=FILE|fd=FD[,format=hex|binary][,mode=aes-cbc|aes-256-cbc][,remove[=true]]\n"
         "      pwdfile=FILE|pwdfd=FD[,mode=..][,kdf=pbkdf2|sha512][,remove[=true]]\n"
         "                  : encrypt the TPM's state at rest; without it it is in the clear\n"
         "--migration-key ..: the same for state that is taken out of the TPM\n"
         "--migration [incoming][,release-lock-outgoing]\n"
         "--locality [reject-locality-4][,allow-set-locality]\n"
         "--log file=FILE|fd=FD[,level=N][,prefix=TEXT][,truncate]\n"
         "--pid file=FILE|fd=FD\n"
         "-r|--runas USER, -R|--chroot DIR\n"
         "--print-capabilities, --print-states, -h|--help, --version\n";
}

}  // namespace tools::swtpm
