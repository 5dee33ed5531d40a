// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <fstream>

#include "tests/bench/benchmarks.h"
#include "tests/bench/contestant.h"
#include "tests/support/command.h"

namespace tests::bench {

namespace {

// A new VM of ours: from its process to a TPM that answers, whose keys are made and on the disk.
base::Result<void> provision_ours(const Setting& setting, Sample* sample) {
  const auto folder = setting.folder / "ours";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const auto argv = Contestant::instance(setting.programs / "vtpm-instance", folder);
  return first_answer(argv, folder, sample);
}

// swtpm_setup with certificates of a local authority of its own, which is made in the first round.
base::Result<void> provision_swtpm(const Setting& setting, bool ecc, Sample* sample) {
  const auto folder = setting.folder / "swtpm";
  const auto authority = setting.folder / "swtpm-authority";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  std::vector<std::string> argv{"/usr/bin/env",
                                "swtpm_setup",
                                "--tpm2",
                                "--tpmstate",
                                "dir://" + folder.string(),
                                "--create-ek-cert",
                                "--create-platform-cert",
                                "--config",
                                (authority / "setup.conf").string(),
                                "--overwrite"};
  if (ecc) {
    argv.emplace_back("--ecc");
  }
  const Timer timer;
  const auto ran = support::run_command(argv);
  if (sample != nullptr) {
    sample->add(timer.elapsed());
  }
  return ran.status == 0
             ? base::Result<void>{}
             : base::fail(base::ErrorCode::kUnavailable, "swtpm_setup: " + ran.err + ran.out);
}

base::Result<void> make_authority(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  const auto write = [&](const char* name, const std::string& text) {
    return static_cast<bool>(std::ofstream(folder / name) << text);
  };
  const auto at = folder.string() + "/";
  if (!write("localca.conf", "statedir = " + folder.string() + "\nsigningkey = " + at +
                                 "key.pem\nissuercert = " + at + "cert.pem\ncertserial = " + at +
                                 "serial\n") ||
      !write("options.conf",
             "--platform-manufacturer Bench\n--platform-version 1\n"
             "--platform-model Bench\n") ||
      !write("setup.conf",
             "create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = " + at +
                 "localca.conf\ncreate_certs_tool_options = " + at + "options.conf\n")) {
    return base::fail(base::ErrorCode::kIo, "cannot write the configuration of swtpm_setup");
  }
  return {};
}

}  // namespace

base::Result<void> provisions(const Setting& setting, Report& report) {
  TRY(make_authority(setting.folder / "swtpm-authority"));
  std::array<Sample, 3> samples;
  constexpr std::size_t kWarmUp = 2;
  const auto rounds = std::max<std::size_t>(10, setting.rounds / 50);
  for (std::size_t round = 0; round < rounds + kWarmUp; ++round) {
    const bool counts = round >= kWarmUp;
    TRY(provision_ours(setting, counts ? &samples[0] : nullptr));
    TRY(provision_swtpm(setting, false, counts ? &samples[1] : nullptr));
    TRY(provision_swtpm(setting, true, counts ? &samples[2] : nullptr));
  }
  report.title("a new VM: from nothing to its keys on the disk");
  report.sample("ours: EK, SRK and AK, RSA and ECC", samples[0], "us");
  report.sample("swtpm_setup, RSA EK and two certificates", samples[1], "us");
  report.sample("swtpm_setup, the same with ECC", samples[2], "us");
  report.compare("ours / swtpm_setup, RSA", ratio(samples[0], samples[1]), 0.12);
  report.compare("ours / swtpm_setup, ECC", ratio(samples[0], samples[2]), 0.12);
  report.note(
      "swtpm_setup 0.7 spends about 0.5 s of this waiting, in steps of 1 ms, for a child that");
  report.note(
      "has ended already; its real work is near 0.1 s. Ours draws its RSA primes anew each time.");
  return {};
}

}  // namespace tests::bench
