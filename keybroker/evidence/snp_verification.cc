// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/snp_verification.h"

#include <algorithm>

#include "keybroker/crypto/signature.h"
#include "keybroker/evidence/snp_judgement.h"

namespace keybroker::evidence {

namespace {

std::optional<Finding> found(Reason reason, std::string detail) {
  return Finding{reason, std::move(detail)};
}

std::string_view name(SnpSigningKey key) {
  switch (key) {
    case SnpSigningKey::kVcek:
      return "VCEK";
    case SnpSigningKey::kVlek:
      return "VLEK";
    case SnpSigningKey::kNone:
      break;
  }
  return "no key";
}

std::optional<Finding> examine_signed(const SnpReport& report) {
  if (report.chip_key_masked || report.signing_key == SnpSigningKey::kNone) {
    return found(Reason::kSnpReportUnsigned, "the host had the chip key masked, so nobody signed");
  }
  return std::nullopt;
}

std::optional<Finding> examine_signer(const SnpReport& report, const JudgedSnpChain& chain) {
  if (report.signing_key != chain.kind) {
    return found(Reason::kSnpSignerMismatch,
                 "the report says that it is signed by a " + std::string(name(report.signing_key)) +
                     " and comes with the certificate of a " + std::string(name(*chain.kind)));
  }
  return std::nullopt;
}

std::optional<Finding> examine_product(const SnpReport& report, const JudgedSnpChain& chain) {
  if (!report.cpu) {
    return std::nullopt;
  }
  const auto product = product_of(*report.cpu);
  if (!product) {
    return found(Reason::kSnpProductUnknown,
                 "no product with CPU family " + std::to_string(report.cpu->family) +
                     " and model " + std::to_string(report.cpu->model) + " is known here");
  }
  if (chain.product && product != chain.product) {
    return found(Reason::kSnpProductMismatch, "the report is of a " + std::string(name(*product)) +
                                                  ", its certificates are for " +
                                                  std::string(name(*chain.product)));
  }
  return std::nullopt;
}

std::optional<Finding> examine_chip(const SnpReport& report, const JudgedSnpChain& chain,
                                    bool allow_masked) {
  if (!chain.identity->hwid) {
    return std::nullopt;  // a VLEK belongs to no chip
  }
  if (base::is_all_zero(report.chip_id)) {
    return allow_masked
               ? std::nullopt
               : found(Reason::kSnpChipMasked, "the report does not say which chip it is from");
  }
  const auto& hwid = *chain.identity->hwid;
  const base::ByteView chip(report.chip_id);
  if (!std::ranges::equal(chip.first(hwid.size()), hwid) ||
      !base::is_all_zero(chip.subspan(hwid.size()))) {
    return found(Reason::kSnpChipMismatch, "the report is of another chip than its certificate");
  }
  return std::nullopt;
}

std::optional<Finding> examine_certified_tcb(const SnpReport& report, const JudgedSnpChain& chain) {
  const auto form = tcb_form(*chain.product);
  const auto& certified = *chain.tcb;
  if (form == TcbForm::kTurin && !certified.names_fmc) {
    return found(Reason::kSnpTcbMismatch, "the certificate of a Turin names no FMC version");
  }
  // The reserved bytes are compared with zero by this as well.
  if (encode_tcb(certified.tcb, form) != report.reported_tcb) {
    return found(Reason::kSnpTcbMismatch,
                 "the report has " + describe(decode_tcb(report.reported_tcb, form), form) +
                     " and its certificate " + describe(certified.tcb, form));
  }
  return std::nullopt;
}

// R and S are little-endian here.
base::Bytes reversed(std::span<const std::byte> bytes) {
  return base::Bytes(bytes.rbegin(), bytes.rend());
}

std::optional<Finding> examine_signature(base::ByteView bytes, const crypto::PublicKey& key) {
  const auto raw = base::load<SnpReportLayout>(bytes.first<kSnpReportBytes>());
  const auto verified =
      crypto::verify_ecdsa(key, crypto::Hash::kSha384, bytes.first(kSnpSignedBytes),
                           {reversed(raw.signature.r), reversed(raw.signature.s)});
  if (!verified) {
    return found(Reason::kSnpSignatureInvalid,
                 "the report is not signed by the key of its certificate");
  }
  return std::nullopt;
}

SnpClaims claims_of(const SnpReport& report, const JudgedSnpChain& chain) {
  SnpClaims claims{.report = report,
                   .product = report.cpu ? product_of(*report.cpu) : chain.product,
                   .signer = chain.kind,
                   .csp = chain.identity ? chain.identity->csp : std::nullopt,
                   .root_class = chain.root_class,
                   .collateral_until = std::nullopt};
  if (chain.kind) {
    claims.collateral_until = chain.validity.until;
  }
  return claims;
}

// What the report and its certificates say of each other.
void judge_agreement(base::ByteView bytes, const SnpReport& report, const JudgedSnpChain& chain,
                     const SnpPolicy& policy, Checklist& list) {
  const std::string no_chain = "there are no certificates to compare with";
  list.judge("snp.product", examine_product(report, chain));
  if (!chain.kind) {
    list.not_run({"snp.signer", "snp.chip", "snp.tcb.certified", "snp.signature"}, no_chain);
    return;
  }
  list.judge("snp.signer", examine_signer(report, chain));
  if (chain.identity) {
    list.judge("snp.chip", examine_chip(report, chain, policy.allow_masked_chip));
  } else {
    list.not_run("snp.chip", "the extensions of the certificate cannot be read");
  }
  if (chain.tcb) {
    list.judge("snp.tcb.certified", examine_certified_tcb(report, chain));
  } else {
    list.not_run("snp.tcb.certified", "the extensions of the certificate cannot be read");
  }
  if (chain.key) {
    list.judge("snp.signature", examine_signature(bytes, *chain.key));
  } else {
    list.not_run("snp.signature", "the key of the certificate cannot be read");
  }
}

}  // namespace

TcbVersion SnpClaims::tcb(const RawTcb& raw) const {
  return decode_tcb(raw, product ? tcb_form(*product) : report.tcb_form());
}

std::optional<SnpClaims> judge_snp_report(base::ByteView bytes, const JudgedSnpChain& chain,
                                          const SnpPolicy& policy, Checklist& list) {
  const auto malformed = examine_snp_report(bytes);
  list.judge("snp.report", malformed);
  if (malformed) {
    const std::string why = "the report cannot be read";
    list.not_run("snp.signed", why);
    list.append(chain.checks);
    list.not_run({"snp.product", "snp.signer", "snp.chip", "snp.tcb.certified", "snp.signature"},
                 why);
    not_run_snp_policy(list, why);
    return std::nullopt;
  }
  const auto report = *decode_snp_report(bytes);
  list.judge("snp.signed", examine_signed(report));
  list.append(chain.checks);
  judge_agreement(bytes, report, chain, policy, list);
  const auto claims = claims_of(report, chain);
  judge_snp_policy(claims, policy, list);
  return claims;
}

}  // namespace keybroker::evidence
