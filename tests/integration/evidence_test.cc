// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <map>

#include "tests/integration/evidence_fields.h"
#include "tests/integration/evidence_item.h"

// Every captured piece of evidence gets the verdict, the reason and the fields of its manifest. The
// manifest is read for what it says, not for its ids, so another set of the same kinds runs as
// well.
namespace tests::integration {
namespace {

// What the words of a reason to refuse stand for: each must be found by one of these reasons, or
// without one, by a check of this stage.
struct Wanted {
  std::string words;
  std::vector<Reason> reasons;
  Stage stage = Stage::kPolicy;

  [[nodiscard]] bool among(const std::vector<Check>& checks) const {
    return std::ranges::any_of(checks, [&](const Check& check) {
      return check.reason &&
             (reasons.empty() ? card(*check.reason).stage == stage
                              : std::ranges::find(reasons, *check.reason) != reasons.end());
    });
  }
};

std::vector<Wanted> wanted_of(const Item& item) {
  const bool tdx = item.text("tee") == "tdx";
  const std::vector<Wanted> all{
      {"debug", {tdx ? Reason::kTdxDebug : Reason::kSnpDebugAllowed}},
      {"migrat", {tdx ? Reason::kTdxAttributes : Reason::kSnpMigrationAllowed}},
      {"hwid in the vcek differs", {Reason::kSnpChipMismatch}},
      {"report signature does not verify", {Reason::kSnpSignatureInvalid}},
      {"certificate signature does not verify", {Reason::kSnpChainBroken}},
      {"the tcb is not supported", {Reason::kTdxTcbUnsupported}},
      {"outofdate", {Reason::kTdxTcbStatus}},
      {"extradata is empty", {Reason::kNonceEmpty}},
      {"empty extradata", {Reason::kNonceEmpty}},
      {"vmpl", {Reason::kSnpVmplRefused, Reason::kSnpVmplRange}},
      {"intermediate is revoked", {Reason::kSnpIntermediateRevoked}},
      {"pck certificate is revoked", {Reason::kTdxPckRevoked}},
      {"revoked", {}, Stage::kRevoked},
      {"expired", {}, Stage::kStale},
      {"stale", {}, Stage::kStale}};
  const auto said = lower(item.text("reject_reason") + " " + item.text("expected_verdict"));
  std::vector<Wanted> wanted;
  std::ranges::copy_if(all, std::back_inserter(wanted), [&](const Wanted& each) {
    return said.find(each.words) != std::string::npos;
  });
  return wanted;
}

// Whether this is the set that these tests were written for, and not another of its form.
bool is_usual_set() {
  const char* other = std::getenv("STRONGROOM_EVIDENCE_VECTORS");
  return other == nullptr || *other == '\0';
}

// The list of the authority over the one that issued this certificate.
std::optional<keybroker::crypto::Crl> list_over(const Certificate& leaf, const Evidence& evidence,
                                                const Collateral& collateral) {
  for (const auto* authorities : {&evidence.snp_certificates, &collateral.snp_authorities}) {
    for (const auto& authority : *authorities) {
      for (const auto& list : collateral.snp_crls) {
        if (authority.subject_der() == leaf.issuer_der() &&
            authority.issuer_der() == list.issuer_der()) {
          return list;
        }
      }
    }
  }
  return std::nullopt;
}

class EvidenceVectorsTest : public tests::support::EvidenceVectors {
 protected:
  void SetUp() override {
    EvidenceVectors::SetUp();
    if (!IsSkipped() && !HasFatalFailure()) {
      manifest_ = json::parse(text_of(read_evidence_vector("manifest.json"))).as_object();
    }
  }

  // for_each() runs a test on the items of some kinds, and expects that the usual set has any.
  template <typename Run>
  void for_each(const std::vector<std::string>& kinds, Run run) const {
    std::size_t count = 0;
    for (const auto& object : manifest_.at("items").as_array()) {
      const std::string kind(object.at("kind").as_string());
      if (std::ranges::find(kinds, kind) != kinds.end()) {
        const Item item(object.as_object());
        SCOPED_TRACE(item.text("id"));
        ++count;
        try {
          run(item);
        } catch (const std::exception& error) {
          ADD_FAILURE() << "it cannot be read: " << error.what();
        }
      }
    }
    if (is_usual_set()) {
      EXPECT_GE(count, kinds.size());
    }
  }

  static Verdict judge(const Item& item, const Evidence& evidence, const Policy& policy,
                       keybroker::crypto::Time now) {
    return verify(evidence, policy, collateral_of(item), TrustStore::production(), now);
  }

  json::object manifest_;
};

const std::vector<std::string> kVerified{"report", "azure-hcl", "tpm-quote", "quote"};

// What no test looks at would pass whatever it is.
TEST_F(EvidenceVectorsTest, AreAllOfAKindThatIsTested) {
  for (const auto& item : manifest_.at("items").as_array()) {
    auto known = kVerified;
    known.insert(known.end(), {"tdreport", "certificate", "collateral", "event-log"});
    const std::string kind(item.at("kind").as_string());
    EXPECT_NE(std::ranges::find(known, kind), known.end()) << kind << " of " << item.at("id");
  }
}

TEST_F(EvidenceVectorsTest, GetTheVerdictOfTheirManifest) {
  for_each(kVerified, [](const Item& item) {
    const auto evidence = evidence_of(item);
    const auto verdict = judge(item, evidence, policy_of(item, evidence), item.time());
    if (!item.passes()) {
      EXPECT_FALSE(verdict.accepted);
      const auto wanted = wanted_of(item);
      for (const auto& each : wanted) {
        EXPECT_TRUE(each.among(verdict.checks)) << each.words << describe(verdict);
      }
      // A refusal for a reason that is not understood here would pass for any other.
      EXPECT_FALSE(is_usual_set() && wanted.empty()) << item.text("reject_reason");
    } else if (item.says("no collateral")) {
      // All that is left to decide needs what is not in the set.
      EXPECT_FALSE(verdict.accepted);
      for (const auto& check : verdict.checks) {
        EXPECT_TRUE(check.outcome != Outcome::kFail || check.reason == Reason::kTdxTcbInfoMissing ||
                    check.reason == Reason::kTdxQeIdentityMissing ||
                    check.reason == Reason::kTdxCrlMissing)
            << describe(verdict);
      }
    } else {
      EXPECT_TRUE(verdict.accepted) << describe(verdict);
    }
  });
}

TEST_F(EvidenceVectorsTest, GiveTheFieldsOfTheirManifest) {
  for_each(kVerified, [](const Item& item) {
    if (!item.passes() && item.fields().empty()) {
      return;  // it may be nothing that can be read
    }
    const auto evidence = evidence_of(item);
    auto policy = policy_of(item, evidence);
    const auto verdict = judge(item, evidence, policy, item.time());
    Flat told;
    std::size_t least = 3;
    if (evidence.snp_report) {
      told.merge(tell_snp(*evidence.snp_report, ""));
      told.merge(tell_endorsement(item, evidence.snp_certificates.front(), ""));
      least = 25;
    }
    if (evidence.td_quote) {
      told.merge(tell_quote(*evidence.td_quote));
      least = 30;
    }
    if (evidence.hcl_report) {
      const auto hcl = decode_hcl_report(*evidence.hcl_report);
      const bool nested = item.fields().contains("hcl");
      told.merge(tell_hcl(*evidence.hcl_report, nested ? "hcl." : ""));
      if (hcl->type == HclReportType::kSnp) {
        told.merge(tell_snp(hcl->hardware_report, "snp."));
      }
      least = 15;
    }
    if (verdict.claims) {
      if (verdict.claims->tdx) {
        told.merge(tell_tdx_claims(*verdict.claims->tdx));
        expect_date(item, *verdict.claims->tdx);
      }
    }
    for (const auto& each : evidence.quotes) {
      if (const auto quote = read_quote(each)) {
        for (const char* prefix : {"", "tpm_quote.", "hcl.tpm_quote."}) {
          told.merge(tell_tpm_quote(*quote, prefix));
        }
      }
    }
    expect_fields(item, told, least);
  });
}

// A verdict is of its time: what has run out since is stale, and nothing else is wrong with it.
TEST_F(EvidenceVectorsTest, AreStaleOnceTheirCertificatesOrCollateralAre) {
  const auto later = *keybroker::crypto::parse_time("2026-11-21T00:00:00Z");
  for_each(kVerified, [&](const Item& item) {
    if (!item.passes() ||
        (!item.flag("expired_on_2026_11_21") && !item.flag("collateral_expired_on_2026_11_21"))) {
      return;
    }
    const auto evidence = evidence_of(item);
    const auto verdict = judge(item, evidence, policy_of(item, evidence), later);
    EXPECT_FALSE(verdict.accepted);
    for (const auto& check : verdict.checks) {
      EXPECT_TRUE(check.outcome != Outcome::kFail || card(*check.reason).stage == Stage::kStale)
          << describe(verdict);
    }
  });
}

// Section 5.1 of everybody's list: no nonce, another one, and a prefix of the right one.
TEST_F(EvidenceVectorsTest, AreRefusedForAnotherNonce) {
  for_each({"tpm-quote"}, [](const Item& item) {
    const auto evidence = evidence_of(item);
    auto policy = policy_of(item, evidence);
    if (!item.passes() || !policy.nonce.is_list() || policy.nonce.values.front().empty()) {
      return;
    }
    auto cut = policy.nonce.values.front();
    cut.pop_back();
    auto longer = policy.nonce.values.front();
    longer.push_back(std::byte{0});
    for (const auto& nonce : {base::Bytes(), cut, longer}) {
      policy.nonce = Expectation::one_of({nonce});
      EXPECT_EQ(judge(item, evidence, policy, item.time()).reason, Reason::kNonceMismatch);
    }
    policy.nonce = {};
    EXPECT_EQ(judge(item, evidence, policy, item.time()).reason, Reason::kNonceUnpinned);
  });
}

// What a manifest says beside its first verdict.
TEST_F(EvidenceVectorsTest, AreRefusedByThePoliciesThatTheManifestNames) {
  for_each({"report", "quote"}, [](const Item& item) {
    const auto evidence = evidence_of(item);
    auto policy = policy_of(item, evidence);
    const auto reason = [&](const Policy& asked) {
      return judge(item, evidence, asked, item.time()).reason;
    };
    if (item.says("committed TCB == current TCB must REJECT")) {
      auto strict = policy;
      strict.snp.require_committed_equals_current = true;
      EXPECT_EQ(reason(strict), Reason::kSnpCommittedBehind);
    }
    if (item.says("REJECT when the policy requires a VCEK or VMPL 0")) {
      auto strict = policy;
      strict.snp.signers = {SnpSigningKey::kVcek};
      EXPECT_EQ(reason(strict), Reason::kSnpSignerRefused);
      strict = policy;
      strict.snp.vmpls = {0};
      EXPECT_EQ(reason(strict), Reason::kSnpVmplRefused);
    }
    if (item.has_file("cc_event_log") &&
        item.text("notes").find("SecureBoot variable in the log is 0") != std::string::npos) {
      policy.boot.emplace().require_secure_boot = true;
      EXPECT_TRUE(
          has_failure(judge(item, evidence, policy, item.time()), Reason::kBootSecureBootOff));
    }
  });
}

TEST_F(EvidenceVectorsTest, ABareTdReportIsNoEvidence) {
  for_each({"tdreport"}, [](const Item& item) {
    const auto evidence = evidence_of(item);
    const auto verdict = judge(item, evidence, policy_of(item, evidence), item.time());
    EXPECT_EQ(verdict.reason, Reason::kTdReportIsNoEvidence) << describe(verdict);
    const auto report = decode_td_report(*evidence.td_report);
    ASSERT_TRUE(report) << report.error().message;
    Told told;
    told.hex("cpusvn", report->cpu_svn);
    told.hex("report_data", report->report_data);
    told.hex("tee_tcb_svn", report->tee_tcb_svn);
    told.hex("mr_seam", report->mr_seam);
    told.hex("mr_td", report->mr_td);
    told.hex("mr_config_id", report->mr_config_id);
    told.hex("mr_owner", report->mr_owner);
    told.hex("mr_owner_config", report->mr_owner_config);
    for (std::size_t i = 0; i < report->rtmr.size(); ++i) {
      told.hex("rtmr" + std::to_string(i), report->rtmr.at(i));
    }
    expect_fields(item, told.flat, 10);
  });
}

TEST_F(EvidenceVectorsTest, CertificatesGetTheVerdictOfTheirManifest) {
  for_each({"certificate"}, [](const Item& item) {
    const auto evidence = evidence_of(item);
    const auto collateral = collateral_of(item);
    if (!evidence.snp_certificates.empty()) {
      const auto chain = judge_snp_chain(
          evidence.snp_certificates,
          {TrustStore::production(), collateral.snp_crls, CrlRule::kOff, item.time()});
      EXPECT_EQ(chain.trusted(), item.passes());
      for (const auto& each : wanted_of(item)) {
        EXPECT_TRUE(item.passes() || each.among(chain.checks)) << each.words;
      }
      expect_fields(item, tell_endorsement(item, evidence.snp_certificates.front(), ""), 1);
      return;
    }
    // The authority that is in the set stands for the root that is not.
    AkAuthorities authorities;
    if (item.has_file("intermediate")) {
      authorities.roots = {must(Certificate::decode(item.file("intermediate")))};
    }
    AkPolicy policy;
    policy.purposes.clear();
    const auto checks_at = [&](keybroker::crypto::Time now) {
      Checklist list;
      judge_ak(evidence.ak, {}, authorities, policy, now, list);
      std::map<std::string, Outcome> outcomes;
      for (const auto& check : list.checks()) {
        outcomes[check.name] = check.outcome;
      }
      return outcomes;
    };
    auto outcomes = checks_at(item.time());
    EXPECT_EQ(outcomes["ak.certificate"], Outcome::kPass);
    EXPECT_EQ(outcomes["ak.certificate.time"], Outcome::kPass);
    EXPECT_EQ(outcomes["ak.certificate.path"],
              item.has_file("intermediate") ? Outcome::kPass : Outcome::kNotAsked);
    outcomes = checks_at(*keybroker::crypto::parse_time("2026-11-21T00:00:00Z"));
    EXPECT_EQ(outcomes["ak.certificate.time"],
              item.flag("expired_on_2026_11_21") || item.says("expired") ? Outcome::kFail
                                                                         : Outcome::kPass);
  });
}

TEST_F(EvidenceVectorsTest, RevocationListsSayWhatTheirManifestSays) {
  for_each({"collateral"}, [](const Item& item) {
    if (!item.has_file("crl") || !item.has_file("issuer")) {
      const auto tdx = collateral_of(item).tdx;
      EXPECT_TRUE(!tdx.tcb_infos.empty() || !tdx.crls.empty()) << "collateral of a new form";
      return;
    }
    const auto crl = keybroker::crypto::Crl::decode(item.file("crl"));
    ASSERT_TRUE(crl) << crl.error().message;
    std::vector<Certificate> authorities;
    add_pem(authorities, text_of(item.file("issuer")));
    const auto& root = authorities.back();
    EXPECT_TRUE(crl->verify(*root.public_key()));
    EXPECT_FALSE(authorities.size() > 1 && crl->verify(*authorities.front().public_key()));
    const bool revoked = item.says("is revoked");
    EXPECT_EQ(crl->revokes(authorities.front()), revoked);
    const auto& fields = item.fields();
    if (const auto* entries = fields.if_contains("revoked")) {
      ASSERT_EQ(crl->entries().size(), entries->as_array().size());
      for (const auto& entry : entries->as_array()) {
        const std::string serial(entry.at(0).as_string());
        EXPECT_TRUE(std::ranges::any_of(crl->entries(), [&](const auto& listed) {
          const auto digits = base::to_hex(listed.serial);
          return "0x" + digits.substr(digits.find_first_not_of('0')) == serial;
        })) << serial;
      }
    }
    // The manifest writes an offset where we write Z.
    const auto expect_time = [&](const char* name, keybroker::crypto::Time time) {
      if (const auto* told = fields.if_contains(name)) {
        EXPECT_EQ(keybroker::crypto::to_text(time).substr(0, 19),
                  std::string(told->as_string()).substr(0, 19));
      }
    };
    expect_time("this_update", crl->this_update());
    expect_time("next_update", crl->next_update());
  });
}

// With the lists that the manifest has, and the time that it has them for.
TEST_F(EvidenceVectorsTest, ReportsAreRefusedWithoutAFreshListWhereOneIsRequired) {
  std::vector<keybroker::crypto::Crl> crls;
  for_each({"collateral"}, [&](const Item& item) {
    if (item.text("tee") == "snp" && item.has_file("crl")) {
      crls.push_back(must(keybroker::crypto::Crl::decode(item.file("crl"))));
    }
  });
  std::size_t listed = 0;
  for_each({"report"}, [&](const Item& item) {
    if (!item.passes()) {
      return;
    }
    const auto evidence = evidence_of(item);
    auto policy = policy_of(item, evidence);
    policy.snp.crl = CrlRule::kRequired;
    auto collateral = collateral_of(item);
    const auto reason_at = [&](keybroker::crypto::Time now) {
      return verify(evidence, policy, collateral, TrustStore::production(), now).reason;
    };
    EXPECT_EQ(reason_at(item.time()), Reason::kSnpCrlMissing);
    collateral.snp_crls = crls;
    const auto& leaf = evidence.snp_certificates.front();
    const auto list = list_over(leaf, evidence, collateral);
    if (!list) {
      EXPECT_EQ(reason_at(item.time()), Reason::kSnpCrlMissing);
      return;
    }
    const auto from = std::max(list->this_update(), leaf.not_before());
    const auto until = std::min(list->next_update(), leaf.not_after());
    if (from > until) {
      EXPECT_EQ(reason_at(item.time()), Reason::kSnpCrlStale);
      return;
    }
    EXPECT_EQ(reason_at(from), std::nullopt);
    ++listed;
  });
  EXPECT_FALSE(is_usual_set() && listed == 0);
}

// The boot that a log tells of. Nothing vouches for these logs but the values of the manifest.
TEST_F(EvidenceVectorsTest, EventLogsTellOfSecureBoot) {
  for_each({"event-log"}, [](const Item& item) {
    const auto log = decode_event_log(item.file("event_log"));
    ASSERT_TRUE(log) << log.error().message;
    const auto& fields = item.fields();
    if (const auto* algorithms = fields.if_contains("algorithms")) {
      Flat wanted;
      flatten(*algorithms, "", wanted);
      Told told;
      for (const auto& algorithm : log->algorithms) {
        base::U16Be id;
        id = algorithm.id;
        const auto digits = base::to_hex(base::view(id));
        told.number("0x" + digits.substr(digits.find_first_not_of('0')), algorithm.digest_bytes);
      }
      EXPECT_EQ(told.flat, wanted);
    }
    const bool has_sha256 = log->has_bank(tpm_of_hash(keybroker::crypto::Hash::kSha256));
    const auto state = read_secure_boot(
        *log, has_sha256 ? keybroker::crypto::Hash::kSha256 : keybroker::crypto::Hash::kSha384,
        Registers::kPcrs);
    if (const auto* told = fields.if_contains("dbx_bytes"); told != nullptr && state.dbx) {
      const auto event = std::ranges::find(log->events, state.dbx->event, &LogEvent::number);
      ASSERT_NE(event, log->events.end());
      EXPECT_EQ(must(decode_efi_variable(event->data)).content.size(),
                told->to_number<std::size_t>());
    }
    if (const auto* told = fields.if_contains("authority_events")) {
      EXPECT_EQ(state.authorities.size(), told->to_number<std::size_t>());
    }
    if (!fields.contains("secure_boot_variable")) {
      return;
    }
    const bool on = fields.at("secure_boot_variable").as_string() == "01";
    EXPECT_EQ(state.enabled, on);
    EXPECT_FALSE(state.data);
    BootPolicy policy;
    policy.require_secure_boot = true;
    Checklist list;
    judge_boot(state, policy, list);
    if (!on) {
      EXPECT_EQ(list.first_failure()->reason, Reason::kBootSecureBootOff);
    } else if (item.passes()) {
      EXPECT_TRUE(list.accepted());
    }
  });
}

}  // namespace
}  // namespace tests::integration
