// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"

namespace tools::swtpm {

// What a program that swtpm's users start does to its own process.

// enter() changes the root folder and the user, in this order, where they are named. kNotFound for
// an unknown user; kIo.
base::Result<void> enter(const std::optional<std::string>& root,
                         const std::optional<std::string>& user);

// keep_to_itself() lets no dump of this process be taken, and its files be its user's alone.
base::Result<void> keep_to_itself();

// set_log() sends the log where --log says, or to stderr. kInvalidArgument for a wrong option, kIo.
base::Result<void> set_log(const std::optional<std::string>& value);

// PidFile is the file of --pid, which goes with this.
class PidFile {
 public:
  PidFile() = default;
  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;
  ~PidFile();

  // write() writes this process' id where --pid says. kInvalidArgument, kIo.
  base::Result<void> write(const std::string& value);

 private:
  std::string path_;
};

// Background is a process that its parent waits for until it is ready, and then outlives it.
class Background {
 public:
  // begin() forks; the parent never comes back from it, and ends with 0 once the child is ready(),
  // with 1 if the child ends before. To be called before there are threads. kIo.
  static base::Result<Background> begin();

  // ready() lets the parent end, and leaves its terminal.
  void ready();

 private:
  explicit Background(base::Descriptor parent) : parent_(std::move(parent)) {}

  base::Descriptor parent_;
};

}  // namespace tools::swtpm
