// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/bench/sample.h"
#include "tests/support/hypervisor.h"
#include "tests/support/process.h"
#include "tests/support/temp_folder.h"
#include "vmgs/base/result.h"

namespace tests::bench {

// A vTPM service under test, alone in a process: ours or swtpm.
class Contestant {
 public:
  // Where a contestant's state lies and on which processor it runs.
  struct Place {
    std::filesystem::path folder;
    std::optional<int> cpu = std::nullopt;
  };

  // The command line of each, with state in `folder` and the control socket at folder/ctrl.
  static std::vector<std::string> swtpm(const std::filesystem::path& folder);
  static std::vector<std::string> instance(const std::filesystem::path& program,
                                           const std::filesystem::path& folder);

  // start() runs a command line, attaches as a hypervisor and starts the TPM.
  static base::Result<Contestant> start(std::string name, const std::vector<std::string>& argv,
                                        const Place& place);

  [[nodiscard]] const std::string& name() const { return name_; }

  [[nodiscard]] pid_t pid() const { return process_.pid(); }

  // command() is one TPM command that has to succeed.
  base::Result<base::Bytes> command(base::ByteView command);

 private:
  Contestant(std::string name, support::Process process, support::Hypervisor hypervisor)
      : name_(std::move(name)), process_(std::move(process)), hypervisor_(std::move(hypervisor)) {}

  std::string name_;
  support::Process process_;
  support::Hypervisor hypervisor_;
};

// power_on() waits for the control socket, attaches and starts the TPM: from here on it answers.
base::Result<support::Hypervisor> power_on(const std::filesystem::path& folder,
                                           support::Process& process);

// first_answer() runs a command line until its TPM answers, and ends it. `sample`, if there is one,
// gets the time from the start of the process to the answer.
base::Result<void> first_answer(const std::vector<std::string>& argv,
                                const std::filesystem::path& folder, Sample* sample);

// pin_to() keeps this process on one processor, or lets it free again.
void pin_to(std::optional<int> cpu);

}  // namespace tests::bench
