// SPDX-License-Identifier: Apache-2.0
#include "tools/config/vtpmd_settings.h"

#include <system_error>

namespace tools::config {

std::filesystem::path find_instance_program(const std::filesystem::path& vtpmd) {
  const auto folder = vtpmd.parent_path();
  auto beside = folder / "vtpm-instance";
  std::error_code error;
  return std::filesystem::exists(beside, error) ? beside
                                                : folder.parent_path() / "bin" / "vtpm-instance";
}

Schema vtpmd_schema(VtpmdSettings& settings) {
  Schema schema;
  schema.path("folders", "state", settings.state_folder,
              "The registry, and the stores of persistent VMs");
  schema.path("folders", "runtime", settings.runtime_folder, "Sockets; need not survive a reboot");
  schema.path("service", "socket", settings.socket,
              "Where vtpmctl connects; default: vtpmd.sock in the runtime folder");
  schema.text("service", "admin_group", settings.admin_group,
              "Members may administer VMs, as root may; empty: nobody");
  schema.text("service", "hypervisor_group", settings.hypervisor_group,
              "Members may connect to TPM sockets; empty: only vtpmd's user");
  schema.path("instances", "program", settings.instance_program,
              "What runs one VM's TPM: vtpm-instance, or vtpm-instance-sim with a simulated TEE; "
              "default: vtpm-instance beside vtpmd");
  schema.word("instances", "tcb_grace", settings.tcb_grace, {"running", "over"},
              "Whether this host's firmware may still be taken back: until over, stores of "
              "confidential VMs open under the TCB of before as well");
  schema.word("log", "level", settings.log_level, {"debug", "info", "warning", "error"},
              "The least that is logged");
  return schema;
}

}  // namespace tools::config
