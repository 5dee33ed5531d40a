// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/certificate_database.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <fstream>

#include "tests/support/error_code.h"
#include "tests/support/record_fixture.h"
#include "tests/support/temp_folder.h"

namespace keybroker::store {
namespace {

using authority::CertificateRecord;
using evidence::AkClass;
using tests::support::error_code;

const auto kNow = *crypto::parse_time("2026-01-01T00:00:00Z");

CertificateRecord record(std::uint8_t number, AkClass ak_class = AkClass::kCvm) {
  CertificateRecord made;
  made.serial = base::Bytes(16, std::byte{number});
  made.statement.ak_class = ak_class;
  made.statement.vm_id.fill(std::byte{0x6B});
  made.statement.epoch = number;
  made.not_after = kNow + std::chrono::hours(number);
  made.certificate = base::Bytes(3, std::byte{number});
  return made;
}

class CertificateDatabaseTest : public ::testing::Test {
 protected:
  [[nodiscard]] CertificateDatabase open() const {
    return *CertificateDatabase::open(folder_ / "ca.sqlite");
  }

  tests::support::TempFolder folder_;
};

TEST_F(CertificateDatabaseTest, KeepsWhatItAcknowledged) {
  {
    auto database = open();
    EXPECT_TRUE(database.add(record(1)));
    EXPECT_TRUE(database.add(record(2)));
    EXPECT_TRUE(database.revoke(record(1).serial, kNow));
  }
  auto database = open();
  auto revoked = record(1);
  revoked.revoked = kNow;
  EXPECT_EQ(*database.of_vm(record(1).statement.vm_id), (std::vector{revoked, record(2)}));
  EXPECT_TRUE(database.of_vm({})->empty());
}

TEST_F(CertificateDatabaseTest, ASerialNumberIsGivenOnce) {
  auto database = open();
  EXPECT_TRUE(database.add(record(1)));
  EXPECT_EQ(error_code(database.add(record(1, AkClass::kHost))), base::ErrorCode::kDenied);
}

TEST_F(CertificateDatabaseTest, RevokesOnceAndOnlyWhatWasIssued) {
  auto database = open();
  EXPECT_TRUE(database.add(record(9)));
  EXPECT_TRUE(database.revoke(record(9).serial, kNow));
  EXPECT_TRUE(database.revoke(record(9).serial, kNow + std::chrono::hours(1)));
  EXPECT_EQ(database.of_vm(record(9).statement.vm_id)->front().revoked, kNow);
  EXPECT_EQ(error_code(database.revoke(record(8).serial, kNow)), base::ErrorCode::kNotFound);
}

TEST_F(CertificateDatabaseTest, ListsWhatHasNotEndedByClass) {
  auto database = open();
  for (const auto& each : {record(1), record(5), record(6, AkClass::kSimulated), record(7)}) {
    EXPECT_TRUE(database.add(each));
    EXPECT_TRUE(database.revoke(each.serial, kNow));
  }
  const auto listed = *database.revoked(AkClass::kCvm, kNow + std::chrono::hours(5));
  ASSERT_EQ(listed.size(), 2U);
  EXPECT_EQ(listed[0].serial, record(5).serial);
  EXPECT_EQ(listed[1].serial, record(7).serial);
  EXPECT_EQ(listed[1].revoked, kNow);
}

TEST_F(CertificateDatabaseTest, KnowsWhichKeyACertificateIsFor) {
  auto database = open();
  auto ek = record(1);
  ek.certified = authority::CertifiedKey::kEccEk;
  EXPECT_TRUE(database.add(ek));
  EXPECT_EQ(*database.of_vm(ek.statement.vm_id), std::vector{ek});
}

TEST_F(CertificateDatabaseTest, ListsTheVmsThatSomethingGoodIsOnRecordOf) {
  auto database = open();
  const auto of_vm = [](std::uint8_t vm, std::uint8_t number) {
    auto made = record(number);
    made.statement.vm_id.fill(std::byte{vm});
    return made;
  };
  EXPECT_TRUE(database.add(of_vm(1, 1)));  // ended by then
  EXPECT_TRUE(database.add(of_vm(2, 5)));
  EXPECT_TRUE(database.add(of_vm(2, 6)));
  EXPECT_TRUE(database.add(of_vm(3, 7)));
  EXPECT_TRUE(database.revoke(of_vm(3, 7).serial, kNow));
  const protocol::Uuid with_ek{std::byte{9}};
  EXPECT_TRUE(database.register_ek(with_ek, base::Bytes(3)));
  EXPECT_EQ(*database.vms(kNow + std::chrono::hours(2)),
            (std::vector{of_vm(2, 5).statement.vm_id, with_ek}));
}

TEST_F(CertificateDatabaseTest, ForgetsWhatEndedRevokedOrNot) {
  auto database = open();
  for (const auto& each : {record(1), record(2), record(3)}) {
    EXPECT_TRUE(database.add(each));
  }
  EXPECT_TRUE(database.revoke(record(1).serial, kNow));
  EXPECT_TRUE(database.forget_ended(record(2).not_after));
  EXPECT_EQ(*database.of_vm(record(1).statement.vm_id), (std::vector{record(2), record(3)}));
}

TEST_F(CertificateDatabaseTest, ListNumbersGrowInEachClass) {
  EXPECT_EQ(*open().next_crl_number(AkClass::kCvm), 1U);
  auto database = open();
  EXPECT_EQ(*database.next_crl_number(AkClass::kCvm), 2U);
  EXPECT_EQ(*database.next_crl_number(AkClass::kHost), 1U);
}

TEST_F(CertificateDatabaseTest, AVmHasOneEndorsementKey) {
  const protocol::Uuid vm_id{std::byte{1}};
  const base::Bytes ek(3, std::byte{2});
  const base::Bytes other(3, std::byte{3});
  auto database = open();
  EXPECT_EQ(error_code(database.ek_of(vm_id)), base::ErrorCode::kNotFound);
  EXPECT_TRUE(database.register_ek(vm_id, ek));
  EXPECT_TRUE(database.register_ek(vm_id, ek));
  EXPECT_EQ(error_code(database.register_ek(vm_id, other)), base::ErrorCode::kDenied);
  EXPECT_EQ(*database.ek_of(vm_id), ek);
  EXPECT_TRUE(database.forget_ek(vm_id));
  EXPECT_TRUE(database.register_ek(vm_id, other));
  EXPECT_EQ(*open().ek_of(vm_id), other);
}

TEST_F(CertificateDatabaseTest, TakesNobodyElsesFile) {
  std::ofstream(folder_ / "text") << std::string(4096, 'x');
  EXPECT_EQ(error_code(CertificateDatabase::open(folder_ / "text")), base::ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(CertificateDatabase::open(folder_ / "no" / "folder")), base::ErrorCode::kIo);
}

TEST_F(CertificateDatabaseTest, RefusesAnotherFormWithWhatToDo) {
  (void)open();
  for (const auto& [version, remedy] :
       {std::pair{"1", "move the authority's folder away"}, std::pair{"3", "newer"}}) {
    sqlite3* raw = nullptr;
    ASSERT_EQ(sqlite3_open((folder_ / "ca.sqlite").c_str(), &raw), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(raw, ("PRAGMA user_version = " + std::string(version)).c_str(), nullptr,
                           nullptr, nullptr),
              SQLITE_OK);
    sqlite3_close(raw);
    const auto opened = CertificateDatabase::open(folder_ / "ca.sqlite");
    ASSERT_EQ(error_code(opened), base::ErrorCode::kDenied);
    EXPECT_NE(opened.error().message.find(remedy), std::string::npos) << opened.error().message;
  }
}

TEST_F(CertificateDatabaseTest, TellsWhetherAVmsAkAndEkAreCertified) {
  auto database = open();
  const auto vm_id = record(1).statement.vm_id;
  auto ek = record(5);
  ek.certified = authority::CertifiedKey::kRsaEk;
  EXPECT_TRUE(database.add(record(4)));
  EXPECT_TRUE(database.add(record(3)));
  EXPECT_FALSE(*database.has_certified(vm_id, kNow)) << "two of the AK";
  EXPECT_TRUE(database.add(ek));
  EXPECT_TRUE(*database.has_certified(vm_id, kNow));
  EXPECT_FALSE(*database.has_certified({}, kNow));
  EXPECT_FALSE(*database.has_certified(vm_id, kNow + std::chrono::hours(5))) << "the AK's ended";
  EXPECT_TRUE(database.revoke(ek.serial, kNow));
  EXPECT_FALSE(*database.has_certified(vm_id, kNow));
}

class BesideBrokerTest : public tests::support::RecordFixture {};

INSTANTIATE_TEST_SUITE_P(Engines, BesideBrokerTest, tests::support::engines(),
                         tests::support::engine_name);

TEST_P(BesideBrokerTest, TheBrokersDatabaseKeepsTheSame) {
  const auto records = open();
  auto database = CertificateDatabase::beside_broker(connect());
  const auto vm_id = record(1).statement.vm_id;
  EXPECT_TRUE(database.add(record(1)));
  EXPECT_TRUE(database.add(record(2)));
  EXPECT_EQ(error_code(database.add(record(1))), base::ErrorCode::kDenied);
  EXPECT_TRUE(database.revoke(record(1).serial, kNow));
  EXPECT_EQ(error_code(database.revoke(record(9).serial, kNow)), base::ErrorCode::kNotFound);
  auto revoked = record(1);
  revoked.revoked = kNow;
  EXPECT_EQ(*database.of_vm(vm_id), (std::vector{revoked, record(2)}));
  EXPECT_EQ(database.revoked(AkClass::kCvm, kNow)->size(), 1U);
  EXPECT_TRUE(*database.has_issued(AkClass::kCvm));
  EXPECT_FALSE(*database.has_certified(vm_id, kNow));
  EXPECT_EQ(*database.vms(kNow), std::vector{vm_id});
  EXPECT_TRUE(database.register_ek(vm_id, record(1).serial));
  EXPECT_TRUE(database.register_ek(vm_id, record(1).serial));
  EXPECT_EQ(error_code(database.register_ek(vm_id, record(2).serial)), base::ErrorCode::kDenied);
  EXPECT_EQ(*database.ek_of(vm_id), record(1).serial);
  EXPECT_TRUE(database.forget_ek(vm_id));
  EXPECT_EQ(error_code(database.ek_of(vm_id)), base::ErrorCode::kNotFound);
  EXPECT_EQ(*database.next_crl_number(AkClass::kCvm), 1U);
  EXPECT_EQ(*database.next_crl_number(AkClass::kCvm), 2U);
  EXPECT_EQ(*database.last_crl_number(AkClass::kCvm), 2U);
  EXPECT_TRUE(database.forget_ended(kNow + std::chrono::hours(24)));
  EXPECT_TRUE(database.of_vm(vm_id)->empty());
}

}  // namespace
}  // namespace keybroker::store
