// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/snp_chain.h"

#include <algorithm>
#include <string>

#include "keybroker/evidence/certificate_checks.h"
#include "keybroker/evidence/snp_certificates.h"

namespace keybroker::evidence {

namespace {

using crypto::Certificate;

std::optional<Finding> found(Reason reason, std::string detail) {
  return Finding{reason, std::move(detail)};
}

std::string intermediate_name(SnpProduct product, SnpSigningKey kind) {
  return (kind == SnpSigningKey::kVlek ? "SEV-VLEK-" : "SEV-") + std::string(name(product));
}

// The line of a root by its name, which is a claim until the root is compared with its pin.
std::optional<SnpProduct> named_product(const Certificate& root) {
  for (const auto product : {SnpProduct::kMilan, SnpProduct::kGenoa, SnpProduct::kTurin}) {
    if (root.subject_common_name() == common_name(root_slot(product))) {
      return product;
    }
  }
  return std::nullopt;
}

std::optional<Finding> examine_shape(std::span<const Certificate> chain) {
  if (chain.size() != 3) {
    return found(
        Reason::kSnpChainShape,
        std::to_string(chain.size()) + " certificates instead of leaf, intermediate and root");
  }
  if (!endorsement_kind(chain[0])) {
    return found(Reason::kSnpChainShape,
                 "the first certificate, " + chain[0].subject() + ", is no VCEK or VLEK");
  }
  if (!named_product(chain[2])) {
    return found(Reason::kSnpChainShape,
                 "the last certificate, " + chain[2].subject() + ", is no root of AMD's");
  }
  return std::nullopt;
}

std::optional<Finding> examine_root(const Certificate& root, SnpProduct product,
                                    const TrustStore& store) {
  if (!store.trusts(root_slot(product), root)) {
    return found(Reason::kSnpRootUntrusted, "the root " + root.subject() +
                                                " is not the one that is trusted (" +
                                                std::string(name(store.root_class())) + " store)");
  }
  return std::nullopt;
}

std::optional<Finding> examine_kind(const Certificate& intermediate, SnpProduct product,
                                    SnpSigningKey kind) {
  const auto expected = intermediate_name(product, kind);
  if (intermediate.subject_common_name() != expected) {
    return found(Reason::kSnpIntermediateKind, "the intermediate is " + intermediate.subject() +
                                                   ", expected one named " + expected);
  }
  return std::nullopt;
}

std::optional<Finding> examine_algorithms(std::span<const Certificate> chain) {
  for (std::size_t i = 0; i < chain.size(); ++i) {
    const auto& key = chain[i].public_key();
    const bool right_key = i == 0 ? key && key->curve() == crypto::Curve::kP384
                                  : key && key->is_rsa() && key->bits() == 4096;
    if (!right_key) {
      return found(Reason::kSnpChainAlgorithm, chain[i].subject() + " has a key of " +
                                                   (key ? key->describe() : "unknown kind"));
    }
    if (chain[i].signature_algorithm() != crypto::kPssSha384) {
      return found(Reason::kSnpChainAlgorithm,
                   chain[i].subject() + " is signed with " +
                       crypto::describe(chain[i].signature_algorithm()));
    }
  }
  return std::nullopt;
}

constexpr PathReasons kPathReasons{Reason::kSnpChainBroken, Reason::kSnpChainConstraint,
                                   Reason::kSnpChainExpired, Reason::kSnpChainNotYetValid};
constexpr RevocationReasons kRevocationReasons{Reason::kSnpCrlMissing, Reason::kSnpCrlForged,
                                               Reason::kSnpCrlStale,
                                               Reason::kSnpIntermediateRevoked};

void judge_revocation(std::span<const Certificate> chain, const SnpChainRules& rules,
                      JudgedSnpChain& judged, Checklist& list) {
  const std::string check = "snp.crl";
  if (rules.crl_rule == CrlRule::kOff) {
    list.not_asked(check, "the policy asks for no revocation list");
    return;
  }
  const auto revocation = examine_revocation(
      chain[1], chain[2], {rules.crls, crypto::kPssSha384, rules.now}, kRevocationReasons);
  if (!revocation.any_named && rules.crl_rule == CrlRule::kIfGiven) {
    list.not_asked(check, "no revocation list of the root was given");
  } else if (list.judge(check, revocation.finding)) {
    judged.validity.narrow(revocation.window);
  }
}

// What the certificate calls its product has the line in front, and a stepping behind it or
// nothing.
std::optional<Finding> examine_product_name(const std::string& product_name, SnpProduct product) {
  if (product_name.substr(0, product_name.find('-')) != name(product)) {
    return found(Reason::kSnpProductMismatch, "the certificate is for " + product_name +
                                                  " and its root for " +
                                                  std::string(name(product)));
  }
  return std::nullopt;
}

void judge_endorsement(const Certificate& leaf, JudgedSnpChain& judged, Checklist& list) {
  if (auto tcb = decode_endorsed_tcb(leaf, *judged.product)) {
    judged.tcb = *std::move(tcb);
    list.pass("snp.endorsement.tcb");
  } else {
    list.fail("snp.endorsement.tcb", Reason::kSnpSplMalformed, tcb.error().message);
  }
  if (auto identity = decode_endorsed_identity(leaf, *judged.product, *judged.kind)) {
    judged.identity = *std::move(identity);
    list.pass("snp.endorsement.identity");
  } else {
    list.fail("snp.endorsement.identity", Reason::kSnpHwidMalformed, identity.error().message);
  }
  if (judged.tcb) {
    list.judge("snp.endorsement.product",
               examine_product_name(judged.tcb->product_name, *judged.product));
  } else {
    list.not_run("snp.endorsement.product", "the extensions cannot be read");
  }
}

const Certificate* issuer_of(const Certificate& certificate,
                             std::span<const Certificate> authorities) {
  std::vector<const Certificate*> named;
  const auto name = certificate.issuer_der();
  for (const auto& authority : authorities) {
    if (authority.subject_der() == name) {
      named.push_back(&authority);
    }
  }
  // A simulator's authorities have the same names; only then the signature has to tell them apart.
  // The path is verified in any case.
  for (const auto* authority : named) {
    if (named.size() > 1 && authority->public_key() &&
        crypto::verify_issued(certificate, *authority->public_key())) {
      return authority;
    }
  }
  return named.empty() ? nullptr : named.front();
}

}  // namespace

bool JudgedSnpChain::trusted() const { return stands(checks); }

JudgedSnpChain judge_snp_chain(std::span<const Certificate> chain, const SnpChainRules& rules) {
  JudgedSnpChain judged;
  Checklist list;
  judged.root_class = rules.store.root_class();
  if (!list.judge("snp.chain.shape", examine_shape(chain))) {
    list.not_run({"snp.chain.class", "snp.chain.root", "snp.chain.kind", "snp.chain.path",
                  "snp.chain.time", "snp.chain.algorithms", "snp.crl", "snp.endorsement.tcb",
                  "snp.endorsement.identity", "snp.endorsement.product"},
                 "there is no chain of the right shape");
    judged.checks = std::move(list).take();
    return judged;
  }
  judged.product = named_product(chain[2]);
  judged.kind = endorsement_kind(chain[0]);
  judged.key = chain[0].public_key();
  judged.validity = crypto::validity_of(chain);
  list.judge("snp.chain.class", examine_class(chain, rules.store));
  list.judge("snp.chain.root", examine_root(chain[2], *judged.product, rules.store));
  list.judge("snp.chain.kind", examine_kind(chain[1], *judged.product, *judged.kind));
  const auto path = crypto::verify_path(chain[0], chain.subspan(1, 1), chain[2], rules.now);
  list.judge("snp.chain.path", examine_path(path, kPathReasons));
  list.judge("snp.chain.time", examine_time(path, kPathReasons));
  list.judge("snp.chain.algorithms", examine_algorithms(chain));
  judge_revocation(chain, rules, judged, list);
  judge_endorsement(chain[0], judged, list);
  judged.checks = std::move(list).take();
  return judged;
}

std::vector<Certificate> complete_snp_chain(std::vector<Certificate> given,
                                            std::span<const Certificate> authorities) {
  while (!given.empty() && given.size() < 3) {
    const auto* issuer = issuer_of(given.back(), authorities);
    if (issuer == nullptr) {
      break;
    }
    given.push_back(*issuer);
  }
  return given;
}

base::Result<std::vector<Certificate>> certificates_of_table(
    base::ByteView table, std::optional<SnpSigningKey> signing_key) {
  TRY_ASSIGN(objects, decode_snp_certificates(table));
  const auto has = [&](const SnpGuid& guid) {
    return std::ranges::find(objects, guid, &SnpCertificate::guid) != objects.end();
  };
  // A host may hold both keys; one of them signed.
  const bool both = has(kVcekGuid) && has(kVlekGuid);
  const auto& left_out = signing_key == SnpSigningKey::kVlek ? kVcekGuid : kVlekGuid;
  std::vector<Certificate> certificates;
  for (const auto& guid : {kVcekGuid, kVlekGuid, kAskGuid, kArkGuid}) {
    for (const auto& object : objects) {
      if (object.guid == guid && !(both && guid == left_out)) {
        TRY_ASSIGN(certificate, Certificate::decode(object.bytes));
        certificates.push_back(std::move(certificate));
      }
    }
  }
  return certificates;
}

}  // namespace keybroker::evidence
