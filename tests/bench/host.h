// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

#include "tests/support/process.h"
#include "vmgs/base/result.h"

namespace tests::bench {

// Host is a vtpmd of its own, whose instances come from its warmed parent.
class Host {
 public:
  static base::Result<Host> start(const std::filesystem::path& programs,
                                  const std::filesystem::path& folder);

  // Vm is what a hypervisor needs of one.
  struct Vm {
    std::filesystem::path control_socket;
    pid_t pid = 0;
  };

  // create() makes an ordinary VM, persistent, protection host, and waits until it is ready.
  base::Result<Vm> create(const std::string& name) const;

  [[nodiscard]] pid_t pid() const { return process_.pid(); }

 private:
  Host(std::filesystem::path programs, std::filesystem::path folder, support::Process process)
      : programs_(std::move(programs)), folder_(std::move(folder)), process_(std::move(process)) {}

  std::filesystem::path programs_;
  std::filesystem::path folder_;
  support::Process process_;
};

}  // namespace tests::bench
