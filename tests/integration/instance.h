// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace tests::integration {

// Instance is a real vtpm-instance process with its sockets in a folder of the test. It is killed
// when this dies.
class Instance {
 public:
  // Starts it with `--ctrl FOLDER/ctrl` and these options, and waits until it can be connected to.
  Instance(const std::filesystem::path& folder, const std::vector<std::string>& options)
      : Instance(folder, VTPM_INSTANCE, options) {}

  Instance(const std::filesystem::path& folder, const std::string& program,
           const std::vector<std::string>& options)
      : folder_(folder), process_(start(folder, program, options)) {
    EXPECT_TRUE(support::wait_for_socket(control(), process_, std::chrono::seconds(20))) << log();
  }

  [[nodiscard]] std::filesystem::path control() const { return folder_ / "ctrl"; }

  [[nodiscard]] std::filesystem::path data() const { return folder_ / "data"; }

  support::Process& process() { return process_; }

  // stop() asks for an orderly end and gives the exit status, -1 if it does not end.
  int stop() {
    process_.signal(SIGTERM);
    return wait();
  }

  int wait() { return process_.wait(std::chrono::seconds(20)).value_or(-1); }

  // What it said on stdout and stderr.
  [[nodiscard]] std::string log() const {
    std::ifstream file(folder_ / "log");
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

 private:
  static support::Process start(const std::filesystem::path& folder, const std::string& program,
                                const std::vector<std::string>& options) {
    std::vector<std::string> argv = {program, "--ctrl", folder / "ctrl"};
    argv.insert(argv.end(), options.begin(), options.end());
    return *support::Process::start(argv, {.output = folder / "log"});
  }

  std::filesystem::path folder_;
  support::Process process_;
};

}  // namespace tests::integration
