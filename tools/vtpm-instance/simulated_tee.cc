// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/simulated_tee.h"

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "tools/vtpm-instance/tee_choice.h"

namespace tools::vtpm_instance {

const bool kSimulatedTee = true;

namespace {

// The simulated machine stays when its VMs end, as a real one does. All VMs of one user are on the
// same machine, unless the environment names another.
std::filesystem::path machine_folder() {
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

// The simulated machine is there for who asks for it, and no sign of being inside one.
bool machine_has_tee() { return false; }

base::Result<std::unique_ptr<vtpm::tee::Tee>> open_tee(keybroker::protocol::TeeFamily family,
                                                       base::ByteView launch_document) {
  const auto folder = machine_folder();
  std::error_code ignored;  // what cannot be made is missed by the next line
  std::filesystem::create_directories(folder.parent_path(), ignored);
  return vtpm::tee_sim::open_simulated_tee(
      {.machine_folder = folder,
       .launch_document = base::copy_of(launch_document),
       .family_of_new_machine = family,
       .now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())});
}

}  // namespace tools::vtpm_instance
