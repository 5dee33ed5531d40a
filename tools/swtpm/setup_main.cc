// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>

#include "tools/cli/stream.h"
#include "tools/swtpm/capabilities.h"
#include "tools/swtpm/manufacturing.h"
#include "tools/swtpm/process.h"
#include "tools/swtpm/setup_options.h"
#include "vmgs/base/log.h"

namespace {

using namespace tools::swtpm;

int failed(const base::Error& error) {
  base::log(base::LogLevel::kError, error.message);
  return EXIT_FAILURE;
}

int run(int argc, char** argv) {
  base::set_log_sink([](base::LogLevel, std::string_view text) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
  });
  const auto options = read_setup_options(argc, argv);
  if (!options) {
    return failed(options.error());
  }
  if (options->help || options->version || options->print_capabilities) {
    std::cout << (options->help      ? setup_usage()
                  : options->version ? "TPM emulator setup tool version " STRONGROOM_VERSION
                                       " (Strongroom, in place of swtpm_setup)\n"
                                     : capabilities_of_setup());
    return EXIT_SUCCESS;
  }
  if (const auto entered = enter(std::nullopt, options->user); !entered) {
    return failed(entered.error());
  }
  if (options->log) {
    if (const auto set = set_log("prefix=,file=" + *options->log); !set) {
      return failed(set.error());
    }
  }
  const auto done = [&]() -> base::Result<void> {
    if (options->config_files) {
      return create_config_files(*options->config_files);
    }
    // It keeps its capabilities: the tool that makes certificates may need them to reach its CA.
    TRY(keep_to_itself());
    return set_up(*options);
  }();
  return done ? EXIT_SUCCESS : failed(done.error());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (const auto held = tools::cli::hold_standard_streams(); !held) {
      return failed(held.error());
    }
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "swtpm_setup: %s\n", error.what());
    return EXIT_FAILURE;
  }
}
