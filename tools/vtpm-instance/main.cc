// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>

#include "tools/cli/exit_status.h"
#include "tools/vtpm-instance/hardening.h"
#include "tools/vtpm-instance/options.h"
#include "tools/vtpm-instance/run.h"
#include "tools/vtpm-instance/tee_choice.h"
#include "vmgs/base/log.h"

namespace {

using namespace tools::vtpm_instance;

// An instance that nobody supervises says on stderr what it would tell.
class Nobody final : public Supervisor {
 public:
  base::Result<void> opened(const Opened& opened) override {
    base::log(base::LogLevel::kInfo,
              std::string(opened.created ? "a new TPM was made" : "the TPM's state is open") +
                  "; opened by " + opened.opened_by +
                  (opened.simulated_tee ? " (SIMULATED: nothing real protects this VM)" : ""));
    return {};
  }

  // Why, is logged where it happens; here is what to do about it.
  void changed(keybroker::protocol::Readiness readiness, std::string_view, bool) override {
    const auto& row = keybroker::protocol::row(readiness);
    const bool needs_help = row.prospect == keybroker::protocol::Prospect::kNeedsHelp;
    base::log(base::LogLevel::kInfo,
              std::string(row.name) + (needs_help ? ": " + std::string(row.remedy) : ""));
  }

  [[nodiscard]] int descriptor() const override { return -1; }

  Order order() override { return Order::kNone; }
};

int run_alone(int argc, char** argv) {
  const std::string program = kSimulatedTee ? "vtpm-instance-sim" : "vtpm-instance";
  base::set_log_sink([program](base::LogLevel level, std::string_view line) {
    if (level != base::LogLevel::kDebug) {
      std::fprintf(stderr, "%s: %.*s\n", program.c_str(), static_cast<int>(line.size()),
                   line.data());
    }
  });
  const auto failed = [](const base::Error& error) {
    base::log(base::LogLevel::kError, error.message);
    return static_cast<int>(tools::cli::exit_status(error.code));
  };
  auto read = read_command_line(program, argc, argv);
  if (!read) {
    return failed(read.error());
  }
  if (read->text) {
    std::cout << *read->text;
    return 0;
  }
  if (const auto hardened = harden_process(); !hardened) {
    return failed(hardened.error());
  }
  Nobody nobody;
  const auto done = run(std::move(read->setup), nobody);
  return done ? 0 : failed(done.error());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run_alone(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "vtpm-instance: %s\n", error.what());
    return 1;
  }
}
