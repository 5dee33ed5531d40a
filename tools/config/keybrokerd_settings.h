// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tools/config/schema.h"

namespace tools::config {

// What keybrokerd can be told. The defaults serve this machine alone, with records in SQLite.
struct KeybrokerdSettings {
  std::filesystem::path state_folder = "/var/lib/keybrokerd";

  // Where callers connect, and the DNS names and addresses by which they know the broker.
  std::string address = "127.0.0.1";
  std::int64_t port = 8443;
  std::vector<std::string> names = {"localhost", "127.0.0.1"};

  // Health and metrics without TLS, on the loopback address; 0: nowhere but at the port above.
  std::int64_t health_port = 0;

  // The face for guests: attestation tokens and workload keys, for callers without a certificate;
  // 0: none. The issuer is how tokens name this broker; empty: https://, the first name and the
  // port.
  std::int64_t guest_port = 0;
  std::string issuer;

  // TLS credentials of another authority. Empty: keybrokerd is its own, and `keybrokerd issue`
  // makes certificates for callers.
  std::filesystem::path tls_certificate;
  std::filesystem::path tls_key;
  std::filesystem::path tls_authorities;
  std::filesystem::path tls_revoked;

  // Empty: records.db in the state folder. Else a libpq connection string, without a password.
  std::string postgresql;

  // What all VMs' evidence must show, and by which collateral and simulators it is judged.
  std::filesystem::path evidence_policy;
  std::filesystem::path collateral;
  std::filesystem::path simulated_roots;

  // The names that release policies know this broker by, as `authority`.
  std::vector<std::string> policy_authorities;

  // Roots that signed this broker's answer keys before the present one, in PEM: receipts and
  // checkpoints of then are still believed.
  std::filesystem::path earlier_roots;

  // "TENANT-UUID pkcs11:..." for tenants whose key lies in a token.
  std::vector<std::string> tokens;
  std::filesystem::path pkcs11_module;

  std::int64_t certificate_days = 7;

  // Until when receipts may move records forward, after a restore from a backup; RFC 3339. Empty:
  // they may not.
  std::string recovery_until;

  // 0: as many as the machine has processors.
  std::int64_t workers = 0;
  std::int64_t most_waiting = 256;

  std::string log_level = "info";
};

inline constexpr const char* kKeybrokerdFile =
    STRONGROOM_CONFIG_FOLDER "/keybrokerd/keybrokerd.toml";

// keybrokerd_schema() binds the keys of keybrokerd.toml to `settings`.
Schema keybrokerd_schema(KeybrokerdSettings& settings);

}  // namespace tools::config
