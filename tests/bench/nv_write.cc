// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <random>

#include "tests/bench/benchmarks.h"
#include "tests/bench/contestant.h"
#include "tests/bench/disk.h"
#include "tests/support/tpm_commands.h"

namespace tests::bench {

namespace {

constexpr std::uint32_t kIndex = 0x01500001;
constexpr std::size_t kDataBytes = 64;

base::Bytes new_data() {
  static std::mt19937_64 random(2);
  base::Bytes data(kDataBytes);
  for (auto& byte : data) {
    byte = std::byte(static_cast<unsigned char>(random()));
  }
  return data;
}

// The part of `whole` that is not a bare round trip, round by round.
Ratio beyond_round_trip(const Sample& whole, const Sample& round_trip, const Sample& limit) {
  return {(whole.median() - round_trip.median()) / limit.median(),
          (whole.quantile(0.05) - round_trip.quantile(0.05)) / limit.quantile(0.05)};
}

}  // namespace

base::Result<void> nv_write(const Setting& setting, Report& report) {
  TRY_ASSIGN(swtpm, Contestant::start("swtpm", Contestant::swtpm(setting.folder / "swtpm"),
                                      {setting.folder / "swtpm", 0}));
  TRY_ASSIGN(ours, Contestant::start("ours",
                                     Contestant::instance(setting.programs / "vtpm-instance-sim",
                                                          setting.folder / "ours"),
                                     {setting.folder / "ours", 0}));
  Disk disk(setting.folder / "disk");
  for (auto* contestant : {&ours, &swtpm}) {
    TRY_ASSIGN(defined, contestant->command(support::nv_define(kIndex, kDataBytes)));
  }
  pin_to(0);
  std::array<Sample, 4> samples;
  const std::size_t warm_up = setting.rounds / 10;
  for (std::size_t round = 0; round < setting.rounds + warm_up; ++round) {
    for (std::size_t turn = 0; turn < samples.size(); ++turn) {
      const auto which = (round + turn) % samples.size();
      const auto write = support::nv_write(kIndex, new_data());
      const auto read = support::pcr_read(16);
      const Timer timer;
      if (which == 0) {
        TRY_ASSIGN(response, ours.command(write));
      } else if (which == 1) {
        TRY_ASSIGN(response, swtpm.command(write));
      } else if (which == 2) {
        TRY_ASSIGN(response, ours.command(read));
      } else {
        disk.write();
      }
      if (round >= warm_up) {
        samples[which].add(timer.elapsed());
      }
    }
  }
  pin_to(std::nullopt);
  report.title("NV_Write of 64 new bytes, same core");
  report.sample("ours: durable, encrypted", samples[0], "us");
  report.sample("swtpm: not flushed, so not durable", samples[1], "us");
  report.sample("ours: PCR_Read, the bare round trip", samples[2], "us");
  report.sample("disk: 8 KiB and fdatasync", samples[3], "us");
  report.compare("(ours - round trip) / disk",
                 beyond_round_trip(samples[0], samples[2], samples[3]), 1.3);
  report.compare("ours / swtpm", ratio(samples[0], samples[1]), 1.0);
  return {};
}

}  // namespace tests::bench
