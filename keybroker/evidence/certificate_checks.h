// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>

#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/chain.h"
#include "keybroker/crypto/crl.h"
#include "keybroker/evidence/checklist.h"
#include "keybroker/evidence/trust_store.h"

// What the chains of AMD, of Intel and of attestation keys have in common.
namespace keybroker::evidence {

// examine_class() finds a simulated certificate where only production's are taken. It comes before
// any signature, so that a wrong pin alone does not let a simulator in.
std::optional<Finding> examine_class(std::span<const crypto::Certificate> chain,
                                     const TrustStore& store);

// Which reason stands for which fault of a path.
struct PathReasons {
  Reason broken;
  Reason constraint;
  Reason expired;
  Reason not_yet_valid;
};

std::optional<Finding> examine_path(const crypto::PathVerdict& verdict, const PathReasons& reasons);
std::optional<Finding> examine_time(const crypto::PathVerdict& verdict, const PathReasons& reasons);

// What an owner makes of revocation lists.
enum class CrlRule : std::uint8_t {
  kRequired,  // a fresh list of each issuer must be there
  kIfGiven,   // a list that is there must be authentic and fresh
  kOff,
};

// How revocation lists are judged.
struct RevocationRules {
  std::span<const crypto::Crl> crls;
  std::optional<crypto::SignatureAlgorithm> algorithm;  // absent: any that the issuer's key has
  crypto::Time now;
  std::chrono::seconds grace{};  // how long a list is taken after its end
};

// Which reason stands for which fault of a list.
struct RevocationReasons {
  Reason missing;
  Reason forged;
  Reason stale;
  Reason revoked;
};

// What the lists of one issuer say of one certificate, taken together.
struct Revocation {
  std::optional<Finding> finding;
  bool any_named = false;     // a list bears the issuer's name
  crypto::Validity window{};  // of the list that is fresh for longest, without a finding
};

// examine_revocation() looks for `certificate` on the lists of `issuer`. One of them must be
// authentic and fresh; what any authentic one took back stays taken back, however old it is.
Revocation examine_revocation(const crypto::Certificate& certificate,
                              const crypto::Certificate& issuer, const RevocationRules& rules,
                              const RevocationReasons& reasons);

// stands() tells whether no check of a part failed or could not be made.
bool stands(const std::vector<Check>& checks);

}  // namespace keybroker::evidence
