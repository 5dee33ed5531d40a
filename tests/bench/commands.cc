// SPDX-License-Identifier: Apache-2.0
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <random>

#include "tests/bench/benchmarks.h"
#include "tests/bench/contestant.h"
#include "tests/support/tpm_commands.h"

namespace tests::bench {

namespace {

// An echo of the same bytes in another process: what any service on a socket has to pay.
class Echo {
 public:
  explicit Echo(std::optional<int> cpu) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
      std::abort();
    }
    ours_ = base::Descriptor(ends[0]);
    base::Descriptor theirs(ends[1]);
    child_ = ::fork();
    if (child_ == 0) {
      ::close(ours_.number());
      if (cpu) {
        pin_to(cpu);
      }
      std::array<char, 4096> buffer{};
      for (ssize_t got = 0; (got = ::read(theirs.number(), buffer.data(), buffer.size())) > 0;) {
        if (::write(theirs.number(), buffer.data(), static_cast<std::size_t>(got)) != got) {
          break;
        }
      }
      ::_exit(0);
    }
  }

  void round_trip(base::ByteView bytes) const {
    std::array<std::byte, 4096> buffer{};
    if (::write(ours_.number(), bytes.data(), bytes.size()) < 0 ||
        ::read(ours_.number(), buffer.data(), buffer.size()) < 0) {
      std::abort();
    }
  }

 private:
  base::Descriptor ours_;  // the child ends when it closes
  pid_t child_ = -1;
};

struct Pinning {
  const char* name;
  std::optional<int> client;
  std::optional<int> service;
};

base::Bytes extend_with_new_digest() {
  static std::mt19937_64 random(1);
  std::array<std::byte, 32> digest{};
  for (auto& byte : digest) {
    byte = std::byte(static_cast<unsigned char>(random()));
  }
  return support::pcr_extend(16, digest);
}

base::Result<void> compare(const Setting& setting, Report& report, const Pinning& pinning) {
  const auto folder = setting.folder / pinning.name;
  TRY_ASSIGN(swtpm, Contestant::start("swtpm", Contestant::swtpm(folder / "swtpm"),
                                      {folder / "swtpm", pinning.service}));
  TRY_ASSIGN(ours, Contestant::start("ours",
                                     Contestant::instance(setting.programs / "vtpm-instance-sim",
                                                          folder / "ours"),
                                     {folder / "ours", pinning.service}));
  const Echo echo(pinning.service);
  pin_to(pinning.client);
  const std::array<std::pair<const char*, std::function<base::Bytes()>>, 3> kCommands{{
      {"GetRandom", [] { return support::get_random(32); }},
      {"PCR_Read", [] { return support::pcr_read(16); }},
      {"PCR_Extend", extend_with_new_digest},
  }};
  for (const auto& [name, make] : kCommands) {
    std::array<Sample, 3> samples;
    const std::size_t warm_up = setting.rounds / 10;
    for (std::size_t round = 0; round < setting.rounds + warm_up; ++round) {
      for (std::size_t turn = 0; turn < samples.size(); ++turn) {
        const auto which = (round + turn) % samples.size();
        const auto command = make();
        const Timer timer;
        if (which == 0) {
          TRY_ASSIGN(response, ours.command(command));
        } else if (which == 1) {
          TRY_ASSIGN(response, swtpm.command(command));
        } else {
          echo.round_trip(command);
        }
        if (round >= warm_up) {
          samples[which].add(timer.elapsed());
        }
      }
    }
    report.title(std::string(name) + ", " + pinning.name);
    report.sample("ours", samples[0], "us");
    report.sample("swtpm", samples[1], "us");
    report.sample("echo", samples[2], "us");
    report.compare("ours / swtpm", ratio(samples[0], samples[1]), 1.0);
    report.compare("ours / echo", ratio(samples[0], samples[2]), 1.25);
  }
  pin_to(std::nullopt);
  return {};
}

}  // namespace

base::Result<void> commands(const Setting& setting, Report& report) {
  const int cpus = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  TRY(compare(setting, report, {"same-core", 0, 0}));
  if (cpus < 2) {
    report.note("one processor only: no comparison across cores");
    return {};
  }
  return compare(setting, report, {"cross-core", 0, 1});
}

}  // namespace tests::bench
