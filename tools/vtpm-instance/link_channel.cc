// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/link_channel.h"

#include <string>
#include <utility>

namespace tools::vtpm_instance {

namespace {

namespace instance = strongroom::instance::v1;
using base::ErrorCode;
using instance::BrokerCall;
using keybroker::client::Method;

BrokerCall::Method method_of(Method method) {
  switch (method) {
    case Method::kChallenge:
      return BrokerCall::CHALLENGE;
    case Method::kRelease:
      return BrokerCall::RELEASE;
    case Method::kAnchor:
      return BrokerCall::ANCHOR;
  }
  return BrokerCall::UNSPECIFIED;
}

}  // namespace

LinkChannel::LinkChannel(LinkEnds link)
    : exchange_(std::move(link), kPatience, "the call to the key broker",
                {ErrorCode::kUnavailable,
                 "the vtpmd of this start has gone, and with it the road to the key broker; the "
                 "VM's next start has one"}) {}

base::Result<base::Bytes> LinkChannel::call(Method method, base::ByteView message,
                                            const std::stop_token& stop) {
  retry_after_seconds_ = 0;
  if (message.size() > kMaxMessageBytes) {
    return base::fail(ErrorCode::kUnavailable,
                      "a message of " + std::to_string(message.size()) +
                          " bytes is too long for the road to the key broker, which carries " +
                          std::to_string(kMaxMessageBytes));
  }
  instance::FromInstance question;
  auto& call = *question.mutable_broker_call();
  call.set_method(method_of(method));
  call.set_message(message.data(), message.size());
  auto asked = exchange_.ask(
      question, [&](std::uint64_t serial) { call.set_serial(serial); }, stop);
  if (!asked) {
    return base::fail(ErrorCode::kUnavailable, std::move(asked).error().message);
  }
  if (asked->has_away()) {
    retry_after_seconds_ = asked->away().retry_after_seconds();
    return base::fail(ErrorCode::kUnavailable, "vtpmd: " + asked->away().reason());
  }
  if (!asked->has_message()) {
    return base::fail(ErrorCode::kUnavailable, "vtpmd answered a call with nothing");
  }
  return base::copy_of(base::bytes_of(asked->message()));
}

bool LinkChannel::pause(std::chrono::milliseconds time, const std::stop_token& stop) {
  return exchange_.pause(time, stop);
}

std::optional<std::chrono::seconds> LinkChannel::retry_after() const {
  const std::chrono::seconds seconds(retry_after_seconds_);
  return seconds.count() == 0 ? std::nullopt : std::optional(seconds);
}

}  // namespace tools::vtpm_instance
