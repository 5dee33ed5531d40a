// SPDX-License-Identifier: Apache-2.0
#include "tools/simulated-machine/machine_folder.h"

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <system_error>

namespace tools::simulated_machine {

namespace {

std::filesystem::path chosen_folder() {
  if (const char* folder = std::getenv("STRONGROOM_SIMULATED_MACHINE"); folder != nullptr) {
    return folder;
  }
  const char* home = std::getenv("HOME");
  if (::geteuid() == 0 || home == nullptr) {
    return "/var/lib/strongroom/simulated-machine";
  }
  return std::filesystem::path(home) / ".local/state/strongroom/simulated-machine";
}

}  // namespace

std::filesystem::path machine_folder_path() {
  auto folder = chosen_folder();
  std::error_code ignored;  // what cannot be made is missed by whoever opens it
  std::filesystem::create_directories(folder.parent_path(), ignored);
  return folder;
}

keybroker::crypto::Time now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

}  // namespace tools::simulated_machine
