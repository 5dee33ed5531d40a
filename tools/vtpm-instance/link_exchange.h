// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "keybroker/protocol/instance.pb.h"
#include "vmgs/base/result.h"

namespace tools::vtpm_instance {

// LinkEnds is an instance's end of its link, for those who ask vtpmd something over it. send()
// sends a message. read() waits until `deadline` for what comes next and hands it out; an error
// ends the wait. It is called while nobody else reads the link, as others_read() says.
struct LinkEnds {
  using Clock = std::chrono::steady_clock;

  std::function<base::Result<void>(const strongroom::instance::v1::FromInstance&)> send;
  std::function<base::Result<void>(Clock::time_point deadline)> read;
};

// LinkExchange asks vtpmd one kind of question over an instance's link; `Answer` is the message
// that comes back, with the serial of what it answers. Whoever reads the link hands it the answers.
// One question is open at a time; any thread.
template <typename Answer>
class LinkExchange {
 public:
  using Clock = LinkEnds::Clock;

  // `patience` is how long an answer is awaited; `subject` says what of, as in "vtpmd has not
  // answered `subject`"; `gone` is what to say when vtpmd has gone.
  LinkExchange(LinkEnds link, std::chrono::seconds patience, std::string subject, base::Error gone)
      : link_(std::move(link)),
        subject_(std::move(subject)),
        gone_(std::move(gone)),
        patience_(patience) {}

  // take() has an answer, as it came. closed() says that there will be none any more.
  void take(Answer answer) {
    const std::lock_guard lock(mutex_);
    // An answer that nobody waits for any more came too late.
    if (answer.serial() == serial_) {
      answer_ = std::move(answer);
      changed_.notify_all();
    }
  }

  void closed() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

  // opened_again() says that there is another vtpmd.
  void opened_again() {
    const std::lock_guard lock(mutex_);
    closed_ = false;
  }

  // others_read() says whether another thread reads the link from now on. Nobody asks meanwhile.
  void others_read(bool they_do) {
    const std::lock_guard lock(mutex_);
    others_read_ = they_do;
  }

  // wait_at_most() limits how long answers are awaited from now on.
  void wait_at_most(std::chrono::seconds time) {
    const std::lock_guard lock(mutex_);
    patience_ = std::min(patience_, time);
  }

  // pause() lets `time` pass. False if `stop`, or what came over the link, ended it.
  bool pause(std::chrono::milliseconds time, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    const auto until = Clock::now() + time;
    while (!closed_ && !stop.stop_requested() && Clock::now() < until) {
      if (others_read_) {
        changed_.wait_until(lock, stop, until, [this] { return closed_; });
      } else {
        lock.unlock();
        const auto read = link_.read(until);
        lock.lock();
        if (!read) {
          return false;
        }
      }
    }
    return !closed_ && !stop.stop_requested();
  }

  // ask() sends the message `question`, into which `number` puts the serial that it is given, and
  // gives the answer. kUnavailable if none came in time or `stop` asked not to wait; `gone` if
  // vtpmd has gone; else the link's errors.
  base::Result<Answer> ask(const strongroom::instance::v1::FromInstance& question,
                           const std::function<void(std::uint64_t)>& number,
                           const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    answer_.reset();
    number(++serial_);
    auto waited = closed_ ? base::Result<void>(base::fail(gone_)) : link_.send(question);
    if (waited) {
      waited = wait(lock, stop);
    }
    ++serial_;  // what comes from now on is of a question that is over
    TRY(waited);
    return *std::exchange(answer_, std::nullopt);
  }

 private:
  base::Result<void> wait(std::unique_lock<std::mutex>& lock, const std::stop_token& stop) {
    const auto deadline = Clock::now() + patience_;
    while (!answer_) {
      if (closed_) {
        return base::fail(gone_);
      }
      if (stop.stop_requested() || Clock::now() >= deadline) {
        return base::fail(base::ErrorCode::kUnavailable, "vtpmd has not answered " + subject_);
      }
      if (others_read_) {
        changed_.wait_until(lock, stop, deadline, [this] { return answer_ || closed_; });
      } else {
        lock.unlock();
        const auto read = link_.read(deadline);
        lock.lock();
        TRY(read);
      }
    }
    return {};
  }

  const LinkEnds link_;
  const std::string subject_;
  const base::Error gone_;

  std::mutex mutex_;  // guards what follows
  std::chrono::seconds patience_;
  std::condition_variable_any changed_;
  std::uint64_t serial_ = 0;  // of the last question
  std::optional<Answer> answer_;
  bool others_read_ = false;
  bool closed_ = false;
};

}  // namespace tools::vtpm_instance
