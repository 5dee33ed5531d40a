// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>

#include "keybroker/evidence/certificate_checks.h"
#include "keybroker/evidence/tdx_chain.h"

namespace keybroker::evidence {

namespace {

using crypto::Certificate;

constexpr std::string_view kSignerName = "Intel SGX TCB Signing";

// The reasons of one of the two documents.
struct DocumentReasons {
  Reason missing;
  Reason malformed;
  Reason forged;
  Reason stale;
  Reason other;
};

constexpr DocumentReasons kTcbInfoReasons{Reason::kTdxTcbInfoMissing, Reason::kTdxTcbInfoMalformed,
                                          Reason::kTdxTcbInfoForged, Reason::kTdxTcbInfoStale,
                                          Reason::kTdxTcbInfoOther};
constexpr DocumentReasons kQeIdentityReasons{
    Reason::kTdxQeIdentityMissing, Reason::kTdxQeIdentityMalformed, Reason::kTdxQeIdentityForged,
    Reason::kTdxQeIdentityStale, Reason::kTdxQeIdentityOther};

std::optional<Finding> found(Reason reason, std::string detail) {
  return Finding{reason, std::move(detail)};
}

// A document that was picked, or why none was.
template <typename T>
struct Picked {
  const SignedDocument* document = nullptr;
  std::optional<T> content{};
  std::optional<Finding> finding{};
};

template <typename T>
bool is_better(const T& a, const T& b, crypto::Time now) {
  const auto is_fresh = [&](const T& content) {
    return content.issued <= now && now <= content.next_update;
  };
  return std::tuple(is_fresh(a), a.evaluation_number, a.issued) >
         std::tuple(is_fresh(b), b.evaluation_number, b.issued);
}

// pick() takes the best of the documents that `fits`: a fresh one if there is one, the newest among
// equals. Documents that are not for this platform are passed over; if nothing is left, that is
// said.
template <typename T, typename Decode, typename Fits>
Picked<T> pick(const std::vector<SignedDocument>& documents, Decode decode, Fits fits,
               const DocumentReasons& reasons, crypto::Time now) {
  Picked<T> picked;
  picked.finding = found(reasons.missing, "there is none");
  for (const auto& document : documents) {
    auto content = decode(document.body);
    if (!content) {
      const bool other = content.error().code == base::ErrorCode::kNotFound;
      if (picked.document == nullptr) {
        picked.finding = found(other ? reasons.other : reasons.malformed, content.error().message);
      }
      continue;
    }
    if (auto why_not = fits(*content)) {
      if (picked.document == nullptr) {
        picked.finding = found(reasons.other, *why_not);
      }
      continue;
    }
    if (picked.document == nullptr || is_better(*content, *picked.content, now)) {
      picked.document = &document;
      picked.content = *std::move(content);
      picked.finding.reset();
    }
  }
  return picked;
}

// A signer whose key made the signature, and its root.
struct Signer {
  const Certificate* certificate = nullptr;
  const Certificate* root = nullptr;
};

Signer signer_of(const SignedDocument& document, const TdxRules& rules) {
  Signer signer;
  for (const auto& certificate : rules.collateral.signers) {
    if (rules.store.trusts(RootSlot::kIntelSgx, certificate)) {
      signer.root = &certificate;
    } else if (certificate.subject_common_name() == kSignerName && certificate.public_key() &&
               certificate.public_key()->curve() == crypto::Curve::kP256 &&
               verify(document, *certificate.public_key())) {
      signer.certificate = &certificate;
    }
  }
  return signer;
}

// What was found about a signer. Both documents have the same one as a rule.
struct JudgedSigner {
  Signer signer;
  crypto::PathVerdict path;
  Revocation revocation;
};

const JudgedSigner& judge_signer(const Signer& signer, const TdxRules& rules,
                                 std::optional<JudgedSigner>& kept) {
  if (!kept || kept->signer.certificate != signer.certificate) {
    kept = JudgedSigner{
        signer, crypto::verify_path(*signer.certificate, {}, *signer.root, rules.now),
        examine_revocation(*signer.certificate, *signer.root,
                           {rules.collateral.crls, crypto::kEcdsaSha256, rules.now, rules.grace},
                           {Reason::kTdxCrlMissing, Reason::kTdxCrlForged, Reason::kTdxCrlStale,
                            Reason::kTdxTcbSignerRevoked})};
  }
  return *kept;
}

struct Authenticity {
  std::optional<Finding> signature;
  std::optional<Finding> time;
  std::optional<Finding> revocation;
  crypto::Validity validity{};
};

Authenticity examine_authenticity(const SignedDocument& document, const TdxRules& rules,
                                  const DocumentReasons& reasons,
                                  std::optional<JudgedSigner>& kept) {
  Authenticity result;
  const auto signer = signer_of(document, rules);
  if (signer.certificate == nullptr || signer.root == nullptr) {
    result.signature =
        found(reasons.forged, signer.root == nullptr
                                  ? "there is no trusted root beside its signer's certificate"
                                  : "no certificate of a TCB signer verifies its signature");
    return result;
  }
  const std::array chain{*signer.certificate, *signer.root};
  result.signature = examine_class(chain, rules.store);
  const auto& facts = judge_signer(signer, rules, kept);
  const auto& path = facts.path;
  const auto& revocation = facts.revocation;
  if (path.path != crypto::PathFault::kNone ||
      chain[0].signature_algorithm() != crypto::kEcdsaSha256) {
    result.signature = found(
        reasons.forged, "its signer's certificate does not lead to the root: " + path.path_detail);
  }
  if (path.time != crypto::TimeFault::kNone) {
    result.time = found(reasons.stale, "its signer: " + path.time_detail);
  }
  result.revocation = revocation.finding;
  result.validity = crypto::validity_of(chain);
  result.validity.narrow(revocation.window);
  return result;
}

template <typename T>
std::optional<Finding> examine_window(const T& content, const TdxRules& rules, Reason stale) {
  if (rules.now < content.issued || rules.now > content.next_update + rules.grace) {
    return found(stale, "it is for " + crypto::to_text(content.issued) + " to " +
                            crypto::to_text(content.next_update) + ", not for " +
                            crypto::to_text(rules.now));
  }
  return std::nullopt;
}

// Makes the checks `NAME.fit`, `.signature`, `.time` and `.revocation` of a document.
template <typename T>
void judge_document(const std::string& name, const Picked<T>& picked, const TdxRules& rules,
                    const DocumentReasons& reasons, std::optional<JudgedSigner>& signer,
                    JudgedTdxCollateral& judged, Checklist& list) {
  list.judge(name + ".fit", picked.finding);
  if (!picked.content) {
    for (const char* rest : {".signature", ".time", ".revocation"}) {
      list.not_run(name + rest, "there is no document for this platform");
    }
    return;
  }
  auto authenticity = examine_authenticity(*picked.document, rules, reasons, signer);
  list.judge(name + ".signature", authenticity.signature);
  auto window = examine_window(*picked.content, rules, reasons.stale);
  list.judge(name + ".time", window ? window : authenticity.time);
  if (authenticity.signature) {
    list.not_run(name + ".revocation", "its signer is not known");
  } else {
    list.judge(name + ".revocation", authenticity.revocation);
  }
  judged.validity.narrow(authenticity.validity);
  judged.validity.narrow({picked.content->issued, picked.content->next_update + rules.grace});
}

}  // namespace

bool JudgedTdxCollateral::trusted() const { return stands(checks); }

JudgedTdxCollateral judge_tdx_collateral(const std::optional<crypto::SgxExtension>& platform,
                                         const TdxRules& rules) {
  JudgedTdxCollateral judged;
  Checklist list;
  const auto is_for_platform = [&](const TcbInfo& info) -> std::optional<std::string> {
    if (!platform) {
      return "the platform is not known";
    }
    if (info.fmspc != platform->fmspc || info.pce_id != platform->pce_id) {
      return "it is for FMSPC " + base::to_hex(info.fmspc) + " and PCE " +
             base::to_hex(info.pce_id) + ", the platform is " + base::to_hex(platform->fmspc) +
             " and " + base::to_hex(platform->pce_id);
    }
    return std::nullopt;
  };
  const auto is_for_all = [](const QeIdentity&) { return std::optional<std::string>(); };
  auto tcb_info = pick<TcbInfo>(rules.collateral.tcb_infos, decode_tcb_info, is_for_platform,
                                kTcbInfoReasons, rules.now);
  auto qe_identity = pick<QeIdentity>(rules.collateral.qe_identities, decode_qe_identity,
                                      is_for_all, kQeIdentityReasons, rules.now);
  std::optional<JudgedSigner> signer;
  judge_document("tdx.tcb_info", tcb_info, rules, kTcbInfoReasons, signer, judged, list);
  judge_document("tdx.qe_identity", qe_identity, rules, kQeIdentityReasons, signer, judged, list);
  judged.tcb_info = std::move(tcb_info.content);
  judged.qe_identity = std::move(qe_identity.content);
  judged.checks = std::move(list).take();
  return judged;
}

}  // namespace keybroker::evidence
