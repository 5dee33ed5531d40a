// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpmd/broker_relay.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "keybroker/protocol/broker_service.pb.h"
#include "tools/daemon/log.h"
#include "transport/tls/context.h"
#include "transport/tls/endpoint.h"
#include "vmgs/base/log.h"

namespace tools::vtpmd {

namespace {

namespace asio = boost::asio;
namespace broker = strongroom::broker::v1;
using base::ErrorCode;
using base::LogLevel;
using std::chrono::milliseconds;
using std::chrono::seconds;
using strongroom::instance::v1::BrokerCall;
using transport::rpc::Code;
using transport::rpc::RpcError;

// How long an endpoint that cannot be reached is left alone: twice as long each time.
constexpr seconds kShortestPause{1};
constexpr seconds kLongestPause{16};

// What a call that a VM makes too early, or while another is open, is told to wait.
constexpr seconds kBudgetPause{2};

// The name of a method in KeyBrokerService; null for one that is not there.
const char* method_name(BrokerCall::Method method) {
  switch (method) {
    case BrokerCall::CHALLENGE:
      return "Challenge";
    case BrokerCall::RELEASE:
      return "Release";
    case BrokerCall::ANCHOR:
      return "Anchor";
    default:
      return nullptr;
  }
}

BrokerRelay::Outcome away(const std::string& reason, seconds retry_after = seconds(0)) {
  BrokerRelay::Outcome outcome;
  auto& said = *outcome.reply.mutable_away();
  said.set_reason(reason);
  said.set_retry_after_seconds(static_cast<std::uint32_t>(retry_after.count()));
  return outcome;
}

// What keeps the road itself from being used, whoever calls.
bool is_of_road(const RpcError& error) {
  return !error.retry_after &&
         (error.code == Code::kUnavailable || error.code == Code::kDeadlineExceeded ||
          error.code == Code::kUnauthenticated);
}

// Another endpoint may do better.
bool is_of_endpoint(const RpcError& error) {
  return is_of_road(error) || error.retry_after || error.code == Code::kUnavailable ||
         error.code == Code::kResourceExhausted || error.code == Code::kPermissionDenied;
}

std::string sentence(const std::string& url, const RpcError& error) {
  std::string text = url + ": " + error.message;
  if (error.code == Code::kPermissionDenied) {
    text += "; this host's certificate ([broker] certificate) has to be one of role hypervisor";
  }
  return text;
}

}  // namespace

base::Result<std::unique_ptr<BrokerRelay>> BrokerRelay::start(
    asio::io_context& io, const config::VtpmdSettings& settings) {
  std::vector<Endpoint> endpoints;
  if (!settings.broker_endpoints.empty()) {
    if (settings.broker_certificate.empty() || settings.broker_key.empty() ||
        settings.broker_authorities.empty()) {
      return base::fail(
          ErrorCode::kInvalidArgument,
          "[broker] names endpoints; they are spoken to with a certificate, its key and "
          "the authorities that are believed: set all three");
    }
    auto context = transport::tls::client_context({.certificate = settings.broker_certificate,
                                                   .key = settings.broker_key,
                                                   .authorities = settings.broker_authorities});
    if (!context) {
      return base::fail(std::move(context).error().context("[broker]"));
    }
    const auto& service =
        *broker::Relayed::descriptor()->file()->FindServiceByName("KeyBrokerService");
    for (const auto& url : settings.broker_endpoints) {
      auto parsed = transport::tls::parse_endpoint(url);
      if (!parsed) {
        return base::fail(std::move(parsed).error().context("[broker] endpoints"));
      }
      endpoints.push_back({.url = url, .client = {{*std::move(parsed)}, *context, service}});
    }
  }
  return std::unique_ptr<BrokerRelay>(
      new BrokerRelay(io, std::move(endpoints), seconds(settings.broker_timeout_seconds)));
}

void BrokerRelay::carry(Caller caller, Call call, std::function<void(const Outcome&)> take) {
  const auto began = Clock::now();
  const auto serial = call.serial();
  const auto sent_bytes = call.message().size();
  const char* const method = method_name(call.method());
  auto finish = [caller = std::move(caller), take = std::move(take), began, serial, sent_bytes,
                 method](Outcome outcome) {
    outcome.reply.set_serial(serial);
    const auto& reply = outcome.reply;
    const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - began);
    daemon::log_of_vm(
        reply.has_away() ? LogLevel::kWarning : LogLevel::kInfo, caller.id, caller.name,
        "VM '" + caller.name + "': " + (method == nullptr ? "an unknown call" : method) + " of " +
            std::to_string(sent_bytes) + " bytes to its key broker, " +
            (reply.has_away()
                 ? "away: " + reply.away().reason()
                 : std::to_string(reply.message().size()) + " bytes from " + outcome.endpoint) +
            ", " + std::to_string(took.count()) + " ms");
    take(outcome);
  };
  std::optional<Outcome> refused;
  if (method == nullptr) {
    refused = away("this vtpmd knows no such call to a key broker");
  } else if (sent_bytes > kMaxMessageBytes) {
    refused = away("a message to a key broker has at most " + std::to_string(kMaxMessageBytes) +
                   " bytes, and this one " + std::to_string(sent_bytes));
  } else if (endpoints_.empty()) {
    refused = away("this host has no key broker; name it in vtpmd.toml: [broker] endpoints");
  } else if (!budget_.take(caller.id.bytes, began)) {
    refused = away("this VM calls its key broker too often", kBudgetPause);
  }
  if (refused) {
    asio::post(io_, [finish = std::move(finish), outcome = *std::move(refused)]() mutable {
      finish(std::move(outcome));
    });
    return;
  }
  asio::co_spawn(
      io_, answer(std::move(call)),
      [finish = std::move(finish)](const std::exception_ptr& bug, Outcome outcome) mutable {
        if (bug) {
          std::rethrow_exception(bug);
        }
        finish(std::move(outcome));
      });
}

// The one that answered last, then the others as the settings have them. Where all are to be left
// alone, the one that is due first: it may be well again, and no VM is away for having come early.
std::vector<BrokerRelay::Endpoint*> BrokerRelay::in_turn() {
  std::vector<Endpoint*> turn;
  for (std::size_t i = 0; i < endpoints_.size(); ++i) {
    auto& endpoint = endpoints_[(preferred_ + i) % endpoints_.size()];
    if (endpoint.not_before <= Clock::now()) {
      turn.push_back(&endpoint);
    }
  }
  if (turn.empty()) {
    const auto due_first = std::min_element(endpoints_.begin(), endpoints_.end(),
                                            [](const Endpoint& one, const Endpoint& other) {
                                              return one.not_before < other.not_before;
                                            });
    turn.push_back(&*due_first);
  }
  return turn;
}

void BrokerRelay::failed(Endpoint& endpoint, const RpcError& error) {
  if (is_of_road(error)) {
    endpoint.failures = std::min(endpoint.failures + 1, 10);
    const auto pause =
        std::min(kLongestPause, seconds(kShortestPause.count() << (endpoint.failures - 1)));
    endpoint.not_before = Clock::now() + pause;
  }
  const auto why = sentence(endpoint.url, error);
  if (std::exchange(endpoint.why, why) == why) {
    return;  // it was said
  }
  const bool needs_operator =
      error.code == Code::kUnauthenticated || error.code == Code::kPermissionDenied;
  base::log(needs_operator ? LogLevel::kError : LogLevel::kWarning, "key broker " + why);
}

asio::awaitable<BrokerRelay::Outcome> BrokerRelay::answer(Call call) {
  const auto deadline = Clock::now() + timeout_;
  const auto turn = in_turn();
  broker::Relayed request;
  *request.mutable_message() = std::move(*call.mutable_message());
  std::string reasons;
  std::optional<seconds> retry_after;
  for (std::size_t i = 0; i < turn.size(); ++i) {
    auto& endpoint = *turn[i];
    // One that is silent leaves time for the others.
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now()) /
                      static_cast<std::int64_t>(turn.size() - i);
    auto asked = co_await endpoint.client.ask<broker::Relayed>(method_name(call.method()), request,
                                                               std::max(left, milliseconds(1)));
    if (asked) {
      endpoint.failures = 0;
      endpoint.not_before = {};
      if (!std::exchange(endpoint.why, "").empty()) {
        base::log(LogLevel::kInfo, "key broker " + endpoint.url + ": answers again");
      }
      preferred_ = static_cast<std::size_t>(&endpoint - endpoints_.data());
      if (asked->message().size() > kMaxMessageBytes) {
        co_return away(endpoint.url + ": the answer has " +
                       std::to_string(asked->message().size()) + " bytes, and none has more than " +
                       std::to_string(kMaxMessageBytes));
      }
      Outcome outcome;
      *outcome.reply.mutable_message() = std::move(*asked->mutable_message());
      outcome.endpoint = endpoint.url;
      co_return outcome;
    }
    const auto& error = asked.error();
    reasons += (reasons.empty() ? "" : "; ") + sentence(endpoint.url, error);
    if (!is_of_endpoint(error)) {
      break;  // it is what was asked
    }
    failed(endpoint, error);
    if (error.retry_after) {
      retry_after = std::min(retry_after.value_or(seconds::max()), *error.retry_after);
    }
  }
  co_return away(reasons, retry_after.value_or(seconds(0)));
}

}  // namespace tools::vtpmd
