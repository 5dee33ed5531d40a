// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpmd/broker_relay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <fstream>
#include <mutex>

#include "keybroker/protocol/broker_service.pb.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_pki.h"
#include "transport/net/tcp_listener.h"
#include "transport/rpc/server.h"
#include "transport/rpc/within.h"
#include "vmgs/base/log.h"

namespace tools::vtpmd {
namespace {

namespace asio = boost::asio;
namespace broker = strongroom::broker::v1;
namespace rpc = transport::rpc;
using strongroom::instance::v1::BrokerCall;
using testing::HasSubstr;
using testing::Not;
using tests::support::TestPki;

using Answer = asio::awaitable<base::Result<broker::Relayed>>;
using Handler = std::function<Answer(std::string method, std::string message)>;

// A service of a key broker's shape at an address of its own, over real TLS.
class Broker {
 public:
  Broker(asio::io_context& io, const TestPki& pki, const TestPki::Files& files, Handler handler)
      : handler_(std::move(handler)) {
    const auto& service =
        *broker::Relayed::descriptor()->file()->FindServiceByName("KeyBrokerService");
    for (const char* method : {"Challenge", "Release", "Anchor"}) {
      methods_.unary<broker::Relayed, broker::Relayed>(
          service, method, [this, method](broker::Relayed request, rpc::CallContext) {
            ++calls_;
            return handler_(method, request.message());
          });
      roles_.allow(service, method, {transport::tls::Role::kHypervisor});
    }
    auto socket = transport::net::listen_tcp("127.0.0.1", 0);
    EXPECT_TRUE(socket) << socket.error().message;
    url_ = "https://127.0.0.1:" + std::to_string(transport::net::port_of(*socket));
    auto context =
        transport::tls::server_context({files.certificate, files.key, pki.authorities()});
    EXPECT_TRUE(context) << context.error().message;
    auto acceptor = rpc::Server::acceptor_of(io.get_executor(), *std::move(socket));
    server_.emplace(*std::move(acceptor), *context,
                    rpc::Served{.methods = &methods_, .roles = &roles_}, rpc::ServerOptions{});
    server_->start();
  }

  [[nodiscard]] const std::string& url() const { return url_; }

  [[nodiscard]] int calls() const { return calls_; }

 private:
  Handler handler_;
  rpc::Methods methods_;
  rpc::MethodRoles roles_;
  std::string url_;
  int calls_ = 0;
  std::optional<rpc::Server> server_;
};

Answer echo(std::string method, std::string message) {
  broker::Relayed answer;
  answer.set_message(method + ":" + message);
  co_return answer;
}

// Every byte there is, zeros among them.
std::string all_bytes() {
  std::string bytes;
  for (int value = 0; value < 256; ++value) {
    bytes.push_back(static_cast<char>(value));
  }
  return bytes;
}

class BrokerRelayTest : public testing::Test {
 protected:
  BrokerRelayTest() {
    base::set_log_sink([this](base::LogLevel, std::string_view line) {
      const std::lock_guard lock(log_mutex_);
      log_ += std::string(line) + "\n";
    });
  }

  ~BrokerRelayTest() override { base::set_log_sink({}); }

  // serve() starts one more endpoint, which the settings name after the others.
  Broker& serve(Handler handler) {
    auto& made = brokers_.emplace_back(io_, pki_, service_, std::move(handler));
    settings_.broker_endpoints.push_back(made.url());
    return made;
  }

  // An endpoint where nobody listens.
  void serve_nothing() {
    auto socket = transport::net::listen_tcp("127.0.0.1", 0);
    settings_.broker_endpoints.push_back("https://127.0.0.1:" +
                                         std::to_string(transport::net::port_of(*socket)));
  }

  void start(const char* role = "hypervisor") {
    const auto files = pki_.caller(role, {{"OU", role}, {"CN", "host-7"}});
    settings_.broker_certificate = files.certificate;
    settings_.broker_key = files.key;
    settings_.broker_authorities = pki_.authorities();
    auto relay = BrokerRelay::start(io_, settings_);
    ASSERT_TRUE(relay) << relay.error().message;
    relay_ = *std::move(relay);
  }

  BrokerRelay::Outcome carry(std::string message = "m",
                             BrokerCall::Method method = BrokerCall::RELEASE,
                             const BrokerRelay::VmId& vm = {}) {
    std::optional<BrokerRelay::Outcome> taken;
    BrokerCall call;
    call.set_serial(++serial_);
    call.set_method(method);
    call.set_message(std::move(message));
    relay_->carry({vm, "web1"}, std::move(call),
                  [&](const BrokerRelay::Outcome& outcome) { taken = outcome; });
    EXPECT_FALSE(taken) << "answered before carry() returned";
    io_.restart();
    while (!taken && io_.run_one() != 0) {
    }
    if (!taken) {
      ADD_FAILURE() << "there is no answer";
      return {};
    }
    EXPECT_EQ(taken->reply.serial(), serial_);
    return *std::move(taken);
  }

  std::string log() {
    const std::lock_guard lock(log_mutex_);
    return log_;
  }

  tests::support::TempFolder folder_;
  TestPki pki_{folder_.path(), "test"};
  TestPki::Files service_ = pki_.service("service");
  config::VtpmdSettings settings_;
  asio::io_context io_{1};
  std::deque<Broker> brokers_;
  std::unique_ptr<BrokerRelay> relay_;
  std::uint64_t serial_ = 0;
  std::mutex log_mutex_;
  std::string log_;
};

TEST_F(BrokerRelayTest, CarriesEachByteOfEachMethodBothWays) {
  serve(echo);
  start();
  const std::pair<BrokerCall::Method, const char*> methods[] = {
      {BrokerCall::CHALLENGE, "Challenge"},
      {BrokerCall::RELEASE, "Release"},
      {BrokerCall::ANCHOR, "Anchor"}};
  for (const auto& [method, name] : methods) {
    const auto outcome = carry(all_bytes(), method);
    EXPECT_EQ(outcome.reply.message(), std::string(name) + ":" + all_bytes());
    EXPECT_EQ(outcome.endpoint, brokers_[0].url());
  }
}

TEST_F(BrokerRelayTest, LogsWhatWasCarriedAndNothingOfIt) {
  serve(echo);
  start();
  (void)carry("seeded-secret-of-a-call");
  EXPECT_THAT(log(), HasSubstr("VM 'web1': Release of 23 bytes to its key broker, 31 bytes from " +
                               brokers_[0].url()));
  EXPECT_THAT(log(), Not(HasSubstr("seeded")));
}

TEST_F(BrokerRelayTest, WithoutABrokerEachCallIsAway) {
  start();
  const auto outcome = carry();
  EXPECT_THAT(outcome.reply.away().reason(), HasSubstr("[broker] endpoints"));
  EXPECT_EQ(outcome.endpoint, "");
}

TEST_F(BrokerRelayTest, EndpointsAreTriedInTurnAndTheOneThatAnsweredFirst) {
  serve_nothing();
  auto& second = serve(echo);
  start();
  EXPECT_EQ(carry().endpoint, second.url());
  EXPECT_EQ(carry().endpoint, second.url());
  const auto said = log();
  const auto first = said.find("key broker " + settings_.broker_endpoints[0]);
  ASSERT_NE(first, std::string::npos) << said;
  EXPECT_EQ(said.find("key broker " + settings_.broker_endpoints[0], first + 1), std::string::npos)
      << "it was tried again: " << said;
}

TEST_F(BrokerRelayTest, WhereNoEndpointCanBeReachedEachCallSaysWhy) {
  serve_nothing();
  start();
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(carry().reply.away().reason(), HasSubstr(settings_.broker_endpoints[0]));
  }
}

// Left alone it would be away to each VM that starts within the next seconds.
TEST_F(BrokerRelayTest, TheOnlyEndpointIsTriedEvenSoonAfterItFailed) {
  int calls = 0;
  const auto slow_at_first = [&calls](std::string method, std::string message) -> Answer {
    if (++calls <= 3) {
      asio::steady_timer never(co_await asio::this_coro::executor,
                               std::chrono::steady_clock::time_point::max());
      co_await never.async_wait(rpc::as_values);
    }
    broker::Relayed answer;
    answer.set_message(method + ":" + message);
    co_return answer;
  };
  auto& only = serve(slow_at_first);
  settings_.broker_timeout_seconds = 1;
  start();
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(carry().reply.has_away());
  }
  EXPECT_EQ(carry().endpoint, only.url());
}

TEST_F(BrokerRelayTest, WhatABusyBrokerAsksForIsPassedOnAndOthersAreTried) {
  const auto busy = [](std::string, std::string) -> Answer {
    co_return base::fail(base::ErrorCode::kUnavailable, "too much to do");
  };
  auto& first = serve(busy);
  auto& second = serve(echo);
  start();
  EXPECT_EQ(carry().endpoint, second.url());
  EXPECT_EQ(first.calls(), 1);
}

TEST_F(BrokerRelayTest, ARefusalOfWhatWasAskedIsAwayAndHarmsNoOtherVm) {
  const auto picky = [](std::string, std::string message) -> Answer {
    if (message == "garbage") {
      co_return base::fail(base::ErrorCode::kInvalidArgument, "this is no release request");
    }
    broker::Relayed answer;
    answer.set_message("good");
    co_return answer;
  };
  auto& first = serve(picky);
  auto& second = serve(picky);
  start();
  EXPECT_THAT(carry("garbage").reply.away().reason(), HasSubstr("this is no release request"));
  EXPECT_EQ(second.calls(), 0) << "garbage is garbage everywhere";
  EXPECT_EQ(carry("m").endpoint, first.url());
}

TEST_F(BrokerRelayTest, ACertificateOfAnotherRoleIsAwayAndToldToTheOperator) {
  serve(echo);
  start("auditor");
  EXPECT_TRUE(carry().reply.has_away());
  EXPECT_THAT(log(), HasSubstr("role hypervisor"));
  EXPECT_EQ(brokers_[0].calls(), 0);
}

TEST_F(BrokerRelayTest, ABrokerOfAnotherAuthorityIsAway) {
  const TestPki other(folder_.path(), "other");
  serve(echo);
  start();
  settings_.broker_authorities = other.authorities();
  auto relay = BrokerRelay::start(io_, settings_);
  ASSERT_TRUE(relay);
  relay_ = *std::move(relay);
  EXPECT_TRUE(carry().reply.has_away());
  EXPECT_EQ(brokers_[0].calls(), 0);
}

TEST_F(BrokerRelayTest, ASilentEndpointLeavesTimeForTheNext) {
  const auto silent = [](std::string, std::string) -> Answer {
    asio::steady_timer never(co_await asio::this_coro::executor,
                             std::chrono::steady_clock::time_point::max());
    co_await never.async_wait(rpc::as_values);
    co_return broker::Relayed();
  };
  serve(silent);
  auto& second = serve(echo);
  settings_.broker_timeout_seconds = 2;
  start();
  EXPECT_EQ(carry().endpoint, second.url());
}

TEST_F(BrokerRelayTest, NothingThatFitsIntoNoFrameIsCarried) {
  const auto swollen = [](std::string, std::string) -> Answer {
    broker::Relayed answer;
    answer.set_message(std::string(BrokerRelay::kMaxMessageBytes + 1, 'x'));
    co_return answer;
  };
  auto& only = serve(swollen);
  start();
  EXPECT_THAT(carry(std::string(BrokerRelay::kMaxMessageBytes + 1, 'x')).reply.away().reason(),
              HasSubstr("at most"));
  EXPECT_EQ(only.calls(), 0);
  EXPECT_THAT(carry().reply.away().reason(), HasSubstr("the answer has 61441 bytes"));
}

TEST_F(BrokerRelayTest, AVmThatFloodsIsSentAwayAndAnotherIsNot) {
  auto& only = serve(echo);
  start();
  int answered = 0;
  BrokerRelay::Outcome last;
  for (int i = 0; i < 30; ++i) {
    last = carry();
    answered += last.reply.has_message() ? 1 : 0;
  }
  EXPECT_LT(answered, 25);
  EXPECT_GE(answered, 16);
  EXPECT_EQ(only.calls(), answered);
  EXPECT_THAT(last.reply.away().reason(), HasSubstr("too often"));
  EXPECT_GE(last.reply.away().retry_after_seconds(), 1U);
  BrokerRelay::VmId other;
  other.bytes[0] = std::byte{1};
  EXPECT_TRUE(carry("m", BrokerCall::RELEASE, other).reply.has_message());
}

TEST_F(BrokerRelayTest, NoCallThatIsUnknownIsCarried) {
  auto& only = serve(echo);
  start();
  EXPECT_TRUE(carry("m", BrokerCall::UNSPECIFIED).reply.has_away());
  EXPECT_EQ(only.calls(), 0);
}

TEST_F(BrokerRelayTest, SettingsThatAreNotWholeAreRefused) {
  settings_.broker_endpoints = {"https://127.0.0.1:1"};
  EXPECT_THAT(BrokerRelay::start(io_, settings_).error().message, HasSubstr("set all three"));
  start();
  settings_.broker_endpoints = {"http://127.0.0.1:1"};
  EXPECT_THAT(BrokerRelay::start(io_, settings_).error().message, HasSubstr("[broker] endpoints"));
  settings_.broker_endpoints = {"https://127.0.0.1:1"};
  settings_.broker_certificate = folder_ / "none.pem";
  EXPECT_THAT(BrokerRelay::start(io_, settings_).error().message, HasSubstr("none.pem"));
}

}  // namespace
}  // namespace tools::vtpmd
