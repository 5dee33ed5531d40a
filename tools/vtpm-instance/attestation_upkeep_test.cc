// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/attestation_upkeep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "keybroker/crypto/time.h"
#include "tests/support/fake_certifier.h"
#include "tests/support/fake_nv_store.h"
#include "tests/support/tpm_commands.h"
#include "vmgs/crypto/random.h"
#include "vtpm/provision/certificates.h"
#include "vtpm/provision/templates.h"

namespace tools::vtpm_instance {
namespace {

namespace tpm = tests::support;
using base::ErrorCode;
using keybroker::protocol::Readiness;
using tests::support::FakeCertifier;
using vtpm::engine::BlobKind;
using vtpm::provision::Provisioned;
using vtpm::provision::StoredCertificates;

// An authority on another thread, that a test can keep waiting.
class SlowCertifier final : public vtpm::provision::Certifier {
 public:
  explicit SlowCertifier(FakeCertifier& authority) : authority_(authority) {}

  base::Result<vtpm::provision::Certificates> certify(
      const vtpm::provision::CertificationOfEvidence& request,
      const std::stop_token& stop) override {
    TRY(wait(stop));
    return authority_.certify(request, stop);
  }

  base::Result<vtpm::provision::Certificates> certify(
      const vtpm::provision::CertificationOfHost& request,
      const vtpm::provision::AnswerChallenge& answer, const std::stop_token& stop) override {
    TRY(wait(stop));
    return authority_.certify(request, answer, stop);
  }

  void hold(bool on) {
    const std::lock_guard lock(mutex_);
    held_ = on;
    changed_.notify_all();
  }

  void wait_until_asked() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return asked_; });
  }

 private:
  base::Result<void> wait(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    asked_ = true;
    changed_.notify_all();
    if (!changed_.wait(lock, stop, [this] { return !held_; })) {
      return base::fail(ErrorCode::kUnavailable, "stopped");
    }
    return {};
  }

  FakeCertifier& authority_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool held_ = false;
  bool asked_ = false;
};

// An ordinary VM's TPM with a guest, in its second start.
class AttestationUpkeepTest : public testing::Test {
 protected:
  AttestationUpkeepTest() {
    statement_.launch = base::Bytes(32);
    authority_.now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  }

  vtpm::provision::Vouching vouching() {
    return {.certifier = certifier_, .statement = statement_, .tee = nullptr};
  }

  // What provisioning makes of a new TPM.
  base::Result<Provisioned> made() {
    vtpm::engine::MemoryNvStore memory;
    auto engine = *vtpm::engine::Engine::create(memory);
    EXPECT_TRUE(engine->start(vtpm::engine::Origin::kManufacture));
    const auto state = *engine->state_blob(BlobKind::kPermanent);
    engine.reset();
    return vtpm::provision::provision(state.expose(), vtpm::provision::Past::kNew,
                                      {.vouching = vouching(), .now = authority_.now});
  }

  // Its guest's life begins, with the broker that certifies or while it is away.
  void serve(base::Result<Provisioned> provisioned, bool awaits_broker = false) {
    ASSERT_TRUE(provisioned) << provisioned.error().message;
    ASSERT_TRUE(below_.store(BlobKind::kPermanent, provisioned->permanent_state.expose()));
    first_ = durable();
    engine_ = *vtpm::engine::Engine::create(store_);
    device_.emplace(*engine_, vtpm::device::Options{.attendant = [this](base::ByteView command) {
      upkeep_->before(command);
      return std::nullopt;
    }});
    AttestationUpkeep::Begun begun(provisioned);
    begun.awaits_broker = awaits_broker;
    upkeep_.emplace(AttestationUpkeep::Surroundings{.io = io_,
                                                    .device = *device_,
                                                    .engine = *engine_,
                                                    .store = store_,
                                                    .vouching = vouching(),
                                                    .changed = [this] { ++changes_; }},
                    std::move(begun));
    ASSERT_TRUE(device_->init());
    ASSERT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
    upkeep_->start();
  }

  ~AttestationUpkeepTest() override {
    if (upkeep_) {
      upkeep_->stop();
    }
  }

  std::uint32_t run(base::Bytes command) { return tpm::response_code(device_->process(command)); }

  StoredCertificates durable() {
    return StoredCertificates::in(below_.stored(BlobKind::kPermanent));
  }

  // Lets the program's thread run until `done`.
  void until(const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!done() && std::chrono::steady_clock::now() < deadline) {
      io_.run_one_until(deadline);
      io_.restart();
    }
    EXPECT_TRUE(done());
  }

  // A certificate that is due when the guest's life begins.
  base::Result<Provisioned> overdue() {
    const auto now = std::exchange(authority_.now, authority_.now - authority_.life * 2 / 3);
    auto provisioned = made();
    authority_.now = now;
    authority_.renews_without_proof = true;
    return provisioned;
  }

  FakeCertifier authority_;
  SlowCertifier certifier_{authority_};
  vtpm::provision::Statement statement_;
  tests::support::FakeNvStore below_;
  vtpm::provision::DeferringStore store_{below_};
  StoredCertificates first_;
  boost::asio::io_context io_{1};
  std::unique_ptr<vtpm::engine::Engine> engine_;
  std::optional<vtpm::device::Device> device_;
  std::optional<AttestationUpkeep> upkeep_;
  int changes_ = 0;
};

TEST_F(AttestationUpkeepTest, RenewsACertificateThatIsDue) {
  serve(overdue());
  EXPECT_EQ(upkeep_->readiness().readiness, Readiness::kReady) << "the old one serves";

  until([this] { return durable().ak != first_.ak; });

  EXPECT_EQ(authority_.asked, 2);
  EXPECT_FALSE(authority_.of_host->new_seeds);
  EXPECT_FALSE(authority_.of_host->wants_ek_certificates);
  EXPECT_EQ(durable().rsa_ek, first_.rsa_ek);
}

TEST_F(AttestationUpkeepTest, LeavesOneAloneThatIsNotDue) {
  serve(made());
  EXPECT_EQ(upkeep_->readiness().readiness, Readiness::kReady);
  io_.poll();
  EXPECT_EQ(authority_.asked, 1);
  EXPECT_EQ(changes_, 0);
}

TEST_F(AttestationUpkeepTest, NeverKeepsTheGuestWaitingForTheAuthority) {
  certifier_.hold(false);
  auto provisioned = overdue();
  certifier_.hold(true);
  serve(std::move(provisioned));
  io_.run_one();  // the timer
  certifier_.wait_until_asked();

  EXPECT_EQ(run(tpm::get_random(8)), tpm::kSuccess) << "while the request is open";
  EXPECT_EQ(durable().ak, first_.ak);

  certifier_.hold(false);
  until([this] { return durable().ak != first_.ak; });
}

TEST_F(AttestationUpkeepTest, HasASuccessorAskAgainForWhatIsNotInTheTpmYet) {
  auto provisioned = overdue();
  certifier_.hold(true);
  serve(std::move(provisioned));
  ASSERT_TRUE(device_->init());  // before its Startup a TPM takes no write
  certifier_.hold(false);
  until([this] { return authority_.asked == 2; });
  io_.run_one_for(std::chrono::seconds(20));
  ASSERT_EQ(durable().ak, first_.ak);

  const auto left = upkeep_->so_far();

  ASSERT_TRUE(left.renew_at);
  EXPECT_LE(*left.renew_at, std::chrono::system_clock::now());
}

TEST_F(AttestationUpkeepTest, EndsInTheMiddleOfARequest) {
  auto provisioned = overdue();
  certifier_.hold(true);
  serve(std::move(provisioned));
  io_.run_one();
  certifier_.wait_until_asked();
  upkeep_->stop();
  upkeep_.reset();
  EXPECT_EQ(durable().ak, first_.ak);
}

TEST_F(AttestationUpkeepTest, AsksAgainWhereTheAuthorityWasAway) {
  authority_.refuses = base::Error{ErrorCode::kUnavailable, "away"};
  auto provisioned = made();
  authority_.refuses.reset();
  authority_.renews_without_proof = true;
  serve(std::move(provisioned));
  EXPECT_EQ(upkeep_->readiness().readiness, Readiness::kAkCertMissing);
  EXPECT_THAT(upkeep_->readiness().reason, testing::HasSubstr("away"));

  until([this] { return upkeep_->readiness().readiness == Readiness::kReady; });

  EXPECT_FALSE(durable().ak.empty());
  EXPECT_GT(changes_, 0);
}

TEST_F(AttestationUpkeepTest, AsksNobodyBeforeTheBrokerIsBackAndThenAtOnce) {
  authority_.refuses = base::Error{ErrorCode::kUnavailable, "away"};
  auto provisioned = made();
  authority_.refuses.reset();
  authority_.renews_without_proof = true;
  const int asked = authority_.asked;
  serve(std::move(provisioned), true);
  io_.run_for(std::chrono::seconds(3));  // what is tried again is tried within two
  EXPECT_EQ(authority_.asked, asked);
  EXPECT_EQ(upkeep_->readiness().readiness, Readiness::kAkCertMissing);

  io_.restart();
  upkeep_->broker_is_back(false);

  until([this] { return upkeep_->readiness().readiness == Readiness::kReady; });
  EXPECT_FALSE(durable().ak.empty());
}

TEST_F(AttestationUpkeepTest, OneThatIsDueIsNotRenewedWhileTheBrokerIsAway) {
  serve(overdue(), true);
  const int asked = authority_.asked;
  EXPECT_LT(io_.run_for(std::chrono::seconds(1)), 5U) << "nor asked for again and again";
  EXPECT_EQ(authority_.asked, asked);

  io_.restart();
  upkeep_->broker_is_back(false);

  until([this] { return durable().ak != first_.ak; });
}

TEST_F(AttestationUpkeepTest, OneThatTheBrokerHasRevokedIsReplacedAtOnce) {
  auto provisioned = made();
  authority_.renews_without_proof = true;
  serve(std::move(provisioned), true);
  upkeep_->broker_is_back(true);

  until([this] { return durable().ak != first_.ak; });
}

TEST_F(AttestationUpkeepTest, KeepsTheOldOneWhenItIsRefused) {
  auto provisioned = overdue();
  authority_.refuses = base::Error{ErrorCode::kDenied, "no more"};
  serve(std::move(provisioned));
  until([this] { return changes_ > 0; });
  EXPECT_EQ(durable().ak, first_.ak);
  EXPECT_EQ(upkeep_->readiness().readiness, Readiness::kReady);
}

TEST_F(AttestationUpkeepTest, SaysThatACertificateThatWasNotRenewedHasEnded) {
  const auto ends = authority_.now + std::chrono::seconds(5);
  const auto now = std::exchange(authority_.now, ends - authority_.life);
  auto provisioned = made();
  authority_.now = now;
  authority_.refuses = base::Error{ErrorCode::kDenied, "no more"};
  serve(std::move(provisioned));
  until([this] { return upkeep_->readiness().readiness == Readiness::kAkCertRefused; });
  EXPECT_THAT(upkeep_->readiness().reason,
              testing::AllOf(testing::HasSubstr("ended on " + keybroker::crypto::to_text(ends)),
                             testing::HasSubstr("no more")));
  EXPECT_EQ(durable().ak, first_.ak);
}

TEST_F(AttestationUpkeepTest, AGuestThatRemovesTheIndexEndsTheRenewalAndNoMore) {
  auto provisioned = overdue();
  provisioned->index_password = std::make_shared<const vtpm::provision::IndexPassword>(
      vtpm::provision::IndexPassword{*vmgs::crypto::random_secret<32>()});
  serve(std::move(provisioned));
  until([this] { return changes_ > 0; });
  EXPECT_EQ(upkeep_->readiness().readiness, Readiness::kReady) << "the old one has not ended";
  const int asked = authority_.asked;
  io_.run_for(std::chrono::seconds(3));  // what is tried again is tried within one second
  EXPECT_EQ(authority_.asked, asked);
  EXPECT_EQ(changes_, 1);
  EXPECT_EQ(durable().ak, first_.ak);
}

TEST_F(AttestationUpkeepTest, DoesNotProveTheAkWhileAGuestUsesTheTpm) {
  authority_.refuses = base::Error{ErrorCode::kUnavailable, "away"};
  auto provisioned = made();
  authority_.refuses.reset();
  serve(std::move(provisioned));
  until([this] { return changes_ > 0; });
  EXPECT_EQ(upkeep_->readiness().readiness, Readiness::kAkCertRefused);
  EXPECT_THAT(upkeep_->readiness().reason, testing::HasSubstr("next start"));
}

TEST_F(AttestationUpkeepTest, PutsTheAkBackThatTheGuestRemoves) {
  serve(made());
  ASSERT_EQ(run(tpm::clear()), tpm::kSuccess);
  EXPECT_EQ(run(tpm::evict(vtpm::provision::kRsaAkHandle)), tpm::kSuccess)
      << "it is there for the next command";
  ASSERT_EQ(run(tpm::set_auth(tpm::kEndorsement, base::bytes_of("secret"))), tpm::kSuccess);
  EXPECT_EQ(upkeep_->readiness().readiness, Readiness::kReady);
  ASSERT_EQ(run(tpm::evict(vtpm::provision::kEccAkHandle)), tpm::kSuccess) << "both were put back";

  until([this] { return upkeep_->readiness().readiness == Readiness::kAkMissing; });

  ASSERT_EQ(run(tpm::clear()), tpm::kSuccess);
  until([this] { return upkeep_->readiness().readiness == Readiness::kReady; });
}

}  // namespace
}  // namespace tools::vtpm_instance
