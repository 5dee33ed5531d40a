// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/tdx_chain.h"

#include <algorithm>
#include <string>

#include "keybroker/evidence/certificate_checks.h"

namespace keybroker::evidence {

namespace {

using crypto::Certificate;

constexpr std::string_view kPckName = "Intel SGX PCK Certificate";
constexpr std::string_view kPlatformCaName = "Intel SGX PCK Platform CA";
constexpr std::string_view kProcessorCaName = "Intel SGX PCK Processor CA";

constexpr PathReasons kPathReasons{Reason::kTdxChainBroken, Reason::kTdxChainConstraint,
                                   Reason::kTdxChainExpired, Reason::kTdxChainNotYetValid};

std::optional<Finding> found(Reason reason, std::string detail) {
  return Finding{reason, std::move(detail)};
}

std::optional<Finding> examine_root(const Certificate& root, const TrustStore& store) {
  if (!store.trusts(RootSlot::kIntelSgx, root)) {
    return found(Reason::kTdxRootUntrusted, "the root " + root.subject() +
                                                " is not the one that is trusted (" +
                                                std::string(name(store.root_class())) + " store)");
  }
  return std::nullopt;
}

std::optional<Finding> examine_names(std::span<const Certificate> chain) {
  const auto ca = chain[1].subject_common_name();
  if (chain[0].subject_common_name() != kPckName ||
      (ca != kPlatformCaName && ca != kProcessorCaName) ||
      chain[2].subject_common_name() != common_name(RootSlot::kIntelSgx)) {
    return found(Reason::kTdxPckNames, "the certificates are " + chain[0].subject() + "; " +
                                           chain[1].subject() + "; " + chain[2].subject());
  }
  return std::nullopt;
}

std::optional<Finding> examine_algorithms(std::span<const Certificate> chain) {
  for (const auto& certificate : chain) {
    const auto& key = certificate.public_key();
    if (!key || key->curve() != crypto::Curve::kP256) {
      return found(Reason::kTdxChainAlgorithm, certificate.subject() + " has a key of " +
                                                   (key ? key->describe() : "unknown kind"));
    }
    if (certificate.signature_algorithm() != crypto::kEcdsaSha256) {
      return found(Reason::kTdxChainAlgorithm,
                   certificate.subject() + " is signed with " +
                       crypto::describe(certificate.signature_algorithm()));
    }
  }
  return std::nullopt;
}

void judge_revocation(std::span<const Certificate> chain, const TdxRules& rules,
                      JudgedPckChain& judged, Checklist& list) {
  const RevocationRules revocation_rules{rules.collateral.crls, crypto::kEcdsaSha256, rules.now,
                                         rules.grace};
  const auto ca = examine_revocation(
      chain[1], chain[2], revocation_rules,
      {Reason::kTdxCrlMissing, Reason::kTdxCrlForged, Reason::kTdxCrlStale, Reason::kTdxCaRevoked});
  if (list.judge("tdx.crl.root", ca.finding)) {
    judged.validity.narrow(ca.window);
  }
  const auto pck = examine_revocation(chain[0], chain[1], revocation_rules,
                                      {Reason::kTdxCrlMissing, Reason::kTdxCrlForged,
                                       Reason::kTdxCrlStale, Reason::kTdxPckRevoked});
  if (list.judge("tdx.crl.pck", pck.finding)) {
    judged.validity.narrow(pck.window);
  }
}

base::Result<crypto::SgxExtension> read_platform(const Certificate& pck) {
  TRY_ASSIGN(content, pck.extension(std::string(crypto::kSgxExtensionOid)));
  if (!content) {
    return base::fail(base::ErrorCode::kCorrupt, "the PCK certificate has no SGX extension");
  }
  return crypto::decode_sgx_extension(*content);
}

void judge_platform(const Certificate& pck, JudgedPckChain& judged, Checklist& list) {
  if (auto platform = read_platform(pck)) {
    judged.platform = *std::move(platform);
    list.pass("tdx.pck.extension");
  } else {
    list.fail("tdx.pck.extension", Reason::kTdxPckExtension, platform.error().message);
  }
}

}  // namespace

bool JudgedPckChain::trusted() const { return stands(checks); }

JudgedPckChain judge_pck_chain(std::string_view pem, const TdxRules& rules) {
  JudgedPckChain judged;
  Checklist list;
  judged.root_class = rules.store.root_class();
  const auto chain = crypto::decode_pem_certificates(pem, 3);
  if (!chain || chain->size() != 3) {
    list.fail("tdx.chain.shape", Reason::kTdxChainShape,
              chain ? "the quote has " + std::to_string(chain->size()) + " certificates, expected 3"
                    : chain.error().message);
    list.not_run(
        {"tdx.chain.class", "tdx.chain.root", "tdx.chain.names", "tdx.chain.path", "tdx.chain.time",
         "tdx.chain.algorithms", "tdx.crl.root", "tdx.crl.pck", "tdx.pck.extension"},
        "there is no chain of the right shape");
    judged.checks = std::move(list).take();
    return judged;
  }
  list.pass("tdx.chain.shape");
  const auto& certificates = *chain;
  judged.key = certificates[0].public_key();
  judged.validity = crypto::validity_of(certificates);
  list.judge("tdx.chain.class", examine_class(certificates, rules.store));
  list.judge("tdx.chain.root", examine_root(certificates[2], rules.store));
  list.judge("tdx.chain.names", examine_names(certificates));
  const auto path = crypto::verify_path(certificates[0], std::span(certificates).subspan(1, 1),
                                        certificates[2], rules.now);
  list.judge("tdx.chain.path", examine_path(path, kPathReasons));
  list.judge("tdx.chain.time", examine_time(path, kPathReasons));
  list.judge("tdx.chain.algorithms", examine_algorithms(certificates));
  judge_revocation(certificates, rules, judged, list);
  judge_platform(certificates[0], judged, list);
  judged.checks = std::move(list).take();
  return judged;
}

}  // namespace keybroker::evidence
