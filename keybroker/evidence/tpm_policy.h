// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "keybroker/crypto/signature.h"
#include "keybroker/evidence/ak_statement.h"
#include "keybroker/evidence/certificate_checks.h"
#include "keybroker/evidence/expectation.h"
#include "keybroker/evidence/tpm_quote.h"

namespace keybroker::evidence {

// What an owner wants of an attestation key.
struct AkPolicy {
  Expectation names{};  // TPM Names; an AK that is named here needs nobody to vouch for it
  Expectation keys{};   // SHA-256 of the DER SubjectPublicKeyInfo; the same
  bool require_certificate = false;
  // Of one of these classes a certificate must be, and then there must be one; empty: of any. A
  // relying party may do without, as each class has a root of its own.
  std::set<AkClass> classes{};
  // One of these purposes must stand in a certificate that vouches for the AK; empty: any may. Some
  // clouds issue AK certificates without TCG's purpose.
  std::set<std::string> purposes{"2.23.133.8.3"};
  CrlRule crl = CrlRule::kIfGiven;  // of each authority between such a certificate and its root
};

// What an owner wants of a TPM quote.
struct QuotePolicy {
  bool required = false;
  std::set<crypto::Hash> banks{crypto::Hash::kSha256, crypto::Hash::kSha384, crypto::Hash::kSha512};
  std::set<std::uint8_t> pcrs{0, 1, 2, 3, 4, 5, 6, 7};
  std::map<crypto::Hash, std::map<std::uint8_t, Expectation>> values{};
  std::optional<TpmClock> last_seen{};  // counters may not go back behind it
};

// What an owner wants of an event log.
struct LogPolicy {
  bool required = false;
};

}  // namespace keybroker::evidence
