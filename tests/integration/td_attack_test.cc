// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "keybroker/crypto/issue.h"
#include "tests/integration/td_case.h"
#include "vmgs/crypto/digest.h"
#include "vtpm/tee_sim/machine.h"

// What can be done with TDX quotes and with Intel's collateral where only the right keys can sign
// it. Each test spoils one thing of a quote that is accepted.
namespace tests::integration {
namespace {

TEST(TdAttackTest, AnHonestTdIsAcceptedInEveryForm) {
  for (const auto form : {TdQuoteForm::kV4, TdQuoteForm::kV5Body10, TdQuoteForm::kV5Body15}) {
    EXPECT_EQ(with([&](TdCase& input) {
                input.quote.form = form;
                if (form == TdQuoteForm::kV5Body15) {
                  input.quote.body_15.emplace().tee_tcb_svn2 = input.quote.body.tee_tcb_svn;
                }
              }),
              "accepted");
  }
}

// T3: what binds the attestation key to the quoting enclave.
TEST(TdAttackTest, TheQuotingEnclaveVouchesForOneKeyAndNothingMore) {
  EXPECT_EQ(with([](TdCase& input) {
              input.enclave->attestation_key =
                  *crypto::PrivateKey::generate_ec(crypto::Curve::kP256);
            }),
            "tdx-qe-binding");
  EXPECT_EQ(with([](TdCase& input) { input.enclave->auth_data[0] ^= std::byte{1}; }),
            "tdx-qe-binding");
  EXPECT_EQ(with([](TdCase& input) { input.enclave->report.report_data[63] = std::byte{1}; }),
            "tdx-qe-binding");
}

// T21.
TEST(TdAttackTest, AnAttestationKeyLiesOnItsCurve) {
  const TdCase input;
  auto bytes = input.bytes();
  constexpr std::size_t kKeyAt = 636 + 64;
  for (const auto fill : {std::byte{0}, std::byte{0xFF}}) {
    std::fill_n(bytes.begin() + kKeyAt, 64, fill);
    EXPECT_EQ(input.judged_as(bytes), "tdx-attestation-key");
  }
}

// T5.
TEST(TdAttackTest, ARootOfTheSameNameIsAnother) {
  const auto other = *sim::TdxMint::make(mint_begin());
  EXPECT_EQ(with([&](TdCase& input) {
              input.enclave = *sim::make_quoting_enclave(other, sim::PckCa::kPlatform, platform(),
                                                         support::mint_secret());
            }),
            "tdx-root-untrusted");
}

// T10, T19.
TEST(TdAttackTest, AGenuineTdMayBeOneThatNobodyMayTrust) {
  EXPECT_EQ(with([](TdCase& input) { input.quote.body.attributes = 0x10000001; }), "tdx-debug");
  EXPECT_EQ(with([](TdCase& input) { input.quote.body.attributes = 0x30000000; }),
            "tdx-attributes");
  EXPECT_EQ(with([](TdCase& input) { input.quote.body.attributes = 0x10000002; }),
            "tdx-attributes");
  EXPECT_EQ(with([](TdCase& input) { input.quote.body.seam_attributes = 1; }),
            "tdx-module-mismatch");
  EXPECT_EQ(with([](TdCase& input) { input.quote.body.mr_signer_seam[0] = std::byte{1}; }),
            "tdx-module-mismatch");
  EXPECT_EQ(with([](TdCase& input) { input.quote.body.mr_td[0] ^= std::byte{1}; }),
            "tdx-measurement-unknown");
  EXPECT_EQ(with([](TdCase& input) { input.policy.tdx.mr_td = {}; }), "tdx-unpinned");
  EXPECT_EQ(with([](TdCase& input) { input.policy.tdx.xfam = 0xE7; }), "tdx-xfam");
  EXPECT_EQ(with([](TdCase& input) {
              input.quote.form = TdQuoteForm::kV5Body15;
              input.quote.body_15.emplace().tee_tcb_svn2 = input.quote.body.tee_tcb_svn;
              input.quote.body_15->mr_service_td[0] = std::byte{1};
            }),
            "tdx-service-td");
}

// Many owners need SEPT_VE_DISABLE, and real TDs without it exist.
TEST(TdAttackTest, AttributesAreDemandedByThePolicyAlone) {
  const auto without = [](bool demanded) {
    return with([&](TdCase& input) {
      input.quote.body.attributes = 0;
      if (demanded) {
        input.policy.tdx.attributes.required = 1ULL << 28;
      }
    });
  };
  EXPECT_EQ(without(false), "accepted");
  EXPECT_EQ(without(true), "tdx-attributes");
}

// T11.
TEST(TdAttackTest, EveryComponentReachesItsLevel) {
  for (std::size_t i = 0; i < 16; ++i) {
    EXPECT_EQ(with([&](TdCase& input) {
                for (auto& level : input.tcb_info.levels) {
                  level.sgx.at(i) = 5;
                }
              }),
              "tdx-tcb-unsupported")
        << i;
  }
  EXPECT_EQ(with([](TdCase& input) {
              for (auto& level : input.tcb_info.levels) {
                level.pce_svn = 14;
              }
            }),
            "tdx-tcb-unsupported");
  EXPECT_EQ(with([](TdCase& input) {
              for (auto& level : input.tcb_info.levels) {
                level.tdx[2] = 5;
              }
            }),
            "tdx-tcb-unsupported");
  for (const char* status :
       {"SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded",
        "OutOfDate", "OutOfDateConfigurationNeeded", "Revoked"}) {
    EXPECT_EQ(with([&](TdCase& input) { input.tcb_info.levels.front().status = status; }),
              "tdx-tcb-status")
        << status;
  }
  EXPECT_EQ(with([](TdCase& input) { input.tcb_info.levels.front().status = "Perfect"; }),
            "tdx-tcb-info-malformed");
}

// T12: the module's status must not hide the platform's, nor the other way round.
TEST(TdAttackTest, TheWorstStatusCounts) {
  const auto module = [](TdCase& input) -> sim::ModuleIdentity& {
    return *std::ranges::find(input.tcb_info.modules, "TDX_01", &sim::ModuleIdentity::id);
  };
  EXPECT_EQ(with([&](TdCase& input) {
              for (auto& level : module(input).levels) {
                level.status = "OutOfDate";
              }
            }),
            "tdx-tcb-status");
  EXPECT_EQ(with([](TdCase& input) { input.tcb_info.levels.front().status = "OutOfDate"; }),
            "tdx-tcb-status");
  EXPECT_EQ(with([&](TdCase& input) {
              for (auto& level : module(input).levels) {
                level.isv_svn = 6;
              }
            }),
            "tdx-module-unsupported");
  EXPECT_EQ(with([&](TdCase& input) { module(input).id = "TDX_07"; }), "tdx-module-unknown");
  EXPECT_EQ(with([](TdCase& input) { input.tcb_info.modules.clear(); }), "tdx-module-unknown");
}

// T13.
TEST(TdAttackTest, TheQuotingEnclaveIsTheOneThatIntelNames) {
  EXPECT_EQ(with([](TdCase& input) { input.qe_identity.mr_signer[0] ^= std::byte{1}; }),
            "tdx-qe-mismatch");
  EXPECT_EQ(with([](TdCase& input) { input.qe_identity.isv_prod_id = 3; }), "tdx-qe-mismatch");
  EXPECT_EQ(with([](TdCase& input) { input.enclave->report.attributes[0] |= std::byte{2}; }),
            "tdx-qe-mismatch");  // a debuggable enclave
  EXPECT_EQ(with([](TdCase& input) { input.enclave->report.misc_select = 1; }), "tdx-qe-mismatch");
  EXPECT_EQ(with([](TdCase& input) {
              for (auto& level : input.qe_identity.levels) {
                level.isv_svn = 200;
              }
            }),
            "tdx-qe-unsupported");
  EXPECT_EQ(with([](TdCase& input) {
              for (auto& level : input.qe_identity.levels) {
                level.status = "OutOfDate";
              }
            }),
            "tdx-tcb-status");
}

// T14, T16.
TEST(TdAttackTest, CollateralIsOfThisPlatformAndOfThisMonth) {
  EXPECT_EQ(with([](TdCase& input) { input.tcb_info.fmspc[0] ^= std::byte{1}; }),
            "tdx-tcb-info-other");
  EXPECT_EQ(with([](TdCase& input) { input.tcb_info.pce_id[0] = std::byte{1}; }),
            "tdx-tcb-info-other");
  const TdCase input;
  EXPECT_EQ(input.judged_as(input.bytes(), mint_begin() + kMonth + std::chrono::hours(1)),
            "tdx-crl-stale");
  EXPECT_EQ(with([](TdCase& late) { late.tcb_info.issued = mint_begin() + std::chrono::hours(1); }),
            "tdx-tcb-info-stale");
  EXPECT_EQ(with([](TdCase& late) { late.qe_identity.next_update = mint_begin() - kMonth; }),
            "tdx-qe-identity-stale");
  EXPECT_EQ(
      with([](TdCase& old) { old.policy.tdx.min_evaluation_number = old.tcb_info.evaluation + 1; }),
      "tdx-evaluation-too-old");
}

// T17.
TEST(TdAttackTest, RevocationListsAreFreshAndOfTheRightIssuer) {
  const auto entry = [](const crypto::Certificate& certificate) {
    return std::vector<crypto::Crl::Entry>{{certificate.serial(), mint_begin()}};
  };
  EXPECT_EQ(with([](TdCase& input) { input.root_crl.reset(); }), "tdx-crl-missing");
  EXPECT_EQ(with([](TdCase& input) { input.pck_crl.reset(); }), "tdx-crl-missing");
  EXPECT_EQ(with([](TdCase& input) {
              input.pck_crl =
                  *tdx_mint().pck_crl(sim::PckCa::kProcessor, mint_begin(), mint_begin() + kMonth);
            }),
            "tdx-crl-missing");
  EXPECT_EQ(with([&](TdCase& input) {
              input.root_crl =
                  *tdx_mint().root_crl(mint_begin(), mint_begin() + kMonth,
                                       entry(tdx_mint().pck_ca(sim::PckCa::kPlatform)));
            }),
            "tdx-ca-revoked");
  EXPECT_EQ(with([&](TdCase& input) {
              input.root_crl = *tdx_mint().root_crl(mint_begin(), mint_begin() + kMonth,
                                                    entry(tdx_mint().tcb_signer()));
            }),
            "tdx-tcb-signer-revoked");
  EXPECT_EQ(with([&](TdCase& input) {
              const auto pck = crypto::decode_pem_certificates(input.enclave->pck_chain, 3);
              input.pck_crl = *tdx_mint().pck_crl(sim::PckCa::kPlatform, mint_begin(),
                                                  mint_begin() + kMonth, entry(pck->front()));
            }),
            "tdx-pck-revoked");
}

// T18: signed, and still not something that two readers could read differently.
TEST(TdAttackTest, CollateralIsReadStrictly) {
  const auto with_text = [](auto change) {
    return with([&](TdCase& input) {
      auto text = to_json(input.tcb_info);
      change(text);
      input.tcb_info_text = text;
    });
  };
  EXPECT_EQ(with_text([](std::string&) {}), "accepted");
  EXPECT_NE(with_text([](std::string& text) { text.insert(1, "\"id\":\"TDX\","); }), "accepted");
  EXPECT_NE(with_text([](std::string& text) {
              text.replace(text.find("\"version\":3"), 11, "\"version\":2");
            }),
            "accepted");
  EXPECT_NE(with_text([](std::string& text) {
              text.insert(1, "\"deep\":" + std::string(40, '[') + std::string(40, ']') + ",");
            }),
            "accepted");
  // The order of the levels is not theirs to choose.
  EXPECT_EQ(with([](TdCase& input) { std::ranges::reverse(input.tcb_info.levels); }), "accepted");
}

// The claims of section 3.10 reach whoever asked.
TEST(TdAttackTest, ClaimsNameWhatWasVerified) {
  const TdCase input;
  Evidence evidence;
  evidence.td_quote = input.bytes();
  const std::array roots{SlottedRoot{RootSlot::kIntelSgx, tdx_mint().root()}};
  const auto verdict = verify(evidence, input.policy, input.collateral(),
                              *TrustStore::simulated(roots), mint_begin());
  ASSERT_TRUE(verdict.accepted) << support::failures(verdict);
  const auto& claims = *verdict.claims->tdx;
  EXPECT_EQ(claims.tcb->status, TcbStatus::kUpToDate);
  EXPECT_EQ(claims.module_status, TcbStatus::kUpToDate);
  EXPECT_EQ(claims.qe_status, TcbStatus::kUpToDate);
  EXPECT_EQ(claims.platform->fmspc, platform().fmspc);
  EXPECT_EQ(claims.evaluation_number, input.tcb_info.evaluation);
  EXPECT_EQ(claims.collateral_until, mint_begin() + kMonth);
}

}  // namespace
}  // namespace tests::integration
