// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/tdx_verification.h"

#include <algorithm>

#include "keybroker/crypto/signature.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::evidence {

namespace {

using crypto::Curve;
using crypto::Hash;
using crypto::PublicKey;

std::optional<Finding> found(Reason reason, std::string detail) {
  return Finding{reason, std::move(detail)};
}

base::Result<PublicKey> key_of(const P256Pair& pair) {
  const base::ByteView bytes(pair);
  return PublicKey::ec(
      {Curve::kP256, base::copy_of(bytes.first(32)), base::copy_of(bytes.subspan(32))});
}

bool verifies(const PublicKey& key, base::ByteView message, const P256Pair& signature) {
  const base::ByteView pair(signature);
  return crypto::verify_ecdsa(key, Hash::kSha256, message, {pair.first(32), pair.subspan(32)})
      .has_value();
}

// All 64 bytes: what the enclave says beside the digest it would say to anybody.
std::optional<Finding> examine_binding(const TdQuote& quote) {
  const auto digest = vmgs::crypto::sha256({quote.attestation_key, quote.qe_auth_data});
  const base::ByteView report_data(quote.qe_report.report_data);
  if (!std::ranges::equal(report_data.first(digest.size()), digest) ||
      !base::is_all_zero(report_data.subspan(digest.size()))) {
    return found(Reason::kTdxQeBinding,
                 "the quoting enclave's report is not about this attestation key");
  }
  return std::nullopt;
}

// The binding comes before the signature over it: a report of another quote, with its own good
// signature, is then named for what it is.
void judge_signatures(base::ByteView bytes, const TdQuote& quote, const JudgedPckChain& chain,
                      Checklist& list) {
  const auto attestation_key = key_of(quote.attestation_key);
  list.judge("tdx.attestation_key",
             attestation_key ? std::nullopt
                             : found(Reason::kTdxAttestationKey, attestation_key.error().message));
  list.judge("tdx.qe.binding", examine_binding(quote));
  if (!chain.key) {
    list.not_run("tdx.qe.signature", "there is no PCK certificate to verify it with");
  } else {
    list.judge("tdx.qe.signature",
               verifies(*chain.key, base::view(quote.qe_report), quote.qe_report_signature)
                   ? std::nullopt
                   : found(Reason::kTdxQeSignature,
                           "the quoting enclave's report is not signed by the PCK"));
  }
  if (!attestation_key) {
    list.not_run("tdx.quote.signature", "there is no attestation key to verify it with");
  } else {
    list.judge(
        "tdx.quote.signature",
        verifies(*attestation_key, bytes.first(quote.signed_bytes()), quote.signature)
            ? std::nullopt
            : found(Reason::kTdxQuoteSignature, "the quote is not signed by its attestation key"));
  }
}

void judge_evaluation_number(const JudgedTdxCollateral& collateral, const TdxPolicy& policy,
                             Checklist& list) {
  const std::string check = "tdx.evaluation";
  if (!collateral.tcb_info || !collateral.qe_identity) {
    list.not_run(check, "the collateral is incomplete");
    return;
  }
  const auto number =
      std::min(collateral.tcb_info->evaluation_number, collateral.qe_identity->evaluation_number);
  list.judge(check, number < policy.min_evaluation_number
                        ? found(Reason::kTdxEvaluationTooOld,
                                "the collateral has evaluation number " + std::to_string(number) +
                                    ", at least " + std::to_string(policy.min_evaluation_number) +
                                    " is wanted")
                        : std::nullopt);
}

// The parts of the TCB, each with a check of its own, so that none hides another.
void judge_levels(TdxClaims& claims, const JudgedTdxCollateral& collateral, Checklist& list) {
  const auto& body = claims.quote.body;
  MetLevel qe;
  MetLevel module;
  PlatformLevels platform;
  if (collateral.qe_identity) {
    qe = qe_level(claims.quote.qe_report, *collateral.qe_identity);
    list.judge("tdx.tcb.qe", qe.finding);
  } else {
    list.not_run("tdx.tcb.qe", "there is no QE identity");
  }
  if (collateral.tcb_info && claims.platform) {
    platform = platform_levels(claims.platform->tcb, body, *collateral.tcb_info);
    list.judge("tdx.tcb.platform", platform.finding);
    module = module_level(body, *collateral.tcb_info);
    list.judge("tdx.tcb.module", module.finding);
  } else {
    list.not_run({"tdx.tcb.platform", "tdx.tcb.module"}, "there is no TCB info for the platform");
  }
  if (qe.verdict) {
    claims.qe_status = qe.verdict->status;
  }
  if (module.verdict) {
    claims.module_status = module.verdict->status;
  }
  if (platform.tdx) {
    claims.platform_status = platform.tdx->status;
  }
  if (qe.verdict && module.verdict && platform.tdx) {
    claims.tcb = summarise(platform, *module.verdict, *qe.verdict, claims.quote.body_15,
                           *collateral.tcb_info);
  }
}

TdxClaims claims_of(const TdQuote& quote, const JudgedPckChain& chain,
                    const JudgedTdxCollateral& collateral) {
  TdxClaims claims{.quote = quote,
                   .platform = chain.platform,
                   .tcb = std::nullopt,
                   .qe_status = std::nullopt,
                   .module_status = std::nullopt,
                   .platform_status = std::nullopt,
                   .evaluation_number = std::nullopt,
                   .collateral_until = std::nullopt,
                   .root_class = chain.root_class};
  if (collateral.tcb_info && collateral.qe_identity) {
    auto validity = collateral.validity;
    validity.narrow(chain.validity);
    claims.collateral_until = validity.until;
    claims.evaluation_number =
        std::min(collateral.tcb_info->evaluation_number, collateral.qe_identity->evaluation_number);
  }
  return claims;
}

}  // namespace

std::optional<TdxClaims> judge_td_quote(base::ByteView bytes, const ReadTdQuote& read,
                                        const JudgedPckChain& chain,
                                        const JudgedTdxCollateral& collateral,
                                        const TdxPolicy& policy, crypto::Time now,
                                        Checklist& list) {
  list.judge("tdx.quote", read.malformed);
  if (!read.quote) {
    const std::string why = "the quote cannot be read";
    list.not_run("tdx.quote.padding", why);
    list.append(chain.checks);
    list.not_run(
        {"tdx.attestation_key", "tdx.qe.binding", "tdx.qe.signature", "tdx.quote.signature"}, why);
    list.append(collateral.checks);
    list.not_run({"tdx.evaluation", "tdx.tcb.qe", "tdx.tcb.platform", "tdx.tcb.module"}, why);
    not_run_td_policy(list, why);
    return std::nullopt;
  }
  list.judge("tdx.quote.padding", read.padding);
  list.append(chain.checks);
  judge_signatures(bytes, *read.quote, chain, list);
  list.append(collateral.checks);
  judge_evaluation_number(collateral, policy, list);
  auto claims = claims_of(*read.quote, chain, collateral);
  judge_levels(claims, collateral, list);
  judge_td_policy(claims, policy, now, list);
  return claims;
}

}  // namespace keybroker::evidence
