// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "tools/config/schema.h"

namespace tools::config {

// What vtpmd can be told. The defaults work on a host where the package is installed.
struct VtpmdSettings {
  std::filesystem::path state_folder = "/var/lib/vtpmd";
  std::filesystem::path runtime_folder = "/run/vtpmd";

  // Empty: vtpmd.sock in the runtime folder.
  std::filesystem::path socket;

  // Whose members may administer VMs, besides root and vtpmd's user. Empty: nobody.
  std::string admin_group;

  // Whose members may connect to TPM sockets: what hypervisors run as. Empty: only vtpmd's user.
  std::string hypervisor_group;

  std::filesystem::path instance_program = STRONGROOM_INSTANCE_PROGRAM;
  std::string log_level = "info";

  [[nodiscard]] std::filesystem::path service_socket() const {
    return socket.empty() ? runtime_folder / "vtpmd.sock" : socket;
  }
};

inline constexpr const char* kVtpmdFile = "/etc/vtpmd/vtpmd.toml";

// vtpmd_schema() binds the keys of vtpmd.toml to `settings`.
Schema vtpmd_schema(VtpmdSettings& settings);

}  // namespace tools::config
