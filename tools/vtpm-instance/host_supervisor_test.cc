// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/host_supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <thread>

#include "tests/support/error_code.h"

namespace tools::vtpm_instance {
namespace {

namespace instance = strongroom::instance::v1;
using base::ErrorCode;
using tests::support::error_code;
using vtpm::provision::Certificates;

// An instance's end of a link, and vtpmd's in the hands of a test.
class HostSupervisorTest : public testing::Test {
 protected:
  HostSupervisorTest() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    vtpmd_ = base::Descriptor(ends[0]);
    supervisor_.emplace(base::Descriptor(ends[1]));
  }

  // Sent by vtpmd.
  void send(const instance::ToInstance& message) const {
    EXPECT_TRUE(vtpm::host::send_frame(vtpmd_.number(), message));
  }

  void send_setup(bool may_create) const {
    instance::ToInstance message;
    message.mutable_setup()->set_may_create(may_create);
    send(message);
  }

  void send_serve() const {
    instance::ToInstance message;
    message.mutable_serve();
    send(message);
  }

  void send_stop() const {
    instance::ToInstance message;
    message.mutable_stop();
    send(message);
  }

  static instance::ToInstance certificates(std::uint64_t serial, const char* leaf = "leaf") {
    instance::ToInstance message;
    auto& answer = *message.mutable_certification_answer();
    answer.set_serial(serial);
    answer.mutable_certificates()->set_ak(leaf);
    answer.mutable_certificates()->set_ak_chain("chain");
    answer.mutable_certificates()->set_rsa_ek("ek");
    return message;
  }

  // The next request that vtpmd gets.
  instance::CertificationRequest request() {
    instance::FromInstance message;
    while (!message.has_certification_request()) {
      const auto complete = received_.next(message);
      if (!complete || (!*complete && !received_.receive(vtpmd_.number()).value_or(false))) {
        ADD_FAILURE() << "there is no request";
        return {};
      }
    }
    return message.certification_request();
  }

  // The next State that vtpmd gets.
  instance::State state() {
    instance::FromInstance message;
    while (!message.has_state()) {
      const auto complete = received_.next(message);
      if (!complete || (!*complete && !received_.receive(vtpmd_.number()).value_or(false))) {
        ADD_FAILURE() << "there is no state";
        return {};
      }
    }
    return message.state();
  }

  base::Result<Certificates> ask(const std::stop_token& stop = {}) {
    const vtpm::provision::CertificationOfHost wanted{.ak = {std::byte{1}},
                                                      .rsa_ek = {std::byte{2}},
                                                      .ecc_ek = {},
                                                      .new_seeds = true,
                                                      .wants_ek_certificates = true,
                                                      .claims_digest = base::Bytes(32)};
    return supervisor_->certifier()->certify(
        wanted,
        [](const vtpm::provision::CredentialChallenge& challenge) {
          base::SecretBytes secret(challenge.credential_blob.size());
          std::ranges::copy(challenge.credential_blob, secret.fill().begin());
          return base::Result<base::SecretBytes>(std::move(secret));
        },
        stop);
  }

  // Serves, so that orders are read by whoever calls order().
  void open() {
    send_setup(false);
    ASSERT_TRUE(supervisor_->receive_setup());
    ASSERT_TRUE(supervisor_->opened({}));
    supervisor_->loop_reads(true);
  }

  base::Descriptor vtpmd_;
  vtpm::host::FrameReader received_;
  std::optional<HostSupervisor> supervisor_;
};

TEST_F(HostSupervisorTest, TellsWhereTheTpmIsAndEndsAsMovedAwayWhereItWasOffered) {
  open();
  supervisor_->travelled({.migration = Migration::kOffered,
                          .seals_to_tickets = true,
                          .states_taken = 2,
                          .states_put_in = 1});
  const auto told = state();
  EXPECT_EQ(told.migration(), instance::State::OFFERED);
  EXPECT_TRUE(told.seals_to_tickets());
  EXPECT_EQ(told.states_taken(), 2U);
  EXPECT_EQ(told.states_put_in(), 1U);

  supervisor_->finish({});

  const auto last = state();
  EXPECT_TRUE(last.is_last());
  EXPECT_EQ(last.readiness(), "moved-away");
}

TEST_F(HostSupervisorTest, IsToldThatTheTpmCanBeTakenBack) {
  open();
  instance::ToInstance message;
  message.mutable_take_back();
  send(message);

  EXPECT_EQ(supervisor_->order(), Order::kTakeBack);
}

TEST_F(HostSupervisorTest, IsCertifiedBeforeItServes) {
  send_setup(true);
  ASSERT_TRUE(supervisor_->receive_setup());
  std::jthread vtpmd([this] {
    const auto asked = request();
    EXPECT_TRUE(asked.host().new_seeds());
    EXPECT_TRUE(asked.host().wants_ek_certificates());
    EXPECT_EQ(asked.host().ak(), "\x01");
    instance::ToInstance challenge;
    challenge.mutable_certification_answer()->set_serial(asked.serial());
    auto& content = *challenge.mutable_certification_answer()->mutable_challenge();
    content.set_id("id");
    content.set_credential_blob("wrapped");
    content.set_encrypted_secret("secret");
    send(challenge);
    const auto proof = request();
    EXPECT_NE(proof.serial(), asked.serial());
    EXPECT_EQ(proof.host_proof().challenge(), "id");
    EXPECT_EQ(proof.host_proof().secret(), "wrapped");
    send(certificates(asked.serial(), "of a request that is over"));
    send(certificates(proof.serial()));
    send(certificates(asked.serial(), "of a request that is over"));
    send_serve();
  });
  const auto given = ask();
  ASSERT_TRUE(given) << given.error().message;
  EXPECT_EQ(given->ak, base::copy_of(base::bytes_of("leaf")));
  EXPECT_EQ(given->ak_chain, base::copy_of(base::bytes_of("chain")));
  EXPECT_EQ(given->rsa_ek, base::copy_of(base::bytes_of("ek")));
  EXPECT_TRUE(given->ecc_ek.empty());
  EXPECT_TRUE(supervisor_->opened({.created = true, .opened_by = {}}))
      << "the word to serve is still there";
}

TEST_F(HostSupervisorTest, AskedOfEvidenceItSendsAllOfIt) {
  std::jthread vtpmd([this] {
    const auto asked = request();
    EXPECT_EQ(asked.confidential().report(), "report");
    EXPECT_EQ(asked.confidential().certificate_table(), "table");
    EXPECT_EQ(asked.confidential().hcl_report(), "hcl");
    EXPECT_EQ(asked.confidential().extended_claims(), "claims");
    EXPECT_EQ(asked.confidential().rsa_ek(), "rsa");
    EXPECT_EQ(asked.confidential().ecc_ek(), "ecc");
    send(certificates(asked.serial()));
  });
  const auto bytes = [](std::string_view text) { return base::copy_of(base::bytes_of(text)); };
  vtpm::provision::CertificationOfEvidence wanted;
  wanted.bound.evidence = {.report = bytes("report"), .certificates = bytes("table")};
  wanted.bound.report = {.hcl = bytes("hcl"), .extended_claims = "claims"};
  wanted.rsa_ek = bytes("rsa");
  wanted.ecc_ek = bytes("ecc");
  EXPECT_TRUE(supervisor_->certifier()->certify(wanted, {}));
}

TEST_F(HostSupervisorTest, ARefusalSaysWhetherItMayPass) {
  for (const bool may_pass : {true, false}) {
    std::jthread vtpmd([this, may_pass] {
      instance::ToInstance message;
      auto& answer = *message.mutable_certification_answer();
      answer.set_serial(request().serial());
      answer.mutable_refusal()->set_reason("no policy");
      answer.mutable_refusal()->set_may_pass(may_pass);
      send(message);
    });
    const auto refused = ask();
    EXPECT_EQ(error_code(refused), may_pass ? ErrorCode::kUnavailable : ErrorCode::kDenied);
    EXPECT_THAT(refused.error().message, testing::HasSubstr("no policy"));
  }
}

TEST_F(HostSupervisorTest, AStopEndsTheWaitAndIsObeyed) {
  send_setup(true);
  ASSERT_TRUE(supervisor_->receive_setup());
  std::jthread vtpmd([this] {
    (void)request();
    send_stop();
  });
  EXPECT_EQ(error_code(ask()), ErrorCode::kUnavailable);
  EXPECT_EQ(error_code(supervisor_->opened({.created = true, .opened_by = {}})),
            ErrorCode::kUnavailable);
}

TEST_F(HostSupervisorTest, AVtpmdThatGoesIsNotWaitedFor) {
  std::jthread vtpmd([this] {
    (void)request();
    vtpmd_ = base::Descriptor();
  });
  EXPECT_EQ(error_code(ask()), ErrorCode::kUnavailable);
}

// Without a word of vtpmd's, which says no more: of a start that it has something to note about,
// nobody is served.
TEST_F(HostSupervisorTest, ServesNobodyBeforeVtpmdHasNotedWhatItWantsTo) {
  for (const bool awaits : {false, true}) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    const base::Descriptor vtpmd(ends[0]);
    HostSupervisor supervisor{base::Descriptor(ends[1])};
    instance::ToInstance message;
    message.mutable_setup()->set_await_serve(awaits);
    ASSERT_TRUE(vtpm::host::send_frame(vtpmd.number(), message));
    ASSERT_TRUE(supervisor.receive_setup());
    ASSERT_EQ(::shutdown(vtpmd.number(), SHUT_WR), 0);
    EXPECT_EQ(supervisor.opened({}).has_value(), !awaits);
  }
}

// A VM may be replaced as soon as it is served, which vtpmd knows before the instance does.
TEST_F(HostSupervisorTest, AnOrderRightBehindTheWordToServeIsFollowedOnceItServes) {
  send_setup(true);
  ASSERT_TRUE(supervisor_->receive_setup());
  send_serve();
  instance::ToInstance order;
  order.mutable_hand_over();
  std::array<int, 2> way{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, way.data()), 0);
  const base::Descriptor ours(way[0]);
  const base::Descriptor theirs(way[1]);
  ASSERT_TRUE(vtpm::host::send_frame(vtpmd_.number(), order, std::array{theirs.number()}));

  const auto opened = supervisor_->opened({});
  ASSERT_TRUE(opened) << opened.error().message;

  EXPECT_EQ(supervisor_->order(), Order::kHandOver);
  EXPECT_TRUE(supervisor_->successor().is_open());
  EXPECT_EQ(supervisor_->order(), Order::kNone) << "and it waits for no other";
}

TEST_F(HostSupervisorTest, WhileItServesAnswersComeThroughItsOrders) {
  open();
  base::Result<Certificates> given = base::fail(ErrorCode::kNotFound, "");
  std::jthread worker([&] { given = ask(); });
  const auto asked = request();
  send(certificates(asked.serial()));
  EXPECT_EQ(supervisor_->order(), Order::kNone);
  worker.join();
  EXPECT_TRUE(given) << given.error().message;
}

TEST_F(HostSupervisorTest, AnAnswerHidesNoOrderBehindIt) {
  open();
  std::jthread worker([&] { EXPECT_TRUE(ask()); });
  send(certificates(request().serial()));
  send_stop();
  EXPECT_EQ(supervisor_->order(), Order::kStop);
}

TEST_F(HostSupervisorTest, WhileItServesAVtpmdThatGoesEndsTheWait) {
  open();
  base::Result<Certificates> given = base::fail(ErrorCode::kNotFound, "");
  std::jthread worker([&] { given = ask(); });
  (void)request();
  vtpmd_ = base::Descriptor();
  EXPECT_EQ(supervisor_->order(), Order::kAlone);
  worker.join();
  EXPECT_EQ(error_code(given), ErrorCode::kDenied);
  EXPECT_THAT(given.error().message, testing::HasSubstr("gone"));
  EXPECT_EQ(error_code(ask()), ErrorCode::kDenied) << "and nobody is asked again";
}

TEST_F(HostSupervisorTest, GivesEachOfTheOrdersThatCameTogether) {
  open();
  instance::ToInstance order;
  order.mutable_take_back();
  send(order);
  order.mutable_stop()->set_only_while_it_awaits(true);
  send(order);

  EXPECT_EQ(supervisor_->order(), Order::kStopIfAwaiting);
  EXPECT_EQ(supervisor_->order(), Order::kTakeBack);
  EXPECT_EQ(supervisor_->order(), Order::kNone);
  send(order);
  send_stop();
  EXPECT_EQ(supervisor_->order(), Order::kStop);
}

// What it said before it had opened anything was taken for the word of a TPM that had arrived.
TEST_F(HostSupervisorTest, AwaitsTheTpmFromItsSetupOn) {
  instance::ToInstance message;
  message.mutable_setup()->set_awaits_tpm(true);
  send(message);
  ASSERT_TRUE(supervisor_->receive_setup());

  supervisor_->changed(keybroker::protocol::Readiness::kNotSetUp, "no place for it", false);

  EXPECT_EQ(state().migration(), instance::State::AWAITED);
}

// Nobody looks for orders any more when an instance says its last words.
TEST_F(HostSupervisorTest, AfterItServedItReadsAnswersItself) {
  open();
  supervisor_->loop_reads(false);
  std::jthread vtpmd([this] { send(certificates(request().serial())); });
  EXPECT_TRUE(ask());
}

TEST_F(HostSupervisorTest, AWaitCanBeEnded) {
  open();
  std::stop_source stop;
  base::Result<Certificates> given = base::fail(ErrorCode::kNotFound, "");
  std::jthread worker([&] { given = ask(stop.get_token()); });
  (void)request();
  stop.request_stop();
  worker.join();
  EXPECT_EQ(error_code(given), ErrorCode::kUnavailable);
}

// It ended as "store-failing", whose remedy is to repair a store that is well.
TEST_F(HostSupervisorTest, ABrokerThatIsAwayIsWhyAStartEnds) {
  supervisor_->changed(keybroker::protocol::Readiness::kBrokerAway, "nobody answers", false);
  supervisor_->finish(base::fail(ErrorCode::kUnavailable, "nobody answers"));
  instance::FromInstance message;
  while (!message.state().is_last()) {
    const auto complete = received_.next(message);
    ASSERT_TRUE(complete);
    if (!*complete) {
      ASSERT_TRUE(received_.receive(vtpmd_.number()).value_or(false));
    }
  }
  EXPECT_EQ(message.state().readiness(), "broker-away");
}

}  // namespace
}  // namespace tools::vtpm_instance
