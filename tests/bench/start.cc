// SPDX-License-Identifier: Apache-2.0
#include <poll.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "tests/bench/benchmarks.h"
#include "tests/bench/contestant.h"
#include "tests/bench/host.h"
#include "tests/support/tpm_commands.h"

namespace tests::bench {

namespace {

using support::Hypervisor;
using support::Process;

base::Result<void> start_up(Hypervisor& hypervisor) {
  TRY_ASSIGN(response, hypervisor.command(support::startup_clear()));
  if (support::response_code(response) != support::kSuccess) {
    return base::fail(base::ErrorCode::kUnavailable, "the TPM does not start");
  }
  return {};
}

// A VM of vtpmd that is at rest: from the hypervisor's connection to the first answer.
base::Result<void> connect_to_rest(const Host::Vm& vm, Sample* sample) {
  const Timer timer;
  TRY_ASSIGN(hypervisor, Hypervisor::attach(vm.control_socket));
  TRY(start_up(hypervisor));
  if (sample != nullptr) {
    sample->add(timer.elapsed());
  }
  // The hypervisor's own shutdown puts the VM to rest; the answer comes first, the end after it.
  TRY_ASSIGN(result, hypervisor.result(support::Control::kShutdown));
  if (result != 0) {
    return base::fail(base::ErrorCode::kUnavailable, "SHUTDOWN gave " + std::to_string(result));
  }
  pollfd hung_up{hypervisor.data_descriptor(), POLLIN, 0};
  ::poll(&hung_up, 1, 10'000);
  return {};
}

}  // namespace

base::Result<void> starts(const Setting& setting, Report& report) {
  const auto swtpm = setting.folder / "swtpm";
  const auto alone = setting.folder / "alone";
  std::filesystem::create_directories(swtpm);
  std::filesystem::create_directories(alone);
  const auto swtpm_argv = Contestant::swtpm(swtpm);
  const auto alone_argv = Contestant::instance(setting.programs / "vtpm-instance-sim", alone);
  TRY_ASSIGN(host, Host::start(setting.programs, setting.folder / "host"));
  TRY_ASSIGN(vm, host.create("bench"));

  std::array<Sample, 3> samples;
  constexpr std::size_t kWarmUp = 3;
  const auto rounds = std::max<std::size_t>(10, setting.rounds / 20);
  for (std::size_t round = 0; round < rounds + kWarmUp; ++round) {
    const bool counts = round >= kWarmUp;
    TRY(first_answer(swtpm_argv, swtpm, counts ? &samples[0] : nullptr));
    TRY(first_answer(alone_argv, alone, counts ? &samples[1] : nullptr));
    TRY(connect_to_rest(vm, counts ? &samples[2] : nullptr));
  }
  report.title("start to first answer, state on disk");
  report.sample("ours, from the warmed parent", samples[2], "us");
  report.sample("ours, a process by itself", samples[1], "us");
  report.sample("swtpm", samples[0], "us");
  report.compare("ours from the warmed parent / swtpm", ratio(samples[2], samples[0]), 0.25);
  report.compare("ours by itself / swtpm", ratio(samples[1], samples[0]), 1.0);
  return {};
}

}  // namespace tests::bench
