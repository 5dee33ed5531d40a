// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/simulated_tdx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "keybroker/evidence/td_quote.h"
#include "tests/support/error_code.h"
#include "tests/support/simulated_mints.h"
#include "tests/support/temp_folder.h"

namespace vtpm::tee_sim {
namespace {

namespace evidence = keybroker::evidence;

using tee::KeyScheme;
using tests::support::error_code;
using tests::support::mint_begin;

evidence::TdxDigest digest(unsigned char value = 0x11) {
  evidence::TdxDigest bytes{};
  bytes.fill(std::byte{value});
  return bytes;
}

tee::Svn svn_of(const TdxMachine& machine) {
  tee::Svn svn{};
  std::copy(machine.tee_tcb_svn.begin(), machine.tee_tcb_svn.end(), svn.begin());
  std::copy(machine.cpu_svn.begin(), machine.cpu_svn.end(), svn.begin() + 16);
  return svn;
}

// A machine in a folder of its own. Each test changes one thing about it.
class SimulatedTdxTest : public ::testing::Test {
 protected:
  SimulatedTdxTest() : machine_(*new_tdx_machine()) {}

  [[nodiscard]] SimulatedTdxTee launched(const TdxMachine& machine,
                                         unsigned char document = 0x11) const {
    return *SimulatedTdxTee::open(*MachineFolder::open(temp_ / "machine"), machine,
                                  digest(document), mint_begin());
  }

  [[nodiscard]] std::string key_of(SimulatedTdxTee tee,
                                   KeyScheme scheme = KeyScheme::kSealedKeys) const {
    const auto key = tee.derive_key({.scheme = scheme, .svn = svn_of(machine_)});
    return key ? base::to_hex(key->expose()) : key.error().message;
  }

  tests::support::TempFolder temp_;
  TdxMachine machine_;
};

TEST_F(SimulatedTdxTest, BindsKeysToWhatTheRequestNames) {
  const auto key = key_of(launched(machine_));
  EXPECT_EQ(key, key_of(launched(machine_)));
  EXPECT_EQ(key.size(), 64U);
  const auto differs = [&](auto change) {
    auto other = machine_;
    change(other);
    return key_of(launched(other)) != key;
  };

  EXPECT_TRUE(differs([](TdxMachine& m) { m.mr_td[0] ^= std::byte{1}; }));
  EXPECT_TRUE(differs([](TdxMachine& m) { m.mr_owner_config[0] ^= std::byte{1}; }));
  EXPECT_TRUE(differs([](TdxMachine& m) { m.attributes |= evidence::kTdAttributeDebug; }));
  EXPECT_TRUE(differs([](TdxMachine& m) { m.platform_id[0] ^= std::byte{1}; }));
  EXPECT_NE(key_of(launched(machine_, 0x22)), key);  // MRCONFIGID

  EXPECT_FALSE(differs([](TdxMachine& m) { m.attributes ^= 1U << 30; }));
  EXPECT_FALSE(differs([](TdxMachine& m) { m.xfam ^= 1U << 9; }));
  EXPECT_FALSE(differs([](TdxMachine& m) { m.rtmr[2][0] ^= std::byte{1}; }));
  EXPECT_FALSE(differs([](TdxMachine& m) { m.mr_owner[0] ^= std::byte{1}; }));
}

TEST_F(SimulatedTdxTest, OpenHclsKeyIsBoundToMrTdAlone) {
  const auto key = key_of(launched(machine_), KeyScheme::kOpenHclHash);

  EXPECT_EQ(key_of(launched(machine_, 0x22), KeyScheme::kOpenHclHash), key);
  auto other = machine_;
  other.mr_td[0] ^= std::byte{1};
  EXPECT_NE(key_of(launched(other), KeyScheme::kOpenHclHash), key);
  EXPECT_NE(key_of(launched(machine_)), key);

  auto tee = launched(machine_);
  EXPECT_EQ(error_code(tee.derive_key({.scheme = KeyScheme::kOpenHclSigner, .svn = {}})),
            base::ErrorCode::kDenied);
}

TEST_F(SimulatedTdxTest, AnUpdateKeepsOldKeysAndRefusesNewerOnes) {
  const auto key = key_of(launched(machine_));
  auto updated = machine_;
  updated.tee_tcb_svn[0] = std::byte{7};

  EXPECT_EQ(key_of(launched(updated)), key);

  auto old = launched(machine_);
  EXPECT_EQ(error_code(old.derive_key({.scheme = KeyScheme::kSealedKeys, .svn = svn_of(updated)})),
            base::ErrorCode::kDenied);
  updated = machine_;
  updated.cpu_svn[0] = std::byte{5};
  EXPECT_EQ(error_code(old.derive_key({.scheme = KeyScheme::kSealedKeys, .svn = svn_of(updated)})),
            base::ErrorCode::kDenied);
}

TEST_F(SimulatedTdxTest, ItsOwnReportSaysThatItIsSimulated) {
  machine_.attributes |= evidence::kTdAttributeDebug;
  auto tee = launched(machine_);

  const auto own = tee.own_report();

  ASSERT_TRUE(own) << own.error().message;
  EXPECT_TRUE(own->simulated);
  EXPECT_TRUE(own->debug);
  EXPECT_EQ(own->family, tee::TeeFamily::kTdx);
  EXPECT_EQ(own->measurement, machine_.mr_td);
  EXPECT_EQ(own->launch_digest.bytes, digest());
  EXPECT_EQ(own->committed_svn, svn_of(machine_));
}

TEST_F(SimulatedTdxTest, MakesQuotesOfEveryForm) {
  tee::ReportData report_data{};
  report_data.fill(std::byte{0x77});
  for (const auto form : {evidence::TdQuoteForm::kV4, evidence::TdQuoteForm::kV5Body10,
                          evidence::TdQuoteForm::kV5Body15}) {
    auto machine = machine_;
    machine.quote_form = form;
    auto tee = launched(machine);

    const auto made = tee.report(report_data);

    ASSERT_TRUE(made) << made.error().message;
    EXPECT_TRUE(made->certificates.empty());
    const auto quote = evidence::decode_td_quote(made->report);
    ASSERT_TRUE(quote) << quote.error().message;
    EXPECT_EQ(quote->form, form);
    EXPECT_EQ(quote->body.report_data, report_data);
    EXPECT_EQ(quote->body.mr_td, machine.mr_td);
    EXPECT_EQ(quote->body.mr_config_id, digest());
  }
}

TEST_F(SimulatedTdxTest, DrawsItsHierarchyOnceForAMachine) {
  auto first = launched(machine_);
  auto second = launched(machine_, 0x22);
  const auto chain_of = [](SimulatedTdxTee& tee) {
    const auto quote = *evidence::decode_td_quote(tee.report({})->report);
    return *keybroker::crypto::decode_pem_certificates(quote.pck_chain, 3);
  };

  EXPECT_EQ(chain_of(first).at(1), chain_of(second).at(1));
  EXPECT_EQ(chain_of(first).at(2), chain_of(second).at(2));
  EXPECT_EQ(*chain_of(first).at(0).public_key(), *chain_of(second).at(0).public_key());
}

}  // namespace
}  // namespace vtpm::tee_sim
