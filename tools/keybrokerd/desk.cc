// SPDX-License-Identifier: Apache-2.0
#include "tools/keybrokerd/desk.h"

namespace tools::keybrokerd {

namespace {

namespace authority = keybroker::authority;

// One class of roots each: what vouches for a simulated VM vouches for no other.
authority::ConfidentialRules rules_of(const Office& office,
                                      std::optional<keybroker::evidence::TrustStore> simulated) {
  authority::ConfidentialRules rules;
  rules.policy = office.rules.evidence.policy;
  rules.collateral = office.rules.evidence.collateral;
  rules.simulated = std::move(simulated);
  return rules;
}

}  // namespace

Desk::Desk(Office& shared, keybroker::store::BrokerRecords own_records,
           keybroker::store::CertificateDatabase own_certificates,
           keybroker::hsm::KeyEncryptionKeys& keys)
    : office(shared),
      records(std::move(own_records)),
      certificates(std::move(own_certificates)),
      authority(office.cas, certificates, office.certificate_rules),
      worker{
          .rules = office.rules, .limit = office.limit, .records = records, .key_encryption = keys},
      production_(authority, certificates, rules_of(office, std::nullopt)) {
  if (office.rules.evidence.simulated) {
    simulated_.emplace(authority, certificates, rules_of(office, office.rules.evidence.simulated));
  }
}

}  // namespace tools::keybrokerd
