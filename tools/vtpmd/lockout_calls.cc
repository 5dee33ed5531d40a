// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpmd/lockout_calls.h"

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstring>

#include "transport/rpc/within.h"

namespace tools::vtpmd {

namespace {

namespace api = strongroom::host::v1;
namespace asio = boost::asio;
namespace instance = strongroom::instance::v1;
using base::ErrorCode;
using transport::rpc::as_values;

// A command of the guest's may be running; few take that long.
constexpr std::chrono::seconds kLimit{20};

void wipe(std::string& secret) { ::explicit_bzero(secret.data(), secret.size()); }

base::Result<api::Lockout> lockout_of(const instance::LockoutAnswer& answer) {
  if (answer.has_refusal()) {
    const auto& refusal = answer.refusal();
    const auto code = refusal.wrong_authorization() ? ErrorCode::kAuthentication
                      : refusal.may_pass()          ? ErrorCode::kUnavailable
                                                    : ErrorCode::kDenied;
    return base::fail(code, refusal.reason());
  }
  const auto& said = answer.lockout();
  api::Lockout lockout;
  lockout.set_failed_tries(said.failed_tries());
  lockout.set_max_tries(said.max_tries());
  lockout.set_recovery_seconds(said.recovery_seconds());
  lockout.set_lockout_recovery_seconds(said.lockout_recovery_seconds());
  lockout.set_locked_out(said.locked_out());
  lockout.set_has_authorization(said.has_authorization());
  if (said.has_locked_out_until()) {
    lockout.mutable_locked_out_until()->set_seconds(said.locked_out_until());
  }
  return lockout;
}

}  // namespace

struct LockoutCalls::Pending {
  explicit Pending(const asio::any_io_executor& executor) : answered(executor, kLimit) {}

  asio::steady_timer answered;  // cancelled by the answer
  std::optional<instance::LockoutAnswer> answer;
};

asio::awaitable<base::Result<api::Lockout>> LockoutCalls::ask(
    VmId id, std::optional<std::string> authorization) {
  const auto serial = ++last_serial_;
  const auto pending = std::make_shared<Pending>(executor_);
  std::erase_if(pending_, [](const auto& entry) { return entry.second.expired(); });
  pending_[{id, serial}] = pending;
  instance::ToInstance message;
  auto& question = *message.mutable_lockout_question();
  question.set_serial(serial);
  if (authorization) {
    question.set_resets(true);
    question.set_authorization(*authorization);
    wipe(*authorization);
  }
  const auto sent = instances_.send(id, message);
  wipe(*question.mutable_authorization());
  CO_TRY(sent);
  if (!pending->answer) {
    (void)co_await pending->answered.async_wait(as_values);
  }
  if (!pending->answer) {
    co_return base::fail(ErrorCode::kUnavailable,
                         "the instance has not answered in " + std::to_string(kLimit.count()) +
                             " s; a command of the guest's may be running, so try again");
  }
  co_return lockout_of(*pending->answer);
}

void LockoutCalls::take(const VmId& id, const instance::LockoutAnswer& answer) {
  const auto found = pending_.find({id, answer.serial()});
  const auto pending = found == pending_.end() ? nullptr : found->second.lock();
  if (pending) {
    pending->answer = answer;
    pending->answered.cancel();
  }
}

}  // namespace tools::vtpmd
