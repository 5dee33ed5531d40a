// SPDX-License-Identifier: Apache-2.0
#include "vtpm/device/device.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "vmgs/base/log.h"
#include "vtpm/protocol/header.h"
#include "vtpm/protocol/lockout.h"
#include "vtpm/protocol/power_command.h"

namespace vtpm::device {

namespace {

base::Bytes bare(protocol::ResponseCode code) {
  return base::copy_of(protocol::bare_response(code));
}

bool succeeded(const base::Result<base::ByteView>& response) {
  if (!response) {
    return false;
  }
  const auto header = protocol::decode_response_header(*response);
  return header && header->code == protocol::ResponseCode::kSuccess;
}

}  // namespace

Device::Device(engine::Engine& engine, Options options)
    : engine_(engine), options_(std::move(options)) {}

std::unique_lock<std::timed_mutex> Device::interrupt() {
  // Whoever turns the power off does not wait for the prime numbers of a key nobody will use. A
  // command that is just beginning forgets a cancel, so it may take more than one.
  std::unique_lock lock(busy_, std::try_to_lock);
  while (!lock) {
    engine_.cancel();
    // By this clock because TSan does not know the call that the other one leads to.
    lock.try_lock_until(std::chrono::system_clock::now() + std::chrono::milliseconds(1));
  }
  return lock;
}

base::Result<void> Device::init() {
  const auto lock = interrupt();
  platform_has_power_ = true;
  power_off(true);
  if (condemned_) {
    return base::fail(*condemned_);
  }
  return power_on();
}

base::Result<void> Device::power_on() {
  ++power_cycle_;
  TRY(engine_.start(engine::Origin::kExisting));
  failure_noted_ = false;
  locked_out_ = false;
  powered_ = true;
  return {};
}

base::Result<void> Device::expect_here() const {
  return elsewhere_ ? base::fail(base::ErrorCode::kDenied, "the TPM has left for another host")
                    : base::Result<void>();
}

base::Result<void> Device::expect_serves() const {
  return engine_.running() ? expect_here() : base::fail(base::ErrorCode::kDenied, "the TPM is off");
}

void Device::stop() {
  const auto lock = interrupt();
  platform_has_power_ = true;
  power_off(true);
}

void Device::retire() {
  const auto lock = interrupt();
  platform_has_power_ = true;
  power_off(false);
}

void Device::condemn(base::Error why) {
  const auto lock = interrupt();
  platform_has_power_ = true;
  power_off(false);
  condemned_ = std::move(why);
}

void Device::power_off(bool may_wake) {
  if (engine_.running() && options_.shut_down_in_order && !goes_on_ && !elsewhere_ &&
      last_command_ != protocol::CommandCode::kShutdown) {
    shut_down(may_wake);
  }
  powered_ = false;
  hashing_ = false;
  goes_on_ = false;
  last_command_.reset();
  engine_.terminate();
}

void Device::shut_down(bool may_wake) {
  for (const auto type : {protocol::StartupType::kState, protocol::StartupType::kClear}) {
    if (type == protocol::StartupType::kState && !may_wake) {
      continue;
    }
    auto command = protocol::shutdown(type);
    const bool done = succeeded(engine_.process(protocol::Locality(), command));
    note_failure(std::nullopt);
    if (done) {
      return;
    }
  }
}

base::Bytes Device::process(std::span<std::byte> command, Sender sender,
                            std::optional<std::uint8_t> locality) {
  const std::lock_guard lock(busy_);
  if (!engine_.running() && sender == Sender::kClient && options_.power_on_for_clients &&
      !platform_has_power_) {
    if (const auto powered = power_on(); !powered) {
      base::log(base::LogLevel::kError, powered.error().message);
    }
  }
  if (!expect_serves()) {
    return bare(protocol::ResponseCode::kFailure);
  }
  goes_on_ = false;
  auto at = locality_.load();
  if (locality) {
    const auto named = protocol::Locality::of(*locality);
    if (!named || (sender == Sender::kGuest && *named != at)) {
      return bare(protocol::ResponseCode::kLocality);
    }
    at = *named;
  }
  if (const auto header = protocol::decode_command_header(command)) {
    last_command_ = header->code;
  }
  if (options_.attendant) {
    auto instead = options_.attendant(command);
    note_failure(std::nullopt);
    if (instead) {
      return *std::move(instead);
    }
  }
  const auto response = engine_.process(at, command);
  if (!response) {
    note_failure(std::nullopt);
    base::log(base::LogLevel::kError, response.error().message);
    return bare(protocol::ResponseCode::kFailure);
  }
  auto answer = base::copy_of(*response);
  if (const auto header = protocol::decode_response_header(answer)) {
    note_failure(header->code);
    note_lockout(*header);
  }
  return answer;
}

bool Device::between_commands(const std::function<void()>& work) {
  const std::lock_guard lock(busy_);
  if (!expect_serves()) {
    return false;
  }
  work();
  note_failure(std::nullopt);
  return true;
}

void Device::undisturbed(const std::function<void()>& work) {
  const std::lock_guard lock(busy_);
  work();
}

void Device::note_failure(std::optional<protocol::ResponseCode> code) {
  const bool failed = engine_.failure() || code == protocol::ResponseCode::kFailure;
  if (!failed || failure_noted_) {
    return;
  }
  failure_noted_ = true;
  const auto failure = engine_.failure().value_or(
      base::Error{base::ErrorCode::kCorrupt, "a check that the TPM makes of itself failed"});
  base::log(base::LogLevel::kError,
            (engine_.failure() ? "the TPM is in failure mode, as its state could not be stored: "
                               : "the TPM is in failure mode: ") +
                failure.message);
  if (options_.on_failure) {
    options_.on_failure(failure);
  }
}

// The TPM is asked only when it may have changed: no other answer tells, and a guest's exclusive
// audit session would not survive a question after each command.
void Device::note_lockout(const protocol::ResponseHeader& answered) {
  const bool succeeded = answered.code == protocol::ResponseCode::kSuccess;
  const bool may_have_changed =
      locked_out_ ? succeeded && answered.tag == protocol::Tag::kSessions
                  : protocol::is_wrong_authorization(answered.code) ||
                        (succeeded && last_command_ == protocol::CommandCode::kStartup);
  if (!options_.on_lockout || !may_have_changed) {
    return;
  }
  auto question = protocol::ask_lockout();
  const auto response = engine_.process(protocol::Locality(), question);
  const auto now = response ? protocol::decode_lockout(*response) : base::Result<bool>(locked_out_);
  if (now && *now != locked_out_) {
    locked_out_ = *now;
    locked_out_since_.reset();
    if (locked_out_) {
      locked_out_since_ = std::chrono::system_clock::now();
    }
    options_.on_lockout(locked_out_);
  }
}

base::Result<Device::Lockout> Device::lockout() {
  const std::lock_guard lock(busy_);
  TRY(expect_serves());
  auto question = protocol::ask_lockout_state();
  TRY_ASSIGN(response, engine_.process(protocol::Locality(), question));
  TRY_ASSIGN(state, protocol::decode_lockout_state(response));
  Lockout lockout{.state = state};
  if (state.locked_out && locked_out_since_) {
    // Tries are forgotten one after the other, and one below the most is enough.
    const auto over = state.failed_tries - std::min(state.failed_tries, state.max_tries) + 1;
    lockout.until =
        *locked_out_since_ + over * std::chrono::seconds(std::int64_t{state.recovery_seconds});
  }
  return lockout;
}

base::Result<void> Device::reset_lockout(base::ByteView authorization) {
  if (authorization.size() > protocol::kMaxAuthorizationBytes) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "a lockout authorization has at most " +
                          std::to_string(protocol::kMaxAuthorizationBytes) + " bytes");
  }
  const std::lock_guard lock(busy_);
  TRY(expect_serves());
  auto command = protocol::reset_lockout(authorization);
  TRY_ASSIGN(response, engine_.process(protocol::Locality(), command.fill()));
  // It changes what a Shutdown of the guest's has made orderly.
  last_command_.reset();
  const auto outcome = protocol::outcome_of_reset(response);
  if (const auto header = protocol::decode_response_header(response)) {
    note_failure(header->code);
    note_lockout(*header);
  }
  return outcome;
}

base::Result<void> Device::cancel() {
  if (!powered_) {
    return base::fail(base::ErrorCode::kDenied, "the TPM is off");
  }
  engine_.cancel();
  return {};
}

base::Result<void> Device::set_locality(std::uint8_t number) {
  TRY_ASSIGN(locality, protocol::Locality::of(number));
  locality_ = locality;
  return {};
}

base::Result<void> Device::fail() {
  const std::lock_guard lock(busy_);
  TRY(expect_serves());
  engine_.fail_next_store();
  // It stores something, and is refused by a TPM that waits for its Startup.
  auto command = protocol::shutdown(protocol::StartupType::kState);
  TRY(engine_.process(protocol::Locality(), command));
  note_failure(std::nullopt);
  return {};
}

base::Result<bool> Device::established() {
  const std::lock_guard lock(busy_);
  return engine_.established();
}

base::Result<void> Device::reset_established(std::uint8_t number) {
  const std::lock_guard lock(busy_);
  TRY_ASSIGN(locality, protocol::Locality::of(number));
  TRY(expect_here());
  return engine_.reset_established(locality);
}

base::Result<void> Device::hash_start() {
  const std::lock_guard lock(busy_);
  TRY(expect_here());
  goes_on_ = false;
  TRY(engine_.hash_start());
  hashing_ = true;
  return {};
}

base::Result<void> Device::hash_data(base::ByteView data) {
  const std::lock_guard lock(busy_);
  // libtpms would drop the data and say nothing.
  if (!hashing_) {
    return base::fail(base::ErrorCode::kDenied, "no hash sequence was started");
  }
  TRY(expect_here());
  return engine_.hash_data(data);
}

base::Result<void> Device::hash_end() {
  const std::lock_guard lock(busy_);
  if (!hashing_) {
    return base::fail(base::ErrorCode::kDenied, "no hash sequence was started");
  }
  TRY(expect_here());
  hashing_ = false;
  return engine_.hash_end();
}

engine::BufferSize Device::buffer_size() {
  const std::lock_guard lock(busy_);
  return engine_.buffer_size();
}

base::Result<engine::BufferSize> Device::set_buffer_size(std::uint32_t wanted) {
  const std::lock_guard lock(busy_);
  return engine_.set_buffer_size(wanted);
}

base::Result<std::string> Device::info(std::uint64_t flags) {
  const std::lock_guard lock(busy_);
  return engine_.info(flags);
}

base::Result<void> Device::expect_state_blobs_allowed() const {
  if (options_.state_blobs == StateBlobs::kRefused) {
    return base::fail(base::ErrorCode::kDenied,
                      "the state of this TPM neither leaves nor enters through the hypervisor");
  }
  return {};
}

base::Result<base::SecretBytes> Device::state_blob(engine::BlobKind kind) {
  TRY(expect_state_blobs_allowed());
  const std::lock_guard lock(busy_);
  return engine_.state_blob(kind);
}

base::Result<void> Device::expect_may_set() {
  TRY(expect_state_blobs_allowed());
  const std::lock_guard lock(busy_);
  return engine_.running() ? base::fail(base::ErrorCode::kDenied, "the TPM is on; stop it first")
                           : base::Result<void>();
}

base::Result<void> Device::set_state_blob(engine::BlobKind kind, base::ByteView blob) {
  TRY(expect_state_blobs_allowed());
  const std::lock_guard lock(busy_);
  if (engine_.running()) {
    return base::fail(base::ErrorCode::kDenied, "the TPM is on; stop it first");
  }
  platform_has_power_ = true;
  if (kind == engine::BlobKind::kVolatile && blob.empty()) {
    return {};
  }
  if (blob.empty()) {
    return base::fail(base::ErrorCode::kCorrupt, "an empty blob is no state of a TPM");
  }
  return engine_.set_state_blob(kind, blob);
}

base::Result<void> Device::store_volatile() {
  const std::lock_guard lock(busy_);
  TRY(expect_here());
  TRY(engine_.store_volatile());
  goes_on_ = true;
  return {};
}

base::Result<Running> Device::suspend() {
  std::unique_lock lock(busy_);
  if (hashing_ || goes_on_ || engine_.awaits_start()) {
    return base::fail(base::ErrorCode::kUnavailable,
                      "the TPM is in the middle of something that takes several requests");
  }
  Running running{.powered = engine_.running(),
                  .platform_has_power = platform_has_power_,
                  .locality = locality_.load().number(),
                  .buffer_bytes = engine_.buffer_size().current,
                  .last_command = last_command_,
                  .locked_out = locked_out_,
                  .permanent = {},
                  .volatile_state = {}};
  if (running.powered) {
    if (failure_noted_) {
      return base::fail(base::ErrorCode::kDenied, "the TPM is in failure mode: restart the VM");
    }
    TRY_ASSIGN(permanent, engine_.state_blob(engine::BlobKind::kPermanent));
    TRY_ASSIGN(volatile_state, engine_.state_blob(engine::BlobKind::kVolatile));
    running.permanent = std::move(permanent);
    running.volatile_state = std::move(volatile_state);
  }
  suspended_ = std::move(lock);
  return running;
}

void Device::go_on() { suspended_ = {}; }

void Device::abandon() {
  powered_ = false;
  platform_has_power_ = true;  // no client wakes it
  engine_.terminate();
  suspended_ = {};
}

base::Result<void> Device::resume(Running running) {
  const std::lock_guard lock(busy_);
  TRY_ASSIGN(locality, protocol::Locality::of(running.locality));
  TRY_ASSIGN(buffer, engine_.set_buffer_size(running.buffer_bytes));
  if (buffer.current != running.buffer_bytes) {
    return base::fail(
        base::ErrorCode::kUnavailable,
        "this libtpms has no command buffer of " + std::to_string(running.buffer_bytes) + " bytes");
  }
  if (running.powered) {
    TRY(engine_.resume(std::move(running.permanent), std::move(running.volatile_state)));
    ++power_cycle_;
  }
  locality_ = locality;
  platform_has_power_ = running.platform_has_power;
  last_command_ = running.last_command;
  locked_out_ = running.locked_out;
  powered_ = running.powered;
  return {};
}

void Device::give_back_memory() {
  const std::unique_lock lock(busy_, std::try_to_lock);
  if (lock) {
    engine_.give_back_memory();
  }
}

}  // namespace vtpm::device
