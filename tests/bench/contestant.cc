// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/contestant.h"

#include <sched.h>
#include <unistd.h>

#include <csignal>

#include "tests/support/tpm_commands.h"

namespace tests::bench {

std::vector<std::string> Contestant::swtpm(const std::filesystem::path& folder) {
  return {"swtpm",
          "socket",
          "--tpm2",
          "--tpmstate",
          "dir=" + folder.string(),
          "--ctrl",
          "type=unixio,path=" + (folder / "ctrl").string()};
}

std::vector<std::string> Contestant::instance(const std::filesystem::path& program,
                                              const std::filesystem::path& folder) {
  return {program.string(), "--vmgs", (folder / "vm.vmgs").string(),
          "--create",       "--ctrl", (folder / "ctrl").string()};
}

base::Result<support::Hypervisor> power_on(const std::filesystem::path& folder,
                                           support::Process& process) {
  if (!support::wait_for_socket(folder / "ctrl", process, std::chrono::seconds(20))) {
    return base::fail(base::ErrorCode::kUnavailable, "no control socket in " + folder.string());
  }
  TRY_ASSIGN(hypervisor, support::Hypervisor::attach(folder / "ctrl"));
  TRY_ASSIGN(response, hypervisor.command(support::startup_clear()));
  if (support::response_code(response) != support::kSuccess) {
    return base::fail(base::ErrorCode::kUnavailable, "the TPM does not start");
  }
  return hypervisor;
}

base::Result<Contestant> Contestant::start(std::string name, const std::vector<std::string>& argv,
                                           const Place& place) {
  std::filesystem::create_directories(place.folder);
  TRY_ASSIGN(process, support::Process::start(argv, {place.folder / "output", place.cpu}));
  TRY_ASSIGN(hypervisor, power_on(place.folder, process));
  return Contestant(std::move(name), std::move(process), std::move(hypervisor));
}

base::Result<base::Bytes> Contestant::command(base::ByteView command) {
  TRY_ASSIGN(response, hypervisor_.command(command));
  if (support::response_code(response) != support::kSuccess) {
    return base::fail(base::ErrorCode::kUnavailable,
                      name_ + " answers " + std::to_string(support::response_code(response)));
  }
  return response;
}

base::Result<void> first_answer(const std::vector<std::string>& argv,
                                const std::filesystem::path& folder, Sample* sample) {
  const Timer timer;
  TRY_ASSIGN(process, support::Process::start(argv, {.output = folder / "output"}));
  TRY_ASSIGN(hypervisor, power_on(folder, process));
  if (sample != nullptr) {
    sample->add(timer.elapsed());
  }
  process.signal(SIGTERM);
  process.wait(std::chrono::seconds(10));
  std::filesystem::remove(folder / "ctrl");
  return {};
}

void pin_to(std::optional<int> cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  const auto count = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  for (int i = 0; i < count; ++i) {
    if (!cpu || *cpu == i) {
      CPU_SET(static_cast<std::size_t>(i), &cpus);
    }
  }
  ::sched_setaffinity(0, sizeof cpus, &cpus);
}

}  // namespace tests::bench
