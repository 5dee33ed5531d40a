// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <fstream>
#include <thread>

#include "tests/bench/benchmarks.h"
#include "tests/bench/contestant.h"
#include "tests/bench/host.h"
#include "tests/support/tpm_commands.h"

namespace tests::bench {

namespace {

using support::Hypervisor;

constexpr int kVms = 50;
constexpr double kStackKib = 16;  // of the kernel, one a thread

// The number behind `key` in a file of "key: number kB" lines; 0 if it is not there.
double kib_of(const std::filesystem::path& file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(key + ":")) {
      return std::strtod(line.c_str() + key.size() + 1, nullptr);
    }
  }
  return 0;
}

// What one process costs: its share of the pages, its page tables and its kernel stacks.
double cost_kib(pid_t pid) {
  const auto proc = std::filesystem::path("/proc") / std::to_string(pid);
  return kib_of(proc / "smaps_rollup", "Pss") + kib_of(proc / "status", "VmPTE") +
         kib_of(proc / "status", "Threads") * kStackKib;
}

// What each process costs once they are at rest: when all together have not changed for a while, or
// will not come to rest.
Sample costs_at_rest(const std::vector<pid_t>& pids) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kBetweenLooks{200};
  constexpr std::chrono::seconds kQuiet{2};
  constexpr std::chrono::seconds kPatience{20};
  const auto begin = Clock::now();
  auto changed = begin;
  for (double last = 0;;) {
    Sample costs;
    double total = 0;
    for (const auto pid : pids) {
      const double cost = cost_kib(pid);
      costs.add(cost);
      total += cost;
    }
    const auto now = Clock::now();
    if (total != last) {
      changed = now;
      last = total;
    }
    if (now - changed >= kQuiet || now - begin >= kPatience) {
      return costs;
    }
    std::this_thread::sleep_for(kBetweenLooks);
  }
}

}  // namespace

base::Result<void> memory(const Setting& setting, Report& report) {
  std::vector<Contestant> peers;
  for (int i = 0; i < kVms; ++i) {
    const auto folder = setting.folder / ("swtpm" + std::to_string(i));
    std::filesystem::create_directories(folder);
    TRY_ASSIGN(peer, Contestant::start("swtpm", Contestant::swtpm(folder), {folder}));
    peers.push_back(std::move(peer));
  }
  std::vector<pid_t> pids;
  for (const auto& peer : peers) {
    pids.push_back(peer.pid());
  }
  const auto swtpm = costs_at_rest(pids);
  peers.clear();
  pids.clear();

  TRY_ASSIGN(host, Host::start(setting.programs, setting.folder / "host"));
  std::vector<Hypervisor> hypervisors;
  for (int i = 0; i < kVms; ++i) {
    TRY_ASSIGN(vm, host.create("vm" + std::to_string(i)));
    TRY_ASSIGN(hypervisor, Hypervisor::attach(vm.control_socket));
    TRY_ASSIGN(response, hypervisor.command(support::startup_clear()));
    hypervisors.push_back(std::move(hypervisor));
    pids.push_back(vm.pid);
  }
  const auto ours = costs_at_rest(pids);
  report.title("memory of an idle VM, of " + std::to_string(kVms) +
               ": PSS, page tables, kernel stacks");
  report.sample("ours", ours, "KiB");
  report.sample("swtpm", swtpm, "KiB");
  report.compare("ours / swtpm", ratio(ours, swtpm), 0.3);
  report.note("beside them once for all VMs: vtpmd, " +
              std::to_string(static_cast<int>(cost_kib(host.pid()))) + " KiB");
  return {};
}

}  // namespace tests::bench
