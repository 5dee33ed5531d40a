// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/simulated_snp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "keybroker/evidence/snp_certificates.h"
#include "keybroker/evidence/snp_verification.h"
#include "tests/support/error_code.h"
#include "tests/support/simulated_mints.h"
#include "tests/support/temp_folder.h"

namespace vtpm::tee_sim {
namespace {

namespace evidence = keybroker::evidence;

using tee::KeyScheme;
using ::testing::HasSubstr;
using tests::support::error_code;
using tests::support::mint_begin;
using tests::support::snp_mint;

std::array<std::byte, 32> host_data(unsigned char value = 0x11) {
  std::array<std::byte, 32> bytes{};
  bytes.fill(std::byte{value});
  return bytes;
}

// A machine in a folder of its own. Each test changes one thing about it.
class SimulatedSnpTest : public ::testing::Test {
 protected:
  SimulatedSnpTest() : machine_(*new_snp_machine()) {}

  [[nodiscard]] SimulatedSnpTee launched(const SnpMachine& machine,
                                         unsigned char document = 0x11) const {
    return *SimulatedSnpTee::open(*MachineFolder::open(temp_ / "machine"), machine,
                                  host_data(document), mint_begin());
  }

  [[nodiscard]] std::string key_of(SimulatedSnpTee tee,
                                   KeyScheme scheme = KeyScheme::kSealedKeys) const {
    return key_at(std::move(tee), *new_svn(machine_), scheme);
  }

  static std::string key_at(SimulatedSnpTee tee, const tee::Svn& svn,
                            KeyScheme scheme = KeyScheme::kSealedKeys) {
    const auto key = tee.derive_key({.scheme = scheme, .svn = svn});
    return key ? base::to_hex(key->expose()) : key.error().message;
  }

  static base::Result<tee::Svn> new_svn(const SnpMachine& machine) {
    tee::Svn svn{};
    const auto tcb = encode_tcb(machine.committed, tcb_form(machine.product));
    std::copy(tcb.begin(), tcb.end(), svn.begin());
    return svn;
  }

  tests::support::TempFolder temp_;
  SnpMachine machine_;
};

TEST_F(SimulatedSnpTest, DerivesTheSameKeyForTheSameVm) {
  EXPECT_EQ(key_of(launched(machine_)), key_of(launched(machine_)));
  EXPECT_EQ(key_of(launched(machine_)).size(), 64U);
}

TEST_F(SimulatedSnpTest, BindsKeysToWhatTheHardwareBindsThemTo) {
  const auto key = key_of(launched(machine_));
  const auto differs = [&](auto change) {
    auto other = machine_;
    change(other);
    return key_of(launched(other)) != key;
  };

  EXPECT_TRUE(differs([](SnpMachine& m) { m.measurement[0] ^= std::byte{1}; }));
  EXPECT_TRUE(differs([](SnpMachine& m) { m.policy = 0xB0000; }));
  EXPECT_TRUE(differs([](SnpMachine& m) { m.chip_id[63] ^= std::byte{1}; }));
  EXPECT_FALSE(differs([](SnpMachine& m) { m.image_id[0] ^= std::byte{1}; }));
  EXPECT_FALSE(differs([](SnpMachine& m) { m.platform_info = 0; }));

  // HOST_DATA is no input of a derived key: only the context of SEALED_KEYS keeps VMs apart.
  EXPECT_EQ(key_of(launched(machine_, 0x22)), key);
}

TEST_F(SimulatedSnpTest, AnotherMachineFolderIsAnotherChip) {
  auto other = SimulatedSnpTee::open(*MachineFolder::open(temp_ / "other"), machine_, host_data(),
                                     mint_begin());

  EXPECT_NE(key_of(*std::move(other)), key_of(launched(machine_)));
}

TEST_F(SimulatedSnpTest, AFirmwareUpdateKeepsTheKeysOfOlderTcbs) {
  const auto old_svn = *new_svn(machine_);
  const auto key = key_at(launched(machine_), old_svn);
  auto updated = machine_;
  updated.current.microcode = updated.committed.microcode = 28;

  EXPECT_EQ(key_at(launched(updated), old_svn), key);
  EXPECT_NE(key_at(launched(updated), *new_svn(updated)), key);
}

TEST_F(SimulatedSnpTest, RefusesATcbAboveTheCommittedOne) {
  auto updated = machine_;
  updated.current.microcode = updated.committed.microcode = 28;
  const auto new_tcb = *new_svn(updated);

  auto tee = launched(machine_);
  const auto key = tee.derive_key({.scheme = KeyScheme::kSealedKeys, .svn = new_tcb});

  ASSERT_EQ(error_code(key), base::ErrorCode::kDenied);
  EXPECT_THAT(key.error().message, HasSubstr("microcode 28) is above the committed one"));

  // Current alone does not do: the firmware may still go back below it.
  auto uncommitted = machine_;
  uncommitted.current.microcode = 28;
  auto halfway = launched(uncommitted);
  EXPECT_EQ(error_code(halfway.derive_key({.scheme = KeyScheme::kSealedKeys, .svn = new_tcb})),
            base::ErrorCode::kDenied);
}

TEST_F(SimulatedSnpTest, ASignersKeyLeavesTheMeasurementOut) {
  auto other = machine_;
  other.measurement.fill(std::byte{9});

  EXPECT_EQ(key_of(launched(other), KeyScheme::kOpenHclSigner),
            key_of(launched(machine_), KeyScheme::kOpenHclSigner));
  EXPECT_NE(key_of(launched(machine_), KeyScheme::kOpenHclSigner), key_of(launched(machine_)));
}

TEST_F(SimulatedSnpTest, ItsOwnReportSaysThatItIsSimulated) {
  machine_.current.microcode = 30;
  machine_.reported.microcode = 26;
  auto tee = launched(machine_);

  const auto own = tee.own_report();

  ASSERT_TRUE(own) << own.error().message;
  EXPECT_TRUE(own->simulated);
  EXPECT_EQ(own->family, tee::TeeFamily::kSevSnp);
  EXPECT_EQ(own->measurement, machine_.measurement);
  EXPECT_EQ(own->policy, 0x30000U);
  EXPECT_FALSE(own->debug);
  EXPECT_EQ(base::to_hex(own->launch_digest.bytes),
            base::to_hex(host_data()) + std::string(32, '0'));
  EXPECT_EQ(describe(own->committed_svn, own->svn_layout),
            "boot loader 10, TEE 0, SNP 27, microcode 27");
  EXPECT_EQ(describe(own->reported_svn, own->svn_layout),
            "boot loader 10, TEE 0, SNP 27, microcode 26");
}

TEST_F(SimulatedSnpTest, MakesReportsOfEveryVersionAndProduct) {
  for (const auto product : {SnpProduct::kMilan, SnpProduct::kGenoa, SnpProduct::kTurin}) {
    for (const std::uint32_t version : {2U, 3U, 5U}) {
      auto machine = machine_;
      machine.product = product;
      machine.report_version = version;
      if (product == SnpProduct::kTurin) {
        machine.committed.fmc = machine.current.fmc = 1;
      }
      auto tee = launched(machine);

      const auto own = tee.own_report();

      ASSERT_TRUE(own) << own.error().message;
      const bool turin = product == SnpProduct::kTurin && version > 2;
      EXPECT_EQ(own->svn_layout, turin ? tee::SvnLayout::kSnpTurin : tee::SvnLayout::kSnp);
    }
  }
}

// The evidence, as a verifier sees it: the report and the certificates of its table.
TEST_F(SimulatedSnpTest, ItsEvidenceVerifiesUnderItsOwnRootOnly) {
  const auto folder = *MachineFolder::open(temp_ / "machine");
  ASSERT_TRUE(folder.get_or_make("amd-Genoa.pem", [] {
    return snp_mint(SnpProduct::kGenoa).to_bundle();  // saves drawing another hierarchy
  }));
  tee::ReportData report_data{};
  report_data.fill(std::byte{0x77});
  auto tee = launched(machine_);

  const auto made = tee.report(report_data);

  ASSERT_TRUE(made) << made.error().message;
  std::vector<keybroker::crypto::Certificate> chain;
  const auto table = evidence::decode_snp_certificates(made->certificates);
  for (const auto& entry : *table) {
    chain.push_back(*keybroker::crypto::Certificate::decode(entry.bytes));
  }
  const std::array roots{evidence::SlottedRoot{evidence::RootSlot::kAmdGenoa, chain.at(2)}};
  evidence::SnpPolicy policy;
  policy.crl = evidence::CrlRule::kOff;
  policy.measurements = evidence::Expectation::any();
  const auto accepted = [&](const evidence::TrustStore& store) {
    evidence::Checklist list;
    const auto judged = evidence::judge_snp_chain(chain, {store, {}, policy.crl, mint_begin()});
    const auto claims = judge_snp_report(made->report, judged, policy, list);
    EXPECT_EQ(claims->report.report_data, report_data);
    EXPECT_EQ(claims->report.host_data, host_data());
    return list.accepted();
  };
  EXPECT_TRUE(accepted(*evidence::TrustStore::simulated(roots)));
  EXPECT_FALSE(accepted(evidence::TrustStore::production()));
}

TEST_F(SimulatedSnpTest, DrawsItsHierarchyOnceForAMachine) {
  auto first = launched(machine_);
  auto second = launched(machine_, 0x22);

  const auto a = evidence::decode_snp_certificates(first.report({})->certificates);
  const auto b = evidence::decode_snp_certificates(second.report({})->certificates);

  EXPECT_EQ(a->at(1), b->at(1));
  EXPECT_EQ(a->at(2), b->at(2));
}

}  // namespace
}  // namespace vtpm::tee_sim
