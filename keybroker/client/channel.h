// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <stop_token>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::client {

// What is asked of a broker: the calls of KeyBrokerService
// (keybroker/protocol/broker_service.proto) by the messages that they carry.
enum class Method {
  kChallenge,  // ChallengeRequest -> ChallengeResponse
  kRelease,    // ReleaseRequest -> SignedAnswer
  kAnchor,     // AnchorRequest -> SignedAnswer
};

// An answer that is longer is none.
inline constexpr std::size_t kMaxAnswerBytes = 256 * 1024;

// Channel carries messages to a broker and answers back. It is not trusted: who made an answer is
// for the conversation to find out (conversation.h). One call at a time; any thread.
class Channel {
 public:
  virtual ~Channel() = default;

  // call() gives the answer to `message` as it came. It waits some seconds at most, or until `stop`
  // asks it not to. kUnavailable, and nothing else, where no answer came: nobody knows then whether
  // the broker has seen the message.
  virtual base::Result<base::Bytes> call(Method method, base::ByteView message,
                                         const std::stop_token& stop) = 0;

  // retry_after() is how long whoever stood in for an answer to the last call asked to wait before
  // the next; nothing where nobody said. Nobody vouches for it either.
  [[nodiscard]] virtual std::optional<std::chrono::seconds> retry_after() const {
    return std::nullopt;
  }

  // pause() waits that long, or until `stop` asks it not to. False if it was ended early: there is
  // nothing to wait for any more.
  virtual bool pause(std::chrono::milliseconds time, const std::stop_token& stop);

  // wait_at_most() limits how long each later call() waits.
  virtual void wait_at_most(std::chrono::seconds) {}
};

// Patience is what a caller has with a channel that asks to wait: so long from now, over all calls.
class Patience {
 public:
  explicit Patience(std::chrono::milliseconds time)
      : until_(std::chrono::steady_clock::now() + time) {}

  // may_call_again() is said after a call that got no answer. If whoever stood in for one asked to
  // wait, and there is time left, it waits as long as that and is true. False where nobody asked,
  // or `stop` did not let it wait.
  bool may_call_again(Channel& channel, const std::stop_token& stop);

 private:
  std::chrono::steady_clock::time_point until_;
};

}  // namespace keybroker::client
