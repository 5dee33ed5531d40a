// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "tools/cli/stream.h"
#include "tools/swtpm/capabilities.h"
#include "tools/swtpm/command_line.h"
#include "tools/swtpm/drop_in_store.h"
#include "tools/swtpm/key_option.h"
#include "tools/swtpm/process.h"
#include "tools/swtpm/service.h"
#include "tools/swtpm/sockets.h"
#include "tools/swtpm/suboptions.h"
#include "tools/vtpm-instance/hardening.h"
#include "vmgs/base/log.h"

namespace {

using namespace tools::swtpm;
using enum SuboptionKind;
using vtpm::protocol::StartupType;

int failed(const base::Error& error) {
  base::log(base::LogLevel::kError, error.message);
  return EXIT_FAILURE;
}

base::Result<StatePlace> state_place(const CommandLine& line) {
  if (!line.state) {
    const char* const folder = std::getenv("TPM_PATH");
    return folder != nullptr
               ? StatePlace::at(folder)
               : base::fail(base::ErrorCode::kInvalidArgument,
                            "Error: --tpmstate option or TPM_PATH environment variable is missing");
  }
  // Stores are always locked, their commits always wait for the disk, and always leave the state
  // before whole.
  TRY_ASSIGN(given, Suboptions::parse("tpmstate", *line.state,
                                      {{"dir", kText},
                                       {"backend-uri", kText},
                                       {"mode", kOctal},
                                       {"lock", kFlag},
                                       {"backup", kFlag},
                                       {"fsync", kFlag}}));
  const auto folder = given.text("dir");
  const auto uri = given.text("backend-uri");
  if (!folder && !uri) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "The dir or backend-uri parameters is required for the tpmstate option.");
  }
  TRY_ASSIGN(place, StatePlace::at(folder ? "dir://" + *folder : *uri));
  if (const auto mode = given.number("mode")) {
    place.mode = static_cast<mode_t>(*mode);
  }
  return place;
}

base::Result<void> read_flags(const std::string& value, ServiceSetup& setup) {
  TRY_ASSIGN(given, Suboptions::parse("flags", value,
                                      {{"not-need-init", kFlag},
                                       {"startup-none", kFlag},
                                       {"startup-clear", kFlag},
                                       {"startup-state", kFlag},
                                       {"startup-deactivated", kFlag},
                                       {"disable-auto-shutdown", kFlag}}));
  if (given.flag("startup-deactivated")) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "startup-deactivated is for a TPM 1.2, and this is a TPM 2.0");
  }
  if (given.flag("startup-clear")) {
    setup.startup = StartupType::kClear;
  } else if (given.flag("startup-state")) {
    setup.startup = StartupType::kState;
  }
  setup.on_at_start = given.flag("not-need-init") || setup.startup.has_value();
  setup.shuts_down_in_order = !given.flag("disable-auto-shutdown");
  return {};
}

base::Result<void> read_choices(const CommandLine& line, ServiceSetup& setup) {
  if (line.flags) {
    TRY(read_flags(*line.flags, setup));
  }
  if (line.locality) {
    TRY_ASSIGN(given,
               Suboptions::parse("locality", *line.locality,
                                 {{"reject-locality-4", kFlag}, {"allow-set-locality", kFlag}}));
    setup.rejects_locality_4 = given.flag("reject-locality-4");
    setup.takes_set_locality = given.flag("allow-set-locality");
  }
  if (line.migration) {
    TRY_ASSIGN(given, Suboptions::parse("migration", *line.migration,
                                        {{"incoming", kFlag}, {"release-lock-outgoing", kFlag}}));
    setup.releases_store_when_taken = given.flag("release-lock-outgoing");
  }
  if (line.seccomp) {
    TRY_ASSIGN(given, Suboptions::parse("seccomp", *line.seccomp, {{"action", kText}}));
    const auto action = given.text("action").value_or("kill");
    if (action != "none" && action != "kill" && action != "log") {
      return base::fail(base::ErrorCode::kInvalidArgument,
                        "Unsupported seccomp log action " + action);
    }
  }
  setup.ends_with_data_channel = line.terminate;
  return {};
}

base::Result<void> open_channels(const CommandLine& line, ServiceSetup& setup) {
  if (line.control) {
    TRY_ASSIGN(control, open_control(*line.control));
    setup.control.emplace(std::move(control));
  }
  if (line.data_fd) {
    TRY_ASSIGN(data, passed_data_channel(*line.data_fd));
    setup.data.emplace(std::move(data));
  } else if (line.server || line.port) {
    TRY_ASSIGN(data,
               open_server(line.server ? *line.server : "type=tcp,disconnect,port=" + *line.port));
    setup.data.emplace(std::move(data));
  }
  if (!setup.control && !setup.data) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "nothing could ever speak to this TPM; give --ctrl, --server, -p or -f");
  }
  setup.ends_with_data_channel =
      setup.ends_with_data_channel || (setup.data && setup.data->terminate);
  return {};
}

base::Result<void> read_keys(const CommandLine& line, ServiceSetup& setup) {
  if (line.key) {
    TRY_ASSIGN(key, read_key_option("key", *line.key));
    setup.file_key = std::move(key);
  }
  if (line.migration_key) {
    TRY_ASSIGN(key, read_key_option("migration-key", *line.migration_key));
    setup.migration_key = std::move(key);
  }
  return {};
}

base::Result<void> run(const CommandLine& line, std::optional<Background>& background) {
  ServiceSetup setup;
  TRY(read_choices(line, setup));
  TRY(open_channels(line, setup));
  TRY(read_keys(line, setup));
  TRY_ASSIGN(place, state_place(line));
  TRY(tools::vtpm_instance::harden_process());
  const auto store_key = setup.file_key ? std::optional(setup.file_key->clone()) : std::nullopt;
  TRY_ASSIGN(store, DropInStore::prepare(std::move(place), store_key ? &*store_key : nullptr));
  setup.store = std::move(store);
  // Who finds the process id finds a TPM.
  PidFile pid;
  return serve(std::move(setup), [&]() -> base::Result<void> {
    if (line.pid) {
      TRY(pid.write(*line.pid));
    }
    if (background) {
      background->ready();
    }
    return {};
  });
}

int run_socket(int argc, char** argv) {
  base::set_log_sink([](base::LogLevel, std::string_view text) {
    std::fprintf(stderr, "swtpm: %.*s\n", static_cast<int>(text.size()), text.data());
  });
  const auto line = read_command_line(argc, argv);
  if (!line) {
    return failed(line.error());
  }
  if (line->help) {
    std::cout << usage("swtpm");
    return EXIT_SUCCESS;
  }
  std::optional<Background> background;
  if (line->daemon) {
    auto begun = Background::begin();
    if (!begun) {
      return failed(begun.error());
    }
    background = *std::move(begun);
  }
  if (const auto entered = enter(line->root, line->user); !entered) {
    return failed(entered.error());
  }
  if (const auto set = set_log(line->log); !set) {
    return failed(set.error());
  }
  if (line->print_capabilities) {
    std::cout << capabilities_of_swtpm();
    return EXIT_SUCCESS;
  }
  if (!line->tpm2) {
    return failed({base::ErrorCode::kInvalidArgument,
                   "only TPM 2.0 is supported; give --tpm2, or use swtpm itself for a TPM 1.2"});
  }
  if (line->print_states) {
    const auto place = line->state ? state_place(*line)
                                   : base::fail(base::ErrorCode::kInvalidArgument,
                                                "Error: --tpmstate option is required for "
                                                "--print-states");
    const auto states = place ? states_in(*place) : base::fail(place.error());
    if (!states) {
      return failed(states.error());
    }
    std::cout << *states;
    return EXIT_SUCCESS;
  }
  const auto done = run(*line, background);
  return done ? EXIT_SUCCESS : failed(done.error());
}

int run_named(int argc, char** argv) {
  const std::string_view interface = argc > 1 ? argv[1] : "";
  if (interface == "socket") {
    return run_socket(argc - 1, argv + 1);
  }
  if (interface == "-v" || interface == "--version") {
    std::cout << "TPM emulator version " STRONGROOM_VERSION " (Strongroom, in place of swtpm)\n";
    return EXIT_SUCCESS;
  }
  const bool asked = interface == "-h" || interface == "--help";
  (asked ? std::cout : std::cerr) << usage("swtpm")
                                  << (asked ? "" : "\nThere is no other interface than socket.\n");
  return asked ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (const auto held = tools::cli::hold_standard_streams(); !held) {
      return failed(held.error());
    }
    return run_named(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "swtpm: %s\n", error.what());
    return EXIT_FAILURE;
  }
}
