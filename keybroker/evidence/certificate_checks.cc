// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/certificate_checks.h"

#include <algorithm>

namespace keybroker::evidence {

namespace {

using crypto::PathFault;
using crypto::TimeFault;

std::optional<Finding> found(Reason reason, std::string detail) {
  return Finding{reason, std::move(detail)};
}

}  // namespace

std::optional<Finding> examine_class(std::span<const crypto::Certificate> chain,
                                     const TrustStore& store) {
  if (store.root_class() == RootClass::kProduction &&
      std::ranges::any_of(chain, carries_simulated_marker)) {
    return found(Reason::kSimulatedInProduction,
                 "a certificate of the chain says that it is simulated");
  }
  return std::nullopt;
}

std::optional<Finding> examine_path(const crypto::PathVerdict& verdict,
                                    const PathReasons& reasons) {
  switch (verdict.path) {
    case PathFault::kNone:
      return std::nullopt;
    case PathFault::kConstraint:
      return found(reasons.constraint, verdict.path_detail);
    case PathFault::kSignature:
    case PathFault::kIssuer:
      break;
  }
  return found(reasons.broken, verdict.path_detail);
}

std::optional<Finding> examine_time(const crypto::PathVerdict& verdict,
                                    const PathReasons& reasons) {
  if (verdict.time == TimeFault::kNone) {
    return std::nullopt;
  }
  return found(verdict.time == TimeFault::kExpired ? reasons.expired : reasons.not_yet_valid,
               verdict.time_detail);
}

Revocation examine_revocation(const crypto::Certificate& certificate,
                              const crypto::Certificate& issuer, const RevocationRules& rules,
                              const RevocationReasons& reasons) {
  Revocation result;
  bool any_authentic = false;
  bool any_fresh = false;
  bool revoked = false;
  const auto name = issuer.subject_der();
  for (const auto& crl : rules.crls) {
    if (crl.issuer_der() != name) {
      continue;
    }
    result.any_named = true;
    if ((rules.algorithm && crl.signature_algorithm() != *rules.algorithm) ||
        !issuer.public_key() || !crl.verify(*issuer.public_key())) {
      continue;
    }
    any_authentic = true;
    revoked = revoked || crl.revokes(certificate);
    const crypto::Validity window{crl.this_update(), crl.next_update() + rules.grace};
    if (window.contains(rules.now) && (!any_fresh || window.until > result.window.until)) {
      any_fresh = true;
      result.window = window;
    }
  }
  const auto who = issuer.subject_common_name();
  if (!result.any_named) {
    result.finding = found(reasons.missing, "there is no revocation list of " + who);
  } else if (!any_authentic) {
    result.finding = found(reasons.forged, "the revocation list is not signed by " + who);
  } else if (revoked) {
    result.finding =
        found(reasons.revoked, certificate.subject_common_name() + " was revoked by " + who);
  } else if (!any_fresh) {
    result.finding = found(reasons.stale, "no revocation list of " + who + " is fresh at " +
                                              crypto::to_text(rules.now));
  }
  return result;
}

bool stands(const std::vector<Check>& checks) {
  return !checks.empty() && std::ranges::all_of(checks, [](const Check& check) {
    return check.outcome == Outcome::kPass || check.outcome == Outcome::kNotAsked;
  });
}

}  // namespace keybroker::evidence
