// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

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

  // Empty: vtpm-instance beside vtpmd, or in the bin folder beside vtpmd's.
  std::filesystem::path instance_program;

  // `over` once this host's firmware will not be taken back to what it was: from their next start
  // on, stores are sealed to the present TCB alone.
  std::string tcb_grace = "running";

  // The AK certificate authority. Without a policy or collateral no hardware's evidence is taken;
  // without simulated roots there is no class `simulated`.
  std::filesystem::path authority_policy;
  std::filesystem::path collateral;
  std::filesystem::path simulated_roots;
  std::int64_t certificate_days = 7;
  std::string authority_key = "p384";

  // The key broker that instances reach through vtpmd; without endpoints there is none. URLs, tried
  // in turn. The certificate is the one that this host has as a hypervisor.
  std::vector<std::string> broker_endpoints;
  std::filesystem::path broker_certificate;
  std::filesystem::path broker_key;
  std::filesystem::path broker_authorities;
  std::int64_t broker_timeout_seconds = 10;

  std::string log_level = "info";

  [[nodiscard]] std::filesystem::path service_socket() const {
    return socket.empty() ? runtime_folder / "vtpmd.sock" : socket;
  }
};

inline constexpr const char* kVtpmdFile = STRONGROOM_CONFIG_FOLDER "/vtpmd/vtpmd.toml";

// find_instance_program() is what an empty `instance_program` means for a vtpmd at that path.
std::filesystem::path find_instance_program(const std::filesystem::path& vtpmd);

// vtpmd_schema() binds the keys of vtpmd.toml to `settings`.
Schema vtpmd_schema(VtpmdSettings& settings);

}  // namespace tools::config
