// SPDX-License-Identifier: Apache-2.0
#include "tools/config/keybrokerd_settings.h"

namespace tools::config {

Schema keybrokerd_schema(KeybrokerdSettings& settings) {
  Schema schema;
  schema.path("folders", "state", settings.state_folder,
              "The broker's keys, and its records where they are in SQLite");
  schema.text("listen", "address", settings.address, "Where callers connect");
  schema.number("listen", "port", settings.port, 0, 65535, "0: any that is free");
  schema.texts("listen", "names", settings.names,
               "DNS names and addresses by which callers know this broker");
  schema.number("listen", "health_port", settings.health_port, 0, 65535,
                "/livez, /readyz and /metrics without TLS on 127.0.0.1; 0: only at the port above");
  schema.number("guests", "port", settings.guest_port, 0, 65535,
                "Attestation tokens and workload keys (keybroker/TOKENS.md), at the address above "
                "for callers without a certificate; 0: not served");
  schema.text("guests", "issuer", settings.issuer,
              "The URL by which tokens and their policies name this broker; default: https://, the "
              "first name, the port");
  schema.path("tls", "certificate", settings.tls_certificate,
              "Certificate and chain of another authority, in PEM; default: keybrokerd is its own");
  schema.path("tls", "key", settings.tls_key, "Its private key, closed to others");
  schema.path("tls", "authorities", settings.tls_authorities,
              "Whose certificates callers must show");
  schema.path("tls", "revoked", settings.tls_revoked,
              "Revocation lists of all of those; default: none is looked at");
  schema.text("records", "postgresql", settings.postgresql,
              "A libpq connection string without a password (a passfile may have it); default: "
              "SQLite in the state folder");
  schema.path("evidence", "policy", settings.evidence_policy,
              "What all evidence must show, as keybroker/POLICY.md has it: least TCB, products. "
              "What one VM's must show stands in its release policies");
  schema.path("evidence", "collateral", settings.collateral,
              "What CPU vendors publish, in the folder that `attest collateral` fills");
  schema.path("evidence", "simulated_roots", settings.simulated_roots,
              "Roots of a simulator, in PEM, for VMs that are registered as simulated. Never on a "
              "broker that others rely on");
  schema.texts("policy", "authorities", settings.policy_authorities,
               "Names that release policies may know this broker by");
  schema.path("broker", "earlier_roots", settings.earlier_roots,
              "This broker's roots before the present one, in PEM: their receipts and checkpoints "
              "are still believed");
  schema.texts("hsm", "tokens", settings.tokens,
               "\"TENANT-UUID pkcs11:...\": tenants whose key lies in a token, with a pin-source");
  schema.path("hsm", "module", settings.pkcs11_module,
              "The PKCS#11 module of tokens whose URI names none");
  schema.number("authority", "certificate_days", settings.certificate_days, 1, 90,
                "How long an AK certificate lives; it is renewed at half of that");
  schema.text("recovery", "until", settings.recovery_until,
              "After a restore from a backup: receipts move records forward until then "
              "(2026-11-22T12:00:00Z)");
  schema.number("limits", "workers", settings.workers, 0, 256,
                "Requests that are worked on at a time; 0: one a processor, four at least");
  schema.number("limits", "most_waiting", settings.most_waiting, 1, 100'000,
                "Requests that wait; more are sent away with a time to come back");
  schema.word("log", "level", settings.log_level, {"debug", "info", "warning", "error"},
              "The least that is logged");
  return schema;
}

}  // namespace tools::config
