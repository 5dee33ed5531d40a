// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <fstream>

#include "tests/bench/benchmarks.h"
#include "tests/support/temp_folder.h"

namespace {

using tests::bench::Report;
using tests::bench::Setting;

struct Benchmark {
  const char* name;
  const char* summary;
  base::Result<void> (*run)(const Setting&, Report&);
};

constexpr Benchmark kBenchmarks[] = {
    {"cmd", "round trips of commands that store nothing", tests::bench::commands},
    {"nv", "a durable NV write", tests::bench::nv_write},
    {"start", "start to first answer", tests::bench::starts},
    {"mem", "memory of idle VMs", tests::bench::memory},
    {"verify", "SNP reports and TDX quotes verified", tests::bench::verifications},
    {"release", "a key broker's releases, anchors and refusals", tests::bench::releases},
    {"provision", "a new VM with its keys", tests::bench::provisions},
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Compares this vTPM service with swtpm and with the limits of the machine, in one run.\n"
      "Ratios are what counts: absolute times belong to the machine they were taken on."};
  Setting setting;
  setting.programs = STRONGROOM_PROGRAMS;
  std::filesystem::path disk = std::filesystem::temp_directory_path();
  std::filesystem::path json;
  std::vector<std::string> names;
  app.add_option("--programs", setting.programs, "Folder with vtpm-instance-sim and vtpmd");
  app.add_option("--folder", disk, "Folder on the disk to be measured")
      ->check(CLI::ExistingDirectory);
  app.add_option("--rounds", setting.rounds, "Rounds of each comparison")
      ->check(CLI::Range(10, 1000000));
  app.add_option("--json", json, "Also write the figures to this file");
  app.add_option("BENCHMARK", names, "Which ones; all if none is named");
  CLI11_PARSE(app, argc, argv);

  Report report(disk);
  for (const auto& benchmark : kBenchmarks) {
    if (!names.empty() && std::find(names.begin(), names.end(), benchmark.name) == names.end()) {
      continue;
    }
    const auto folder = disk / ("strongroom-bench-" + std::to_string(::getpid()));
    std::filesystem::create_directory(folder);
    auto here = setting;
    here.folder = folder;
    const auto done = benchmark.run(here, report);
    std::filesystem::remove_all(folder);
    if (!done) {
      std::fprintf(stderr, "%s: %s\n", benchmark.name, done.error().message.c_str());
      return 1;
    }
  }
  if (!json.empty()) {
    std::ofstream(json) << boost::json::serialize(report.json()) << "\n";
  }
  return 0;
}
