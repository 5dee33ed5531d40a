// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/report_service.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "keybroker/evidence/hcl_report.h"
#include "keybroker/protocol/runtime_claims.h"
#include "tests/support/fake_nv_store.h"
#include "tests/support/fake_tee.h"
#include "tests/support/tpm_commands.h"
#include "vmgs/crypto/digest.h"
#include "vtpm/engine/memory_nv_store.h"

namespace vtpm::provision {
namespace {

namespace evidence = keybroker::evidence;
namespace tpm = tests::support;
using engine::BlobKind;
using tests::support::FakeTee;

constexpr std::uint32_t kNvUninitialized = 0x14A;

// A guest with its TPM, and the service that watches it.
class ReportServiceTest : public testing::Test {
 protected:
  ReportServiceTest() {
    {
      engine::MemoryNvStore memory;
      auto engine = *engine::Engine::create(memory);
      EXPECT_TRUE(engine->start(engine::Origin::kManufacture));
      const auto state = *engine->state_blob(BlobKind::kPermanent);
      engine.reset();
      provisioned_ = provision(state.expose(), Past::kNew);
    }
    EXPECT_TRUE(below_.store(BlobKind::kPermanent, provisioned_->permanent_state.expose()));
    statement_.launch = base::Bytes(32, std::byte{0x33});
    engine_ = *engine::Engine::create(store_);
    power_on();
  }

  void power_on() {
    engine_->terminate();
    ASSERT_TRUE(engine_->start(engine::Origin::kExisting));
    EXPECT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
  }

  ReportService& service() {
    if (!service_) {
      service_.emplace(*engine_, store_, &tee_, statement_, std::move(provisioned_),
                       [this] { return now_; });
    }
    return *service_;
  }

  base::Bytes send(base::Bytes command) {
    if (auto instead = service().before(command)) {
      return *instead;
    }
    return base::copy_of(*engine_->process(protocol::Locality(), command));
  }

  std::uint32_t run(const base::Bytes& command) {
    auto changed = command;
    return tpm::response_code(*engine_->process(protocol::Locality(), changed));
  }

  std::uint32_t ask() {
    return tpm::response_code(send(tpm::nv_read_by_owner(kReportIndex, 4, 0)));
  }

  // What a client reads, in its pieces.
  base::Bytes read(std::uint32_t index) {
    base::Bytes content;
    for (const std::uint16_t offset : {std::uint16_t{0}, std::uint16_t{1024}}) {
      const auto response = send(tpm::nv_read_by_owner(index, 1024, offset));
      EXPECT_EQ(tpm::response_code(response), tpm::kSuccess);
      if (tpm::response_code(response) != tpm::kSuccess) {
        return {};
      }
      const auto piece = tpm::nv_data(response);
      content.insert(content.end(), piece.begin(), piece.end());
    }
    return content;
  }

  keybroker::protocol::RuntimeClaims read_claims() {
    const auto hcl = evidence::decode_hcl_report(read(kReportIndex));
    EXPECT_TRUE(hcl) << hcl.error().message;
    return hcl ? *keybroker::protocol::decode_runtime_claims(hcl->claims)
               : keybroker::protocol::RuntimeClaims();
  }

  void define_user_data(std::uint16_t size = 64) {
    ASSERT_EQ(run(tpm::nv_define(kUserDataIndex, size)), tpm::kSuccess);
  }

  void write_user_data(unsigned char value, std::size_t size = 64) {
    ASSERT_EQ(run(tpm::nv_write(kUserDataIndex, base::Bytes(size, std::byte{value}))),
              tpm::kSuccess);
  }

  static UserData user_data(unsigned char value, std::size_t size = 64) {
    UserData data{};
    std::fill_n(data.begin(), size, std::byte{value});
    return data;
  }

  FakeTee tee_ = FakeTee::snp();
  Statement statement_;
  base::Result<Provisioned> provisioned_ = base::fail(base::ErrorCode::kNotFound, "not made");
  tests::support::FakeNvStore below_;
  DeferringStore store_{below_};
  std::unique_ptr<engine::Engine> engine_;
  std::chrono::steady_clock::time_point now_{};
  std::optional<ReportService> service_;
};

TEST_F(ReportServiceTest, GivesAReportToWhoeverReadsIt) {
  const auto claims = read_claims();
  EXPECT_EQ(claims.user_data, UserData{}) << "nothing was written";
  auto extended = read(kExtendedClaimsIndex);
  while (!extended.empty() && extended.back() == std::byte{0}) {
    extended.pop_back();
  }
  EXPECT_EQ(vmgs::crypto::sha256(extended), claims.extended_digest);
  EXPECT_EQ(tee_.reported, 1) << "both indices are of one report";
}

TEST_F(ReportServiceTest, CarriesWhatTheGuestHasJustWritten) {
  read_claims();
  define_user_data();
  for (unsigned char value = 1; value <= 3; ++value) {
    write_user_data(value);
    EXPECT_EQ(read_claims().user_data, user_data(value));
  }
}

TEST_F(ReportServiceTest, PutsZerosBehindDataThatIsShort) {
  define_user_data(4);
  write_user_data(7, 4);
  EXPECT_EQ(read_claims().user_data, user_data(7, 4));
}

TEST_F(ReportServiceTest, CutsDataThatIsTooLong) {
  define_user_data(100);
  write_user_data(7, 100);
  EXPECT_EQ(read_claims().user_data, user_data(7));
}

TEST_F(ReportServiceTest, TheGuestsAuthorizationsAreNoObstacle) {
  define_user_data();
  write_user_data(1);
  ASSERT_EQ(run(tpm::set_owner_auth(base::bytes_of("guest secret"))), tpm::kSuccess);
  // The guest reads with its password; what it would find was written with ours.
  for (unsigned char value = 2; value <= 3; ++value) {
    write_user_data(value);
    EXPECT_FALSE(service().before(tpm::nv_read_by_owner(kReportIndex, 1024, 0)));
    EXPECT_EQ(tee_.reported, value - 1);
  }
}

TEST_F(ReportServiceTest, SaysThatItCannotSeeDataInRam) {
  ASSERT_EQ(run(tpm::nv_define_orderly(kUserDataIndex, 64)), tpm::kSuccess);
  write_user_data(1);
  EXPECT_EQ(ask(), kNvUninitialized) << "rather than a report without it";
}

TEST_F(ReportServiceTest, IsNeverStale) {
  define_user_data();
  unsigned char value = 0;
  for (; value < ReportBudget::kBurst; ++value) {
    write_user_data(value);
    EXPECT_EQ(ask(), tpm::kSuccess);
  }
  write_user_data(value);
  EXPECT_EQ(ask(), tpm::kRetry) << "rather than the report before";
  now_ += ReportBudget::kInterval - std::chrono::milliseconds(1);
  EXPECT_EQ(ask(), tpm::kRetry);
  now_ += std::chrono::milliseconds(1);
  EXPECT_EQ(read_claims().user_data, user_data(value));
  write_user_data(++value);
  EXPECT_EQ(ask(), tpm::kRetry) << "one in each interval";

  now_ += 100 * ReportBudget::kInterval;
  for (int i = 0; i < ReportBudget::kBurst; ++i) {
    write_user_data(++value);
    EXPECT_EQ(ask(), tpm::kSuccess);
  }
  write_user_data(++value);
  EXPECT_EQ(ask(), tpm::kRetry) << "what was not used is not saved up";
}

TEST_F(ReportServiceTest, AsksTheTeeOnceForTheSameData) {
  define_user_data();
  write_user_data(1);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(read_claims().user_data, user_data(1));
  }
  EXPECT_EQ(tee_.reported, 1);
}

TEST_F(ReportServiceTest, ReadersAreToldWhatIsSaidByNow) {
  const auto text_of = [](base::Bytes claims) {
    return std::string(reinterpret_cast<const char*>(claims.data()), claims.size());
  };
  statement_.freshness.emplace().state = keybroker::protocol::FreshnessState::kOffline;
  const auto before = read_claims();
  EXPECT_NE(text_of(read(kExtendedClaimsIndex)).find("offline"), std::string::npos);

  statement_.freshness->state = keybroker::protocol::FreshnessState::kFresh;
  service().restate(statement_);

  EXPECT_NE(read_claims().extended_digest, before.extended_digest);
  const auto after = text_of(read(kExtendedClaimsIndex));
  EXPECT_EQ(after.find("\"offline\""), std::string::npos) << after;
  EXPECT_NE(after.find("\"fresh\""), std::string::npos) << after;
}

TEST_F(ReportServiceTest, WritesAgainWhatAResetTookBack) {
  define_user_data();
  write_user_data(1);
  EXPECT_EQ(read_claims().user_data, user_data(1));
  power_on();  // without a Shutdown
  EXPECT_EQ(read_claims().user_data, user_data(1));
}

TEST_F(ReportServiceTest, WaitsForNoDisk) {
  define_user_data();
  write_user_data(1);
  const auto stores = below_.stores;
  EXPECT_EQ(ask(), tpm::kSuccess);
  EXPECT_EQ(below_.stores, stores);

  write_user_data(2);
  EXPECT_EQ(below_.stores, stores + 1) << "which carries it";
  power_on();
  EXPECT_EQ(run(tpm::nv_read_by_owner(kReportIndex, 4, 0)), tpm::kSuccess);
}

TEST_F(ReportServiceTest, GivesNoReportOfAnotherLife) {
  EXPECT_EQ(ask(), tpm::kSuccess);
  service_.emplace(*engine_, store_, &tee_, statement_,
                   base::fail(base::ErrorCode::kDenied, "it sleeps"), [this] { return now_; });
  EXPECT_EQ(run(tpm::nv_read_by_owner(kReportIndex, 4, 0)), tpm::kSuccess) << "there is one";
  EXPECT_EQ(ask(), kNvUninitialized);
}

TEST_F(ReportServiceTest, ClaimsOnlyWhatTheTwinAgreesTo) {
  engine_->terminate();
  engine_.reset();
  provisioned_->twin = *Twin::start((*below_.load(BlobKind::kPermanent))->expose());
  engine_ = *engine::Engine::create(store_);
  power_on();
  EXPECT_GE(service().twin_descriptor(), 0);
  EXPECT_EQ(ask(), tpm::kSuccess);
  EXPECT_EQ(service().settle(), Obstacle::kNone);
  EXPECT_EQ(service().twin_descriptor(), -1);
}

TEST_F(ReportServiceTest, MarksATpmWhoseTwinDisagreesAndGivesNoReport) {
  engine_->terminate();
  engine_.reset();
  provisioned_->twin = *Twin::start((*below_.load(BlobKind::kPermanent))->expose());
  provisioned_->rsa_ak->name.back() ^= std::byte{1};
  engine_ = *engine::Engine::create(store_);
  power_on();
  EXPECT_EQ(ask(), kNvUninitialized) << "the first reader waits for the twin";
  EXPECT_EQ(tee_.reported, 0);
  EXPECT_EQ(service().settle(), Obstacle::kAkSquatted);
  EXPECT_TRUE(service().awaits_mark());
  EXPECT_EQ(ask(), kNvUninitialized);
  EXPECT_FALSE(service().awaits_mark());

  const auto state = base::to_hex(below_.stored(BlobKind::kPermanent));
  EXPECT_NE(state.find(base::to_hex(base::bytes_of(kDistrustMark))), std::string::npos)
      << "for the next start";
  EXPECT_EQ(service().settle(), Obstacle::kAkSquatted);
}

TEST_F(ReportServiceTest, NeverClaimsAKeyThatIsNotTheTpms) {
  provisioned_->rsa_ak.reset();
  EXPECT_EQ(ask(), kNvUninitialized);
  EXPECT_EQ(tee_.reported, 0);
}

TEST_F(ReportServiceTest, SaysRetryWhileTheTeeIsBusyAndThatThereIsNoneWhereItFails) {
  tee_.report_fails = base::Error{base::ErrorCode::kUnavailable, "the host throttles it"};
  EXPECT_EQ(ask(), tpm::kRetry);
  now_ += ReportBudget::kInterval;
  tee_.report_fails = base::Error{base::ErrorCode::kIo, "the firmware refuses"};
  EXPECT_EQ(ask(), kNvUninitialized);
  now_ += ReportBudget::kInterval;
  tee_.report_fails.reset();
  EXPECT_EQ(ask(), tpm::kSuccess);
}

TEST_F(ReportServiceTest, OtherCommandsAreTheTpmsOwn) {
  EXPECT_EQ(tpm::response_code(send(tpm::get_random(8))), tpm::kSuccess);
  EXPECT_EQ(tpm::response_code(send(tpm::nv_read_by_owner(kAkCertificateIndex, 4, 0))),
            kNvUninitialized);
  EXPECT_EQ(tee_.reported, 0);
}

TEST_F(ReportServiceTest, AnOrdinaryVmHasAReportThatNothingVouchesFor) {
  service_.emplace(*engine_, store_, nullptr, statement_, std::move(provisioned_),
                   [this] { return now_; });
  const auto hcl = evidence::decode_hcl_report(read(kReportIndex));
  ASSERT_TRUE(hcl) << hcl.error().message;
  EXPECT_EQ(hcl->type, evidence::HclReportType::kTrustedVm);
}

}  // namespace
}  // namespace vtpm::provision
