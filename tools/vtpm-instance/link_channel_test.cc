// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/link_channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <thread>

#include "tests/support/error_code.h"
#include "tools/vtpm-instance/host_supervisor.h"

namespace tools::vtpm_instance {
namespace {

namespace instance = strongroom::instance::v1;
using base::ErrorCode;
using keybroker::client::Method;
using testing::HasSubstr;
using tests::support::error_code;

// Every byte there is, zeros among them.
base::Bytes all_bytes() {
  base::Bytes bytes;
  for (unsigned value = 0; value < 256; ++value) {
    bytes.push_back(static_cast<std::byte>(value));
  }
  return bytes;
}

// An instance's road to its broker, and vtpmd's end of it in the hands of a test.
class LinkChannelTest : public testing::Test {
 protected:
  LinkChannelTest() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    vtpmd_ = base::Descriptor(ends[0]);
    supervisor_.emplace(base::Descriptor(ends[1]));
  }

  // The next message that vtpmd gets.
  instance::FromInstance next() {
    instance::FromInstance message;
    for (;;) {
      const auto complete = received_.next(message);
      if (complete && *complete) {
        return message;
      }
      if (!complete || !received_.receive(vtpmd_.number()).value_or(false)) {
        ADD_FAILURE() << "there is no message";
        return {};
      }
    }
  }

  instance::BrokerCall next_call() {
    const auto message = next();
    EXPECT_TRUE(message.has_broker_call());
    return message.broker_call();
  }

  void send(const instance::ToInstance& message) const {
    EXPECT_TRUE(vtpm::host::send_frame(vtpmd_.number(), message));
  }

  void reply(std::uint64_t serial, const base::Bytes& answer) const {
    instance::ToInstance message;
    message.mutable_broker_reply()->set_serial(serial);
    message.mutable_broker_reply()->set_message(answer.data(), answer.size());
    send(message);
  }

  void reply_away(std::uint64_t serial, std::uint32_t retry_after_seconds) const {
    instance::ToInstance message;
    auto& away = *message.mutable_broker_reply()->mutable_away();
    message.mutable_broker_reply()->set_serial(serial);
    away.set_reason("no endpoint answers");
    away.set_retry_after_seconds(retry_after_seconds);
    send(message);
  }

  base::Result<base::Bytes> call(const base::Bytes& message = all_bytes(),
                                 const std::stop_token& stop = {}) {
    return supervisor_->broker()->call(Method::kRelease, message, stop);
  }

  // From here on orders are read by whoever calls order().
  void serve() {
    instance::ToInstance message;
    message.mutable_setup();
    send(message);
    ASSERT_TRUE(supervisor_->receive_setup());
    ASSERT_TRUE(supervisor_->opened({}));
    supervisor_->loop_reads(true);
    EXPECT_TRUE(next().has_opened());
  }

  base::Descriptor vtpmd_;
  vtpm::host::FrameReader received_;
  std::optional<HostSupervisor> supervisor_;
};

TEST_F(LinkChannelTest, CarriesEachByteBothWaysBeforeItServes) {
  std::jthread vtpmd([this] {
    const auto asked = next_call();
    EXPECT_EQ(asked.method(), instance::BrokerCall::RELEASE);
    EXPECT_EQ(base::copy_of(base::bytes_of(asked.message())), all_bytes());
    reply(asked.serial(), base::Bytes(LinkChannel::kMaxMessageBytes, std::byte{7}));
  });
  const auto answer = call();
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(*answer, base::Bytes(LinkChannel::kMaxMessageBytes, std::byte{7}));
  EXPECT_EQ(supervisor_->broker()->retry_after(), std::nullopt);
}

TEST_F(LinkChannelTest, EachMethodGoesByItsName) {
  const std::array methods = {std::pair(Method::kChallenge, instance::BrokerCall::CHALLENGE),
                              std::pair(Method::kRelease, instance::BrokerCall::RELEASE),
                              std::pair(Method::kAnchor, instance::BrokerCall::ANCHOR)};
  for (const auto& method : methods) {
    std::jthread vtpmd([&] {
      const auto asked = next_call();
      EXPECT_EQ(asked.method(), method.second);
      reply(asked.serial(), {});
    });
    EXPECT_TRUE(supervisor_->broker()->call(method.first, all_bytes(), {}));
  }
}

TEST_F(LinkChannelTest, AwayIsNoAnswerAndSaysWhenToAskAgain) {
  std::jthread vtpmd([this] {
    reply_away(next_call().serial(), 30);
    reply(next_call().serial(), {});
  });
  const auto away = call();
  EXPECT_EQ(error_code(away), ErrorCode::kUnavailable);
  EXPECT_THAT(away.error().message, HasSubstr("no endpoint answers"));
  EXPECT_EQ(supervisor_->broker()->retry_after(), std::chrono::seconds(30));
  EXPECT_TRUE(call());
  EXPECT_EQ(supervisor_->broker()->retry_after(), std::nullopt) << "said of the call before";
}

TEST_F(LinkChannelTest, RepliesToAnotherCallAreNobodys) {
  std::jthread vtpmd([this] {
    reply_away(next_call().serial(), 0);
    const auto asked = next_call();
    reply(asked.serial() - 1, {std::byte{1}});
    reply(asked.serial() + 1, {std::byte{1}});
    reply(0, {std::byte{1}});
    reply(asked.serial(), {std::byte{2}});
  });
  EXPECT_FALSE(call());
  const auto answer = call();
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(*answer, base::Bytes{std::byte{2}});
}

TEST_F(LinkChannelTest, AReplyWithoutAnAnswerIsNone) {
  std::jthread vtpmd([this] {
    instance::ToInstance message;
    message.mutable_broker_reply()->set_serial(next_call().serial());
    send(message);
  });
  EXPECT_EQ(error_code(call()), ErrorCode::kUnavailable);
}

TEST_F(LinkChannelTest, AMessageThatFitsIntoNoFrameGoesNowhere) {
  const auto refused = call(base::Bytes(LinkChannel::kMaxMessageBytes + 1));
  EXPECT_EQ(error_code(refused), ErrorCode::kUnavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("too long"));
}

TEST_F(LinkChannelTest, WhileItServesRepliesComeThroughItsOrders) {
  serve();
  base::Result<base::Bytes> answer = base::fail(ErrorCode::kNotFound, "");
  std::jthread worker([&] { answer = call(); });
  reply(next_call().serial(), {std::byte{3}});
  EXPECT_EQ(supervisor_->order(), Order::kNone);
  worker.join();
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(*answer, base::Bytes{std::byte{3}});
}

TEST_F(LinkChannelTest, AVtpmdThatGoesIsAwayAndNoRefusal) {
  serve();
  base::Result<base::Bytes> answer = base::fail(ErrorCode::kNotFound, "");
  std::jthread worker([&] { answer = call(); });
  (void)next_call();
  vtpmd_ = base::Descriptor();
  EXPECT_EQ(supervisor_->order(), Order::kAlone);
  worker.join();
  EXPECT_EQ(error_code(answer), ErrorCode::kUnavailable);
  EXPECT_THAT(answer.error().message, HasSubstr("gone"));
  EXPECT_EQ(error_code(call()), ErrorCode::kUnavailable) << "and nobody is asked again";
}

TEST_F(LinkChannelTest, AWaitCanBeEnded) {
  serve();
  std::stop_source stop;
  base::Result<base::Bytes> answer = base::fail(ErrorCode::kNotFound, "");
  std::jthread worker([&] { answer = call(all_bytes(), stop.get_token()); });
  (void)next_call();
  stop.request_stop();
  worker.join();
  EXPECT_EQ(error_code(answer), ErrorCode::kUnavailable);
}

TEST_F(LinkChannelTest, APauseBeforeItServesEndsWithTheOrderToStop) {
  EXPECT_TRUE(supervisor_->broker()->pause(std::chrono::milliseconds(1), {}));
  EXPECT_FALSE(supervisor_->stopping().stop_requested());
  instance::ToInstance order;
  order.mutable_stop();
  send(order);

  EXPECT_FALSE(supervisor_->broker()->pause(std::chrono::hours(1), {}));

  EXPECT_TRUE(supervisor_->stopping().stop_requested());
}

TEST_F(LinkChannelTest, ACallBeforeItServesEndsWithTheOrderToStop) {
  instance::ToInstance order;
  order.mutable_stop();
  send(order);
  EXPECT_EQ(error_code(call()), ErrorCode::kUnavailable);
  EXPECT_TRUE(supervisor_->stopping().stop_requested());
  EXPECT_TRUE(next().has_broker_call());

  // Whatever it goes on to say, its end was ordered.
  supervisor_->finish(base::fail(ErrorCode::kUnavailable, "no broker"));
  EXPECT_EQ(next().state().readiness(), "stopped");
}

TEST_F(LinkChannelTest, WhileItServesAPauseEndsWithItsStopTokenOrVtpmd) {
  serve();
  std::stop_source stop;
  bool passed = true;
  std::jthread worker(
      [&] { passed = supervisor_->broker()->pause(std::chrono::hours(1), stop.get_token()); });
  stop.request_stop();
  worker.join();
  EXPECT_FALSE(passed);

  vtpmd_ = base::Descriptor();
  EXPECT_EQ(supervisor_->order(), Order::kAlone);
  EXPECT_FALSE(supervisor_->broker()->pause(std::chrono::hours(1), {}));
}

TEST_F(LinkChannelTest, ACallWaitsNoLongerThanItIsTold) {
  supervisor_->broker()->wait_at_most(std::chrono::seconds(1));
  EXPECT_EQ(error_code(call()), ErrorCode::kUnavailable);
  EXPECT_FALSE(supervisor_->stopping().stop_requested());
}

TEST_F(LinkChannelTest, AReceiptGoesToVtpmdAsItIs) {
  supervisor_->keep_receipt(all_bytes());
  const auto message = next();
  ASSERT_TRUE(message.has_receipt());
  EXPECT_EQ(base::copy_of(base::bytes_of(message.receipt().receipt())), all_bytes());
}

}  // namespace
}  // namespace tools::vtpm_instance
