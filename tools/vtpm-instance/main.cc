// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>

#include "tools/cli/exit_status.h"
#include "tools/cli/stream.h"
#include "tools/vtpm-instance/hardening.h"
#include "tools/vtpm-instance/host_supervisor.h"
#include "tools/vtpm-instance/options.h"
#include "tools/vtpm-instance/run.h"
#include "tools/vtpm-instance/tee_choice.h"
#include "vmgs/base/log.h"
#include "vtpm/engine/warm_up.h"
#include "vtpm/host/warmed_parent.h"

namespace {

using namespace tools::vtpm_instance;

// An instance that nobody supervises says on stderr what it would tell.
class Nobody final : public Supervisor {
 public:
  vtpm::provision::Certifier* certifier() override { return nullptr; }

  keybroker::client::Channel* broker() override { return nullptr; }

  void keep_receipt(base::ByteView) override {}

  base::Result<void> opened(const Opened& opened) override {
    base::log(base::LogLevel::kInfo,
              (opened.awaited ? "the TPM's state is still to arrive"
                              : std::string(opened.created ? "a new TPM was made"
                                                           : "the TPM's state is open") +
                                    "; opened by " + opened.opened_by) +
                  (opened.simulated_tee ? " (SIMULATED: nothing real protects this VM)" : ""));
    return {};
  }

  void reopened(std::string_view) override {}

  base::Result<void> converted() override { return {}; }

  // Why, is logged where it happens; here is what to do about it.
  void changed(keybroker::protocol::Readiness readiness, std::string_view, bool) override {
    const auto& row = keybroker::protocol::row(readiness);
    const bool needs_help = row.prospect == keybroker::protocol::Prospect::kNeedsHelp;
    base::log(base::LogLevel::kInfo,
              std::string(row.name) + (needs_help ? ": " + std::string(row.remedy) : ""));
  }

  void travelled(const Travel& travel) override {
    if (travel.states_taken > taken_) {
      base::log(base::LogLevel::kInfo, "the hypervisor has taken the TPM's state, unsealed, " +
                                           std::to_string(travel.states_taken) +
                                           " times since this start");
    }
    taken_ = travel.states_taken;
  }

  base::Descriptor successor() override { return {}; }

  void hand_over_ended(const base::Result<void>&) override {}

  void take_back_ended(const base::Result<void>&) override {}

  void taken_over(const Opened&, std::chrono::microseconds) override {}

  Belongings& belongings() override { return belongings_; }

  bool let_in() override { return false; }

  void loop_reads(bool) override {}

  std::optional<LockoutQuestion> lockout_question() override { return std::nullopt; }

  void answer_lockout(std::uint64_t, const base::Result<vtpm::device::Device::Lockout>&) override {}

  [[nodiscard]] int descriptor() const override { return -1; }

  Order order() override { return Order::kNone; }

 private:
  Belongings belongings_;
  std::uint32_t taken_ = 0;
};

const std::string& program_name() {
  static const std::string name = kSimulatedTee ? "vtpm-instance-sim" : "vtpm-instance";
  return name;
}

void log_to_stderr() {
  base::set_log_sink([program = program_name()](base::LogLevel level, std::string_view line) {
    if (level != base::LogLevel::kDebug) {
      std::fprintf(stderr, "%s: %.*s\n", program.c_str(), static_cast<int>(line.size()),
                   line.data());
    }
  });
}

int failed(const base::Error& error) {
  base::log(base::LogLevel::kError, error.message);
  return static_cast<int>(tools::cli::exit_status(error.code));
}

int run_alone(int argc, char** argv) {
  log_to_stderr();
  auto read = read_command_line(program_name(), argc, argv);
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

// What vtpmd starts: it forks one instance after another, and each child lives on here.
int run_parent() {
  log_to_stderr();
  if (const auto hardened = harden_process(); !hardened) {
    return failed(hardened.error());
  }
  if (const auto warmed = vtpm::engine::warm_up(); !warmed) {
    return failed(warmed.error());
  }
  auto child = vtpm::host::run_warmed_parent(base::Descriptor(vtpm::host::kParentLinkNumber));
  if (!child) {
    return failed(child.error());
  }
  return *child ? run_supervised(*std::move(*child)) : 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (const auto held = tools::cli::hold_standard_streams(); !held) {
      return failed(held.error());
    }
    const bool is_parent = argc == 2 && std::string_view(argv[1]) == "--warmed-parent";
    return is_parent ? run_parent() : run_alone(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "vtpm-instance: %s\n", error.what());
    return 1;
  }
}
