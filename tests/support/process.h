// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "vmgs/base/result.h"

namespace tests::support {

// Process is a child that a test started: it dies with this object, killed by its pid.
class Process {
 public:
  struct Options {
    std::filesystem::path output = "/dev/null";  // its stdout and stderr, appended
    std::optional<int> cpu = std::nullopt;       // the only processor it may run on
    std::vector<int> passed = {};                // descriptors that it gets, by their numbers
  };

  // start() runs argv[0], found in PATH. kNotFound if it cannot be executed.
  static base::Result<Process> start(const std::vector<std::string>& argv, const Options& options);

  static base::Result<Process> start(const std::vector<std::string>& argv) {
    return start(argv, Options{});
  }

  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  ~Process();

  [[nodiscard]] pid_t pid() const { return pid_; }

  // signal() sends a signal, if the child is still there.
  void signal(int number) const;

  // kill() sends SIGKILL and reaps.
  void kill();

  // wait() gives the exit status as the shell would show it (128 + signal), or nothing if the child
  // has not ended within `limit`.
  std::optional<int> wait(std::chrono::milliseconds limit);

 private:
  explicit Process(pid_t pid) : pid_(pid) {}

  pid_t pid_;  // -1 once reaped
};

// wait_for_socket() returns true as soon as something listens on the Unix socket at `path`, which
// it learns from the folder's change events; false after `limit` or when `process` has ended.
bool wait_for_socket(const std::filesystem::path& path, Process& process,
                     std::chrono::milliseconds limit);

}  // namespace tests::support
