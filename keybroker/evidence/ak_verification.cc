// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/ak_verification.h"

#include <algorithm>
#include <string>

#include "keybroker/crypto/chain.h"
#include "keybroker/evidence/certificate_checks.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::evidence {

namespace {

using crypto::Certificate;
using crypto::PublicKey;
using protocol::kAkKeyId;

std::optional<Finding> found(Reason reason, std::string detail) {
  return Finding{reason, std::move(detail)};
}

// Everything there is about an AK, each part by itself.
struct Sources {
  std::optional<TpmPublic> public_area;
  std::optional<PublicKey> claimed;  // of the runtime claims
  std::vector<Certificate> certificates;
};

std::optional<PublicKey> claimed_key(const AkClaims& claims) {
  const auto* jwk = claims.runtime == nullptr ? nullptr : claims.runtime->key(kAkKeyId);
  if (jwk == nullptr) {
    return std::nullopt;
  }
  auto key = PublicKey::rsa({jwk->modulus, jwk->exponent});
  return key ? std::optional(*std::move(key)) : std::nullopt;
}

// The key that quotes are to be verified with: the public area's, else the claims', else whatever
// there is.
std::optional<PublicKey> chosen_key(const Sources& sources, const AkEvidence& evidence) {
  if (sources.public_area) {
    return sources.public_area->key;
  }
  if (sources.claimed) {
    return sources.claimed;
  }
  if (evidence.bare_key) {
    return evidence.bare_key;
  }
  return sources.certificates.empty() ? std::nullopt : sources.certificates.front().public_key();
}

void judge_public_area(const AkEvidence& evidence, Sources& sources, Checklist& list) {
  if (!evidence.public_area) {
    list.not_asked("ak.public", "the evidence has no public area of the AK");
    return;
  }
  auto area = decode_tpm_public(*evidence.public_area);
  if (!area) {
    list.fail("ak.public", Reason::kAkMalformed, area.error().message);
    return;
  }
  sources.public_area = *std::move(area);
  list.pass("ak.public");
}

std::optional<Finding> examine_strength(const PublicKey& key) {
  if (!key.is_rsa()) {
    return std::nullopt;
  }
  const auto numbers = key.rsa_numbers();
  // Making the key anew applies the rules for its numbers.
  if (const auto strong = PublicKey::rsa(*numbers); !strong) {
    return found(Reason::kAkWeak, strong.error().message);
  }
  return std::nullopt;
}

// The Name commits to the whole public area, so the Name of the template vouches for its
// attributes.
bool has_name_of_template(const AkClaims& claims, const PublicKey& key) {
  const auto numbers = key.rsa_numbers();
  const auto name = numbers ? template_ak_name(*numbers) : base::Result<base::Bytes>(base::Bytes());
  return claims.extended != nullptr && name && *name == claims.extended->ak_name;
}

void judge_attributes(const Sources& sources, const AkClaims& claims, const PublicKey& key,
                      Checklist& list) {
  const std::string check = "ak.attributes";
  if (sources.public_area) {
    list.judge(check,
               sources.public_area->can_attest()
                   ? std::nullopt
                   : found(Reason::kAkAttributes,
                           "the AK is not a restricted signing key that never left its TPM"));
  } else if (claims.extended == nullptr) {
    list.not_asked(check, "neither a public area nor a Name of the AK is there");
  } else {
    list.judge(check,
               has_name_of_template(claims, key)
                   ? std::nullopt
                   : found(Reason::kAkAttributes,
                           "the claims' Name is not that of the usual template, and there is "
                           "no public area that says what the AK may do"));
  }
}

// The claims name an RSA AK by its number, an ECC one by its Name only.
std::optional<Finding> examine_claims(const Sources& sources, const AkClaims& claims,
                                      const PublicKey& key) {
  if (claims.runtime == nullptr) {
    return std::nullopt;
  }
  const auto& area = sources.public_area;
  if (!key.is_rsa()) {
    const bool named = claims.extended != nullptr && claims.extended->ecc_ak_name && area &&
                       *claims.extended->ecc_ak_name == area->name;
    return named ? std::nullopt
                 : found(Reason::kAkMismatch, "the claims do not name this ECC key as an AK");
  }
  if (!sources.claimed) {
    return found(Reason::kAkMissing, "the claims have no key named " + std::string(kAkKeyId));
  }
  if (!(key == *sources.claimed)) {
    return found(Reason::kAkMismatch, "the AK beside the claims is not the one in them");
  }
  if (area && claims.extended != nullptr && claims.extended->ak_name != area->name) {
    return found(Reason::kAkMismatch, "the claims have another Name for the AK");
  }
  return std::nullopt;
}

std::optional<Finding> examine_agreement(const Sources& sources, const AkEvidence& evidence,
                                         const AkClaims& claims, const PublicKey& key) {
  if (auto finding = examine_claims(sources, claims, key)) {
    return finding;
  }
  if (evidence.bare_key && !(*evidence.bare_key == key)) {
    return found(Reason::kAkMismatch, "the key beside the AK's public area is another one");
  }
  if (!sources.certificates.empty() && (!sources.certificates.front().public_key() ||
                                        !(*sources.certificates.front().public_key() == key))) {
    return found(Reason::kAkMismatch, "the AK certificate is for another key");
  }
  return std::nullopt;
}

bool read_certificates(const AkEvidence& evidence, bool required, Sources& sources,
                       Checklist& list) {
  if (evidence.certificates.empty()) {
    if (required) {
      list.fail("ak.certificate", Reason::kAkCertificateMissing,
                "there is no certificate for the AK");
    } else {
      list.not_asked("ak.certificate", "the evidence has no certificate for the AK");
    }
    return false;
  }
  for (const auto& der : evidence.certificates) {
    auto certificate = Certificate::decode(der);
    if (!certificate) {
      list.fail("ak.certificate", Reason::kAkCertificateMalformed, certificate.error().message);
      sources.certificates.clear();
      return false;
    }
    sources.certificates.push_back(*std::move(certificate));
  }
  list.pass("ak.certificate");
  return true;
}

std::optional<Finding> examine_use(const Certificate& leaf, const std::set<std::string>& purposes) {
  const bool has_purpose =
      purposes.empty() || std::ranges::any_of(purposes, [&](const std::string& purpose) {
        return leaf.has_purpose(purpose);
      });
  if (leaf.is_ca() || !leaf.may_sign() || !has_purpose) {
    return found(Reason::kAkCertificateUse,
                 leaf.subject() + " is not a certificate for an attestation key");
  }
  return std::nullopt;
}

// The path from the AK's certificate upwards, by names and signatures, as far as it can be built.
struct Path {
  std::vector<Certificate> certificates;
  bool rooted = false;
  crypto::Validity validity{};  // of all of them, and of the lists that were consulted
};

// Whoever sends certificates chooses their keys, and with them what a signature costs to verify.
bool is_oversized(const PublicKey& key) {
  constexpr std::size_t kMostBytes = 512;  // RSA-4096
  const auto numbers = key.rsa_numbers();
  return numbers && numbers->modulus.size() > kMostBytes;
}

Path build_path(const Sources& sources, const AkAuthorities& authorities) {
  constexpr std::size_t kMostCertificates = 6;
  Path path{.certificates = {sources.certificates.front()}};
  const auto signer_among = [&](const std::vector<Certificate>& candidates) -> const Certificate* {
    const auto issuer = path.certificates.back().issuer_der();
    for (const auto& candidate : candidates) {
      if (candidate.subject_der() == issuer && candidate.public_key() &&
          !is_oversized(*candidate.public_key()) &&
          crypto::verify_issued(path.certificates.back(), *candidate.public_key())) {
        return &candidate;
      }
    }
    return nullptr;
  };
  while (path.certificates.size() < kMostCertificates) {
    if (const auto* root = signer_among(authorities.roots)) {
      path.certificates.push_back(*root);
      path.rooted = true;
      break;
    }
    const auto* next = signer_among(sources.certificates);
    next = next == nullptr ? signer_among(authorities.intermediates) : next;
    if (next == nullptr || std::ranges::find(path.certificates, *next) != path.certificates.end()) {
      break;
    }
    path.certificates.push_back(*next);
  }
  return path;
}

constexpr RevocationReasons kRevocationReasons{Reason::kAkCrlMissing, Reason::kAkCrlForged,
                                               Reason::kAkCrlStale, Reason::kAkCertificateRevoked};

// Each certificate but the root, on the lists of the one above it. `until` becomes the end of the
// list that ends first.
std::optional<Finding> examine_revocation_of(const Path& path, const AkAuthorities& authorities,
                                             CrlRule rule, crypto::Time now,
                                             crypto::Validity& validity) {
  for (std::size_t i = 0; i + 1 < path.certificates.size(); ++i) {
    const auto& issuer = path.certificates[i + 1];
    // Authorities of AKs sign as they like; verifying holds their lists to the key they have.
    const auto revocation = examine_revocation(
        path.certificates[i], issuer, {authorities.crls, std::nullopt, now}, kRevocationReasons);
    if (!revocation.any_named && rule != CrlRule::kRequired) {
      continue;
    }
    if (revocation.finding) {
      return revocation.finding;
    }
    validity.narrow(revocation.window);
  }
  return std::nullopt;
}

// Returns whether the certificate leads to a root that is trusted.
bool judge_path(const Sources& sources, const AkAuthorities& authorities, const AkPolicy& policy,
                crypto::Time now, Path& path, Checklist& list) {
  const auto& leaf = sources.certificates.front();
  const bool counts = policy.require_certificate || !authorities.roots.empty();
  const bool fits = counts && list.judge("ak.certificate.use", examine_use(leaf, policy.purposes));
  if (!counts) {
    list.not_asked("ak.certificate.use", "no root of AK certificates was given");
  }
  const bool on_time = list.judge(
      "ak.certificate.time",
      now < leaf.not_before() || now > leaf.not_after()
          ? found(Reason::kAkCertificateStale, "it is for " + crypto::to_text(leaf.not_before()) +
                                                   " to " + crypto::to_text(leaf.not_after()))
          : std::nullopt);
  if (!counts) {
    list.not_asked("ak.certificate.path", "no root of AK certificates was given");
    list.not_asked("ak.certificate.revocation", "no root of AK certificates was given");
    return false;
  }
  path = build_path(sources, authorities);
  if (!path.rooted) {
    list.fail("ak.certificate.path", Reason::kAkCertificateChain,
              path.certificates.back().issuer() + " is no root that was given, nor leads to one");
    list.not_run("ak.certificate.revocation", "the path is not known");
    return false;
  }
  const auto count = path.certificates.size();
  const auto verdict =
      crypto::verify_path(leaf, std::span(path.certificates).subspan(1, count - 2),
                          path.certificates.back(), now, crypto::Anchor::kAuthority);
  const bool whole = list.judge("ak.certificate.path",
                                verdict.path != crypto::PathFault::kNone
                                    ? found(Reason::kAkCertificateChain, verdict.path_detail)
                                    : (verdict.time != crypto::TimeFault::kNone && on_time
                                           ? found(Reason::kAkCertificateStale, verdict.time_detail)
                                           : std::nullopt));
  path.validity = crypto::validity_of(path.certificates);
  const std::string check = "ak.certificate.revocation";
  if (policy.crl == CrlRule::kOff) {
    list.not_asked(check, "the policy asks for no revocation list");
    return fits && whole && on_time;
  }
  const bool standing =
      list.judge(check, examine_revocation_of(path, authorities, policy.crl, now, path.validity));
  return fits && whole && on_time && standing;
}

void judge_expected_ak(const JudgedAk& ak, const AkPolicy& policy, Checklist& list) {
  if (policy.names.is_list() && !ak.name_is_certain) {
    list.fail("ak.expected", Reason::kAkUnexpected,
              "the policy names the AK by its Name, which only its public area gives");
    return;
  }
  const auto key_digest = base::copy_of(vmgs::crypto::sha256(ak.key->spki()));
  if (policy.keys.is_list()) {
    judge_expected(list, "ak.expected", policy.keys, key_digest, Reason::kAkUnexpected, "AK");
  } else {
    judge_expected(list, "ak.expected", policy.names, ak.name.value_or(base::Bytes()),
                   Reason::kAkUnexpected, "AK");
  }
}

bool is_named(const JudgedAk& ak, const AkPolicy& policy) {
  const auto key_digest = base::copy_of(vmgs::crypto::sha256(ak.key->spki()));
  const auto has = [](const Expectation& expectation, const base::Bytes& value) {
    return std::ranges::find(expectation.values, value) != expectation.values.end();
  };
  return has(policy.keys, key_digest) ||
         (ak.name && ak.name_is_certain && has(policy.names, *ak.name));
}

void judge_trust(const JudgedAk& ak, const AkClaims& claims, bool certified, bool agrees,
                 const AkPolicy& policy, Checklist& list) {
  if (!agrees) {
    list.not_run("ak.trust", "it is not clear which key is meant");
  } else if (claims.bound) {
    list.pass("ak.trust", "the claims of a verified report name it");
  } else if (certified) {
    list.pass("ak.trust", "a certificate of a trusted root names it");
  } else if (is_named(ak, policy)) {
    list.pass("ak.trust", "the policy names it");
  } else if (claims.refused) {
    list.not_run("ak.trust", "the report that binds the claims was refused");
  } else if (claims.runtime != nullptr) {
    list.fail("ak.trust", Reason::kAkUntrusted,
              "the claims that name it are bound by no verified report");
  } else {
    list.fail("ak.trust", Reason::kAkUntrusted, "nothing that is trusted names it");
  }
}

JudgedAk judged_from(const Sources& sources, const AkClaims& claims, const PublicKey& key) {
  JudgedAk ak;
  ak.key = key;
  if (sources.public_area) {
    ak.name = sources.public_area->name;
    ak.name_is_certain = true;
    ak.scheme = sources.public_area->scheme;
  } else if (claims.extended != nullptr && key.is_rsa()) {
    ak.name = claims.extended->ak_name;
    ak.name_is_certain = true;
  } else if (const auto numbers = key.rsa_numbers()) {
    if (auto name = template_ak_name(*numbers)) {
      ak.name = *std::move(name);
    }
  }
  return ak;
}

}  // namespace

JudgedAk judge_ak(const AkEvidence& evidence, const AkClaims& claims,
                  const AkAuthorities& authorities, const AkPolicy& policy, crypto::Time now,
                  Checklist& list) {
  Sources sources;
  sources.claimed = claimed_key(claims);
  judge_public_area(evidence, sources, list);
  Checklist certificate_checks;
  const bool has_certificate =
      read_certificates(evidence, policy.require_certificate, sources, certificate_checks);
  const auto key = chosen_key(sources, evidence);
  if (!key) {
    list.fail("ak.present", Reason::kAkMissing,
              claims.runtime != nullptr ? "the claims have no key named " + std::string(kAkKeyId)
                                        : "the evidence names no AK");
    list.not_run({"ak.strength", "ak.attributes", "ak.agreement"}, "there is no AK");
    list.append(certificate_checks.checks());
    list.not_run({"ak.certificate.use", "ak.certificate.time", "ak.certificate.path",
                  "ak.certificate.revocation", "ak.trust", "ak.expected"},
                 "there is no AK");
    return {};
  }
  auto ak = judged_from(sources, claims, *key);
  list.pass("ak.present", key->describe());
  list.judge("ak.strength", examine_strength(*key));
  judge_attributes(sources, claims, *key, list);
  const bool agrees =
      list.judge("ak.agreement", examine_agreement(sources, evidence, claims, *key));
  list.append(certificate_checks.checks());
  bool certified = false;
  if (has_certificate) {
    Path path;
    certified = judge_path(sources, authorities, policy, now, path, list);
    if (certified) {
      ak.certificate_until = path.validity.until;
      ak.certificate_path = std::move(path.certificates);
    }
  } else {
    for (const char* check : {"ak.certificate.use", "ak.certificate.time", "ak.certificate.path",
                              "ak.certificate.revocation"}) {
      list.not_asked(check, "there is no certificate for the AK");
    }
  }
  judge_trust(ak, claims, certified, agrees, policy, list);
  judge_expected_ak(ak, policy, list);
  return ak;
}

void not_ask_ak(Checklist& list) {
  for (const char* check :
       {"ak.public", "ak.present", "ak.strength", "ak.attributes", "ak.agreement", "ak.certificate",
        "ak.certificate.use", "ak.certificate.time", "ak.certificate.path",
        "ak.certificate.revocation", "ak.trust", "ak.expected", "ak.certificate.class",
        "ak.certificate.vm"}) {
    list.not_asked(check, "nothing in the evidence needs an AK");
  }
}

}  // namespace keybroker::evidence
