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
  schema.path("authority", "policy", settings.authority_policy,
              "What evidence of confidential VMs must say before their AK is certified, as "
              "keybroker/POLICY.md has it; without it no measurement is accepted");
  schema.path("authority", "collateral", settings.collateral,
              "What CPU vendors publish, in the folder that `attest collateral` fills");
  schema.path("authority", "simulated_roots", settings.simulated_roots,
              "Roots of a simulator, in PEM: its VMs get certificates of class simulated. Never on "
              "a host that others rely on");
  schema.number("authority", "certificate_days", settings.certificate_days, 1, 90,
                "How long an AK certificate lives; it is renewed at half of that");
  schema.word("authority", "key", settings.authority_key, {"p384", "rsa3072"},
              "What a CA signs with, chosen when it is made: rsa3072 for clients without ECDSA");
  schema.texts(
      "broker", "endpoints", settings.broker_endpoints,
      "Where the key broker answers, as \"https://host:port\", tried in turn; empty: none, and "
      "VMs whose key a broker has do not start");
  schema.path("broker", "certificate", settings.broker_certificate,
              "This host's certificate for the key broker, role hypervisor, in PEM");
  schema.path("broker", "key", settings.broker_key, "Its private key, for vtpmd's user only");
  schema.path(
      "broker", "authorities", settings.broker_authorities,
      "Who may have issued the key broker's TLS certificates, in PEM. VMs do not rely on it: "
      "they know their broker by its signature");
  schema.number("broker", "timeout", settings.broker_timeout_seconds, 1, 60,
                "Seconds for a call, all endpoints together");
  schema.word("log", "level", settings.log_level, {"debug", "info", "warning", "error"},
              "The least that is logged");
  return schema;
}

}  // namespace tools::config
