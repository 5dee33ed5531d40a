// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/tdx_verification.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>

#include "tests/support/evidence_vectors.h"

namespace keybroker::evidence {
namespace {

using tests::support::read_evidence_vector;

// Captured quotes, each with the collateral of its month. Each test spoils one thing.
class TdxVerificationVectorsTest : public tests::support::EvidenceVectors {
 protected:
  struct Case {
    base::Bytes quote;
    TdxCollateral collateral{};
    TdxPolicy policy{};
    std::string now;
  };

  struct Judged {
    Checklist list;
    std::optional<TdxClaims> claims;

    // The code of the first failure, or "accepted".
    [[nodiscard]] std::string reason() const {
      if (const auto* failed = list.first_failure()) {
        return std::string(card(*failed->reason).code);
      }
      return list.accepted() ? "accepted" : "not everything could be checked";
    }

    [[nodiscard]] Check check(const std::string& name) const {
      const auto found = std::ranges::find(list.checks(), name, &Check::name);
      EXPECT_NE(found, list.checks().end()) << name;
      return found == list.checks().end() ? Check{} : *found;
    }

    [[nodiscard]] Outcome outcome(const std::string& name) const { return check(name).outcome; }
  };

  static std::string text(const std::string& name) {
    const auto bytes = read_evidence_vector(name);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  static TdxCollateral collateral(const std::string& folder, const std::string& tcb_info,
                                  const std::string& qe_identity) {
    TdxCollateral result;
    result.tcb_infos = {*decode_signed_document(text(folder + tcb_info), "tcbInfo")};
    result.qe_identities = {*decode_signed_document(text(folder + qe_identity), "enclaveIdentity")};
    result.signers = *crypto::decode_pem_certificates(text(folder + "tcb_signing_chain.pem"), 2);
    for (const char* name : {"root_ca_crl.der", "pck_crl_platform.der"}) {
      result.crls.push_back(*crypto::Crl::decode(read_evidence_vector(folder + name)));
    }
    return result;
  }

  static Case v5() {
    return {
        read_evidence_vector("tdx/v5-uptodate.quote.bin"),
        collateral("tdx/collateral-2026-03/", "tcb_info_90c06f000000.json", "td_qe_identity.json"),
        TdxPolicy{.mr_td = Expectation::any()}, "2026-04-01T00:00:00Z"};
  }

  // Its collateral has bodies and signatures apart, and CRLs in hexadecimal digits.
  static Case v4() {
    Case input{read_evidence_vector("tdx/v4-uptodate.quote.bin"),
               {},
               TdxPolicy{.mr_td = Expectation::any()},
               "2025-07-01T00:00:00Z"};
    const auto json = boost::json::parse(text("tdx/v4-uptodate.collateral.json"));
    const auto field = [&](const char* name) { return std::string(json.at(name).as_string()); };
    auto& collateral = input.collateral;
    collateral.tcb_infos = {*signed_document(field("tcb_info"), field("tcb_info_signature"))};
    collateral.qe_identities = {
        *signed_document(field("qe_identity"), field("qe_identity_signature"))};
    collateral.signers = *crypto::decode_pem_certificates(field("tcb_info_issuer_chain"), 2);
    for (const char* name : {"root_ca_crl", "pck_crl"}) {
      collateral.crls.push_back(*crypto::Crl::decode(*base::from_hex(field(name))));
    }
    return input;
  }

  static Case unsupported() {
    return {read_evidence_vector("tdx/neg-v4-tcb-unsupported.quote.bin"),
            collateral("tdx/collateral-2023-06/", "tcb_info.json", "qe_identity.json"),
            TdxPolicy{.mr_td = Expectation::any()}, "2023-07-01T00:00:00Z"};
  }

  static Judged judge(const Case& input) {
    Judged judged;
    const auto now = *crypto::parse_time(input.now);
    const TdxRules rules{TrustStore::production(), input.collateral, now, input.policy.grace};
    const auto read = read_td_quote(input.quote);
    const auto chain = judge_pck_chain(read.quote ? read.quote->pck_chain : "", rules);
    const auto judged_collateral = judge_tdx_collateral(chain.platform, rules);
    judged.claims =
        judge_td_quote(input.quote, read, chain, judged_collateral, input.policy, now, judged.list);
    return judged;
  }

  static std::string reason(const Case& input) { return judge(input).reason(); }

  // A quote put together anew after one part of it was changed.
  template <typename Change>
  static Case changed(Case input, Change change) {
    auto quote = *read_td_quote(input.quote).quote;
    change(quote);
    input.quote = encode(quote);
    return input;
  }
};

TEST_F(TdxVerificationVectorsTest, AcceptsGenuineQuotesOfBothVersions) {
  EXPECT_EQ(reason(v4()), "accepted");
  EXPECT_EQ(reason(v5()), "accepted");
  const auto judged = judge(v4());
  EXPECT_EQ(judged.claims->tcb->status, TcbStatus::kUpToDate);
  EXPECT_EQ(judged.claims->module_status, TcbStatus::kUpToDate);
  EXPECT_EQ(judged.claims->evaluation_number, 17U);
  EXPECT_EQ(crypto::to_text(*judged.claims->collateral_until), "2025-07-19T10:00:35Z");
  EXPECT_EQ(base::to_hex(judged.claims->platform->fmspc), "b0c06f000000");
}

// T1: every byte that is signed.
TEST_F(TdxVerificationVectorsTest, RefusesEveryFlippedByte) {
  const auto input = v5();
  const auto now = *crypto::parse_time(input.now);
  const TdxRules rules{TrustStore::production(), input.collateral, now};
  const auto good = read_td_quote(input.quote);
  const auto chain = judge_pck_chain(good.quote->pck_chain, rules);
  const auto documents = judge_tdx_collateral(chain.platform, rules);
  for (std::size_t i = 0; i < good.quote->signed_bytes(); ++i) {
    auto bytes = input.quote;
    bytes[i] ^= std::byte{0x10};
    const auto read = read_td_quote(bytes);
    Checklist list;
    judge_td_quote(bytes, read, chain, documents, input.policy, now, list);
    EXPECT_FALSE(list.accepted()) << i;
    if (read.quote) {
      const auto signature = std::ranges::find(list.checks(), "tdx.quote.signature", &Check::name);
      EXPECT_EQ(signature->outcome, Outcome::kFail) << i;
    }
  }
}

// T2.
TEST_F(TdxVerificationVectorsTest, RefusesTheQeReportOfAnotherQuote) {
  const auto other = *read_td_quote(v4().quote).quote;
  EXPECT_EQ(reason(changed(v5(),
                           [&](TdQuote& quote) {
                             quote.qe_report = other.qe_report;
                             quote.qe_report_signature = other.qe_report_signature;
                           })),
            "tdx-qe-binding");
}

// T3.
TEST_F(TdxVerificationVectorsTest, RefusesAnotherAttestationKeyOrAuthenticationData) {
  const auto other = *read_td_quote(v4().quote).quote;
  EXPECT_EQ(reason(changed(v5(), [&](TdQuote& q) { q.attestation_key = other.attestation_key; })),
            "tdx-qe-binding");
  EXPECT_EQ(reason(changed(v5(), [](TdQuote& q) { q.qe_auth_data[0] ^= std::byte{1}; })),
            "tdx-qe-binding");
  EXPECT_EQ(reason(changed(v5(), [](TdQuote& q) { q.qe_auth_data.clear(); })), "tdx-qe-binding");
  for (std::size_t i = 32; i < 64; ++i) {
    EXPECT_EQ(reason(changed(v5(), [&](TdQuote& q) { q.qe_report.report_data[i] = std::byte{1}; })),
              "tdx-qe-binding");
  }
}

// T4: only the signature over the QE report tells platforms apart.
TEST_F(TdxVerificationVectorsTest, RefusesThePckChainOfAnotherPlatform) {
  auto input = v5();
  const auto other = *read_td_quote(read_evidence_vector("tdx/v4-ccel.quote.bin")).quote;
  input = changed(input, [&](TdQuote& quote) { quote.pck_chain = other.pck_chain; });
  const auto judged = judge(input);
  EXPECT_EQ(judged.outcome("tdx.chain.path"), Outcome::kPass);
  EXPECT_EQ(judged.check("tdx.qe.signature").reason, Reason::kTdxQeSignature);
  EXPECT_EQ(judged.reason(), "tdx-qe-signature");
}

TEST_F(TdxVerificationVectorsTest, RefusesEverySpoiltSignature) {
  for (const std::size_t i : {0U, 31U, 32U, 63U}) {
    EXPECT_EQ(reason(changed(v4(), [&](TdQuote& q) { q.signature[i] ^= std::byte{1}; })),
              "tdx-quote-signature");
    EXPECT_EQ(reason(changed(v4(), [&](TdQuote& q) { q.qe_report_signature[i] ^= std::byte{1}; })),
              "tdx-qe-signature");
  }
}

// T6, T8, T9: lengths, versions and types. What the format alone refuses is tried in td_quote_test.
TEST_F(TdxVerificationVectorsTest, NamesWhatIsWrongWithTheFormat) {
  const auto with = [](const Case& good, std::size_t offset, std::uint8_t value) {
    auto input = good;
    input.quote[offset] = std::byte{value};
    return reason(input);
  };
  EXPECT_EQ(with(v4(), 0, 3), "tdx-quote-body");
  EXPECT_EQ(with(v4(), 0, 5), "tdx-quote-body");
  EXPECT_EQ(with(v5(), 0, 4), "tdx-quote-lengths");
  EXPECT_EQ(with(v5(), 48, 2), "tdx-quote-body");
  EXPECT_EQ(with(v5(), 48, 1), "tdx-quote-body");
  EXPECT_EQ(with(v4(), 2, 3), "tdx-quote-header");
  EXPECT_EQ(with(v4(), 4, 0), "tdx-quote-header");
  EXPECT_EQ(with(v4(), 12, 0), "tdx-quote-header");
  EXPECT_EQ(with(v4(), 632, 0), "tdx-quote-lengths");
  EXPECT_EQ(with(v4(), 636 + 128, 5), "tdx-quote-lengths");
}

// T7: the bytes behind a genuine quote.
TEST_F(TdxVerificationVectorsTest, RefusesBytesBehindTheQuoteAndStillJudgesIt) {
  auto input = v4();
  input.quote.back() = std::byte{1};
  const auto judged = judge(input);
  EXPECT_EQ(judged.reason(), "tdx-quote-padding");
  EXPECT_EQ(judged.outcome("tdx.quote.signature"), Outcome::kPass);

  input = v4();
  input.quote.resize(input.quote.size() + kMaxTdQuotePadding);
  EXPECT_EQ(reason(input), "tdx-quote-padding");
}

// T11, with a genuine machine that never was good enough.
TEST_F(TdxVerificationVectorsTest, RefusesAPlatformBelowEveryLevel) {
  auto input = unsupported();
  EXPECT_EQ(reason(input), "tdx-quote-padding");
  EXPECT_EQ(judge(input).check("tdx.tcb.platform").reason, Reason::kTdxTcbUnsupported);

  input = changed(input, [](TdQuote&) {});
  const auto judged = judge(input);
  EXPECT_EQ(judged.reason(), "tdx-tcb-unsupported");
  for (const char* name :
       {"tdx.chain.path", "tdx.crl.root", "tdx.crl.pck", "tdx.qe.signature", "tdx.quote.signature",
        "tdx.tcb_info.signature", "tdx.qe_identity.signature", "tdx.tcb.qe"}) {
    EXPECT_EQ(judged.outcome(name), Outcome::kPass) << name;
  }
  EXPECT_EQ(judged.outcome("tdx.tcb.status"), Outcome::kNotRun);
  input.policy.attributes.required = 1ULL << 28;
  EXPECT_EQ(judge(input).check("tdx.policy.attributes").reason, Reason::kTdxAttributes);
}

// T14.
TEST_F(TdxVerificationVectorsTest, RefusesTheCollateralOfAnotherPlatform) {
  auto input = v5();
  input.collateral.tcb_infos = v4().collateral.tcb_infos;
  EXPECT_EQ(reason(input), "tdx-tcb-info-other");

  // What fits is picked from among others, whatever the order.
  input.collateral.tcb_infos.push_back(v5().collateral.tcb_infos[0]);
  EXPECT_EQ(reason(input), "accepted");
  std::ranges::reverse(input.collateral.tcb_infos);
  EXPECT_EQ(reason(input), "accepted");

  input = v5();
  input.collateral.qe_identities = v5().collateral.tcb_infos;
  EXPECT_EQ(reason(input), "tdx-qe-identity-other");
  input.collateral.tcb_infos = v5().collateral.qe_identities;
  EXPECT_EQ(reason(input), "tdx-tcb-info-other");
}

// T15.
TEST_F(TdxVerificationVectorsTest, RefusesEveryOtherByteOfTheCollateral) {
  const auto good = v5();
  auto input = good;
  auto& body = input.collateral.tcb_infos[0].body;
  body.replace(body.find("\"UpToDate\""), 10, "\"upToDate\"");
  EXPECT_EQ(reason(input), "tdx-tcb-info-malformed");

  input = good;
  auto& date = input.collateral.tcb_infos[0].body;
  date.replace(date.find("2026-04-15"), 10, "2036-04-15");
  EXPECT_EQ(reason(input), "tdx-tcb-info-forged");

  // The same document with other white space.
  input = good;
  input.collateral.tcb_infos[0].body.insert(1, " ");
  EXPECT_EQ(reason(input), "tdx-tcb-info-forged");

  input = good;
  std::swap(input.collateral.tcb_infos[0].signature, input.collateral.qe_identities[0].signature);
  EXPECT_EQ(reason(input), "tdx-tcb-info-forged");
  EXPECT_EQ(judge(input).check("tdx.qe_identity.signature").reason, Reason::kTdxQeIdentityForged);

  input = good;
  input.collateral.signers.pop_back();
  EXPECT_EQ(reason(input), "tdx-tcb-info-forged");
}

// T16.
TEST_F(TdxVerificationVectorsTest, RefusesStaleCollateral) {
  auto input = v4();
  input.now = "2026-11-21T00:00:00Z";
  const auto judged = judge(input);
  EXPECT_EQ(judged.reason(), "tdx-crl-stale");
  EXPECT_EQ(judged.check("tdx.tcb_info.time").reason, Reason::kTdxTcbInfoStale);
  EXPECT_EQ(judged.check("tdx.qe_identity.time").reason, Reason::kTdxQeIdentityStale);
  EXPECT_EQ(judged.outcome("tdx.chain.time"), Outcome::kPass);

  input.now = "2025-06-19T10:16:02Z";  // a second before the TCB info
  EXPECT_EQ(judge(input).check("tdx.tcb_info.time").reason, Reason::kTdxTcbInfoStale);

  // The shortest window is that of the PCK's revocation list, then comes the TCB info's.
  input.now = "2025-07-19T10:00:35Z";
  EXPECT_EQ(reason(input), "accepted");
  input.now = "2025-07-19T10:00:36Z";
  EXPECT_EQ(reason(input), "tdx-crl-stale");
  EXPECT_EQ(judge(input).outcome("tdx.tcb_info.time"), Outcome::kPass);
  input.now = "2025-07-19T10:16:04Z";
  EXPECT_EQ(judge(input).outcome("tdx.tcb_info.time"), Outcome::kFail);
  input.policy.grace = std::chrono::hours(24);
  EXPECT_EQ(reason(input), "accepted");

  input = v4();
  input.policy.min_evaluation_number = 17;
  EXPECT_EQ(reason(input), "accepted");
  input.policy.min_evaluation_number = 18;
  EXPECT_EQ(reason(input), "tdx-evaluation-too-old");
}

// T17, the part that needs no list of our own.
TEST_F(TdxVerificationVectorsTest, RefusesMissingAndForeignRevocationLists) {
  auto input = v5();
  input.collateral.crls.clear();
  const auto judged = judge(input);
  EXPECT_EQ(judged.reason(), "tdx-crl-missing");
  EXPECT_EQ(judged.check("tdx.crl.pck").reason, Reason::kTdxCrlMissing);
  EXPECT_EQ(judged.check("tdx.tcb_info.revocation").reason, Reason::kTdxCrlMissing);

  input = v5();
  input.collateral.crls.pop_back();
  EXPECT_EQ(judge(input).check("tdx.crl.root").outcome, Outcome::kPass);
  EXPECT_EQ(reason(input), "tdx-crl-missing");

  input = v5();
  auto der = input.collateral.crls[1].der();
  der.back() ^= std::byte{1};
  input.collateral.crls[1] = *crypto::Crl::decode(der);
  EXPECT_EQ(reason(input), "tdx-crl-forged");
}

// Without collateral the signatures still stand, and the verdict is a refusal.
TEST_F(TdxVerificationVectorsTest, SaysWhatItCanWithoutCollateral) {
  Case input{read_evidence_vector("tdx/v4-ccel.quote.bin"),
             {},
             TdxPolicy{.mr_td = Expectation::any()},
             "2026-11-21T00:00:00Z"};
  const auto judged = judge(input);
  EXPECT_EQ(judged.reason(), "tdx-crl-missing");
  for (const char* name :
       {"tdx.quote.padding", "tdx.chain.root", "tdx.chain.path", "tdx.chain.time", "tdx.qe.binding",
        "tdx.qe.signature", "tdx.quote.signature"}) {
    EXPECT_EQ(judged.outcome(name), Outcome::kPass) << name;
  }
  EXPECT_EQ(judged.check("tdx.tcb_info.fit").reason, Reason::kTdxTcbInfoMissing);
  EXPECT_EQ(judged.outcome("tdx.tcb.platform"), Outcome::kNotRun);
}

TEST_F(TdxVerificationVectorsTest, RefusesChainsOfAnotherShapeOrRoot) {
  const auto good = *read_td_quote(v5().quote).quote;
  const auto certificates = *crypto::decode_pem_certificates(good.pck_chain, 3);
  const auto with = [&](const std::vector<std::size_t>& order) {
    std::string pem;
    for (const auto i : order) {
      pem += certificates[i].pem();
    }
    return reason(changed(v5(), [&](TdQuote& quote) { quote.pck_chain = pem; }));
  };
  EXPECT_EQ(with({0, 1, 2}), "accepted");
  EXPECT_EQ(with({0, 1}), "tdx-chain-shape");
  EXPECT_EQ(with({}), "tdx-chain-shape");
  EXPECT_EQ(with({0, 1, 2, 2}), "tdx-chain-shape");
  EXPECT_EQ(with({0, 2, 1}), "tdx-root-untrusted");
  EXPECT_EQ(with({1, 0, 2}), "tdx-pck-names");
  EXPECT_EQ(with({0, 0, 2}), "tdx-pck-names");
}

TEST_F(TdxVerificationVectorsTest, RefusesWhatThePolicyDoesNotTake) {
  const auto with = [](const Case& good, auto change) {
    auto input = good;
    change(input.policy);
    return reason(input);
  };
  const auto wrong = Expectation::one_of({base::Bytes(48, std::byte{1})});

  EXPECT_EQ(with(v5(), [](auto& p) { p.mr_td = {}; }), "tdx-unpinned");
  EXPECT_EQ(with(v5(), [&](auto& p) { p.mr_td = wrong; }), "tdx-measurement-unknown");
  EXPECT_EQ(with(v5(), [&](auto& p) { p.mr_seam = wrong; }), "tdx-measurement-unknown");
  EXPECT_EQ(with(v5(), [&](auto& p) { p.rtmr[2] = wrong; }), "tdx-measurement-unknown");
  EXPECT_EQ(with(v5(), [&](auto& p) { p.mr_config_id = wrong; }), "tdx-config-unknown");
  EXPECT_EQ(with(v5(), [&](auto& p) { p.mr_owner = wrong; }), "tdx-config-unknown");
  EXPECT_EQ(with(v5(), [&](auto& p) { p.fmspcs = wrong; }), "tdx-measurement-unknown");
  EXPECT_EQ(with(v5(), [](auto& p) { p.statuses = {TcbStatus::kOutOfDate}; }), "tdx-tcb-status");
  EXPECT_EQ(with(v5(), [](auto& p) { p.xfam = 0x602e7; }), "accepted");
  EXPECT_EQ(with(v5(), [](auto& p) { p.xfam = 0x600e7; }), "tdx-xfam");
  EXPECT_EQ(with(v5(), [](auto& p) { p.attributes.required = 1ULL << 28; }), "accepted");
  EXPECT_EQ(with(v5(), [](auto& p) { p.attributes.refused = 1ULL << 28; }), "tdx-attributes");
}

TEST_F(TdxVerificationVectorsTest, KeptPartsSayTheSame) {
  const auto input = v5();
  const auto now = *crypto::parse_time(input.now);
  const TdxRules rules{TrustStore::production(), input.collateral, now};
  const auto read = read_td_quote(input.quote);
  const auto chain = judge_pck_chain(read.quote->pck_chain, rules);
  const auto documents = judge_tdx_collateral(chain.platform, rules);

  EXPECT_TRUE(chain.trusted());
  EXPECT_TRUE(documents.trusted());
  EXPECT_EQ(crypto::to_text(documents.validity.until), "2026-04-15T22:06:09Z");
  EXPECT_TRUE(chain.validity.contains(now));
}

TEST_F(TdxVerificationVectorsTest, MakesTheSameChecksInTheSameOrder) {
  const auto names = [](const Case& input) {
    std::vector<std::string> result;
    const auto judged = judge(input);
    for (const auto& check : judged.list.checks()) {
      result.push_back(check.name);
    }
    return result;
  };
  const auto all = names(v5());
  EXPECT_EQ(names(v4()), all);
  EXPECT_EQ(names(unsupported()), all);
  auto input = v5();
  input.quote.resize(10);
  EXPECT_EQ(names(input), all);
  input = v5();
  input.collateral = {};
  EXPECT_EQ(names(input), all);
}

}  // namespace
}  // namespace keybroker::evidence
