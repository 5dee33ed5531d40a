// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/host_supervisor.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "keybroker/protocol/readiness.h"
#include "tools/cli/exit_status.h"
#include "tools/vtpm-instance/run.h"
#include "vtpm/host/lease.h"

namespace tools::vtpm_instance {

namespace {

namespace instance = strongroom::instance::v1;
namespace protocol = keybroker::protocol;
using base::ErrorCode;
using instance::ToInstance;
using protocol::Readiness;

// With more than this unread, log lines are dropped, so that there is always room for a State.
constexpr int kMaxUnreadBytes = 32 * 1024;

instance::Log::Level level_of(base::LogLevel level) {
  switch (level) {
    case base::LogLevel::kDebug:
      return instance::Log::DEBUG;
    case base::LogLevel::kInfo:
      return instance::Log::INFO;
    case base::LogLevel::kWarning:
      return instance::Log::WARNING;
    case base::LogLevel::kError:
      return instance::Log::ERROR;
  }
  return instance::Log::ERROR;
}

instance::Opened message_of(const Opened& opened) {
  instance::Opened message;
  message.set_created(opened.created);
  message.set_opened_by(opened.opened_by);
  message.set_simulated_tee(opened.simulated_tee);
  return message;
}

instance::State::Migration number_of(Migration migration) {
  switch (migration) {
    case Migration::kNone:
      break;
    case Migration::kAwaited:
      return instance::State::AWAITED;
    case Migration::kOffered:
      return instance::State::OFFERED;
  }
  return instance::State::NONE;
}

bool is_stop(const ToInstance& message) { return message.has_stop(); }

bool is_stop_at_once(const ToInstance& message) {
  return message.has_stop() && !message.stop().only_while_it_awaits();
}

// What the message holds of the authorization is wiped.
LockoutQuestion question_of(instance::LockoutQuestion& asked) {
  LockoutQuestion question{.serial = asked.serial()};
  if (asked.resets()) {
    auto& held = *asked.mutable_authorization();
    question.authorization = base::SecretBytes::taking(base::copy_of(base::bytes_of(held)));
    ::explicit_bzero(held.data(), held.size());
  }
  return question;
}

InstanceSetup setup_of(const instance::Setup& told, vtpm::host::ChildEnds& ends) {
  InstanceSetup setup;
  setup.launch_document = base::copy_of(base::bytes_of(told.launch_document()));
  setup.store = told.store_path();
  setup.key_file = told.key_path();
  setup.may_create = told.may_create();
  setup.barriers = told.strict_durability() ? vmgs::volume::Barriers::kTwo
                                            : vmgs::volume::Barriers::kOneWhereSafe;
  setup.tcb_grace =
      told.tcb_grace_over() ? vtpm::sealing::TcbGrace::kOver : vtpm::sealing::TcbGrace::kRunning;
  setup.ask_for_certificates = told.ask_for_certificates();
  setup.receipt = base::copy_of(base::bytes_of(told.receipt()));
  if (told.has_conversion()) {
    const auto& conversion = told.conversion();
    setup.conversion = InstanceSetup::Conversion{
        .launch_document = base::copy_of(base::bytes_of(conversion.launch_document())),
        .store = conversion.store_path(),
        .key_file = conversion.key_path()};
  }
  setup.migration_ticket = told.migration_ticket();
  setup.incoming = told.awaits_tpm();
  setup.release_ticket = told.release_ticket();
  setup.take_back = told.take_back();
  const bool is_plain = told.plain_state_blobs() && !setup.incoming && !setup.release_ticket;
  setup.state_blobs = is_plain                         ? StateBlobForm::kPlain
                      : setup.migration_ticket.empty() ? StateBlobForm::kRefused
                                                       : StateBlobForm::kSealed;
  setup.predecessor = std::move(ends.predecessor);
  setup.control.listening = std::move(ends.control);
  setup.data.listening = std::move(ends.data);
  setup.variables.listening = std::move(ends.variables);
  setup.variables_image = told.variables_path();
  if (told.has_hypervisor_group()) {
    setup.hypervisor_group = told.hypervisor_group();
  }
  return setup;
}

}  // namespace

HostSupervisor::HostSupervisor(base::Descriptor link, Belongings belongings)
    : link_(std::move(link)),
      belongings_(std::move(belongings)),
      certifier_(ends()),
      channel_(ends()) {}

LinkEnds HostSupervisor::ends() {
  return {.send = [this](const instance::FromInstance& message) { return send(message); },
          .read = [this](auto deadline) { return read_until(deadline); }};
}

// What has come whole goes to whom it is for.
base::Result<void> HostSupervisor::hand_out() {
  for (;;) {
    ToInstance message;
    TRY_ASSIGN(complete, received_.next(message));
    if (!complete) {
      return {};
    }
    if (message.has_certification_answer()) {
      certifier_.exchange().take(std::move(*message.mutable_certification_answer()));
    } else if (message.has_broker_reply()) {
      channel_.exchange().take(std::move(*message.mutable_broker_reply()));
    } else if (message.has_lockout_question()) {
      lockout_questions_.push_back(question_of(*message.mutable_lockout_question()));
    } else {
      orders_.push_back(std::move(message));
    }
  }
}

base::Result<ToInstance> HostSupervisor::receive() {
  for (;;) {
    TRY(hand_out());
    if (!orders_.empty()) {
      auto message = std::move(orders_.front());
      orders_.pop_front();
      return message;
    }
    TRY_ASSIGN(open, received_.receive(link_.number()));
    if (!open) {
      return base::fail(ErrorCode::kUnavailable, "vtpmd has gone");
    }
  }
}

// While an answer is awaited before a hypervisor is served. A stop that comes then is for opened(),
// and ends the wait.
base::Result<void> HostSupervisor::read_until(std::chrono::steady_clock::time_point deadline) {
  TRY(hand_out());
  if (!orders_.empty()) {
    stop_early();
    return base::fail(ErrorCode::kUnavailable, "vtpmd has other orders");
  }
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  pollfd readable{.fd = link_.number(), .events = POLLIN, .revents = 0};
  if (::poll(&readable, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0))) <= 0) {
    return {};
  }
  TRY_ASSIGN(open, received_.receive(link_.number()));
  if (!open) {
    stop_early();
    return base::fail(ErrorCode::kUnavailable, "vtpmd has gone");
  }
  return hand_out();
}

void HostSupervisor::stop_early() {
  if (!opened_) {
    stopped_early_ = true;
    stopping_.request_stop();
  }
}

base::Result<void> HostSupervisor::send(const instance::FromInstance& message) {
  const std::lock_guard lock(sending_);
  return vtpm::host::send_frame(link_.number(), message);
}

base::Result<instance::Setup> HostSupervisor::receive_setup() {
  TRY_ASSIGN(message, receive());
  if (!message.has_setup()) {
    return base::fail(ErrorCode::kCorrupt, "vtpmd began with something else than a setup");
  }
  awaits_serve_ = message.setup().may_create() || message.setup().await_serve();
  is_successor_ = message.setup().take_over();
  travel_.migration = message.setup().awaits_tpm() ? Migration::kAwaited : Migration::kNone;
  return message.setup();
}

base::Result<void> HostSupervisor::opened(const Opened& opened) {
  opened_ = true;
  opened_with_ = message_of(opened);
  instance::FromInstance message;
  *message.mutable_opened() = opened_with_;
  TRY(send(message));
  bool may_serve = true;
  if (awaits_serve_) {
    // vtpmd notes that this VM has state, or that its conversion is over, and only then lets a
    // guest in.
    TRY_ASSIGN(answer, receive());
    may_serve = answer.has_serve();
  }
  // A stop may have come right behind. Other orders that did are for order().
  TRY(hand_out());
  stopped_early_ = !may_serve || std::any_of(orders_.begin(), orders_.end(), is_stop);
  if (stopped_early_) {
    return base::fail(ErrorCode::kUnavailable, "stopped before it served anybody");
  }
  return {};
}

void HostSupervisor::reopened(std::string_view opened_by) {
  instance::FromInstance message;
  message.mutable_opened()->set_opened_by(std::string(opened_by));
  (void)send(message);
}

base::Result<void> HostSupervisor::converted() {
  instance::FromInstance message;
  message.mutable_converted();
  return send(message);
}

void HostSupervisor::loop_reads(bool reads) {
  certifier_.exchange().others_read(reads);
  channel_.exchange().others_read(reads);
}

void HostSupervisor::changed(Readiness readiness, std::string_view reason, bool hypervisor) {
  last_ = readiness;
  last_reason_ = reason;
  has_hypervisor_ = hypervisor;
  if (!is_successor_) {
    send_state();
  }
}

void HostSupervisor::travelled(const Travel& travel) {
  travel_ = travel;
  if (!is_successor_) {
    send_state();
  }
}

void HostSupervisor::send_state() {
  instance::FromInstance message;
  auto& state = *message.mutable_state();
  state.set_readiness(std::string(name(last_)));
  state.set_reason(last_reason_);
  state.set_guest(has_hypervisor_);
  state.set_migration(number_of(travel_.migration));
  state.set_seals_to_tickets(travel_.seals_to_tickets);
  state.set_states_taken(travel_.states_taken);
  state.set_states_put_in(travel_.states_put_in);
  // A vtpmd that is gone does not want to know, and order() tells so.
  (void)send(message);
}

void HostSupervisor::hand_over_ended(const base::Result<void>& ended) {
  handed_over_ = ended.has_value();
  instance::FromInstance message;
  auto& said = *message.mutable_hand_over_ended();
  said.set_handed_over(handed_over_);
  said.set_reason(ended ? "" : ended.error().message);
  (void)send(message);
}

void HostSupervisor::take_back_ended(const base::Result<void>& ended) {
  instance::FromInstance message;
  auto& said = *message.mutable_take_back_ended();
  said.set_taken_back(ended.has_value());
  said.set_reason(ended ? "" : ended.error().message);
  (void)send(message);
}

void HostSupervisor::taken_over(const Opened& opened, std::chrono::microseconds pause) {
  is_successor_ = false;
  if (auto signed_lease = vtpm::host::sign_lease(belongings_.lease); !signed_lease) {
    // It is held all the same; only its holder's number is not known.
    base::log(base::LogLevel::kWarning, signed_lease.error().message);
  }
  opened_ = true;
  opened_with_ = message_of(opened);
  instance::FromInstance message;
  auto& said = *message.mutable_taken_over();
  *said.mutable_opened() = opened_with_;
  said.set_pause_microseconds(static_cast<std::uint64_t>(pause.count()));
  (void)send(message);
}

bool HostSupervisor::let_in() {
  base::Descriptor caller(::accept4(belongings_.door.number(), nullptr, nullptr, SOCK_CLOEXEC));
  ucred who{};
  socklen_t size = sizeof who;
  if (!caller.is_open() ||
      ::getsockopt(caller.number(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 ||
      (who.uid != ::geteuid() && who.uid != 0)) {
    return false;
  }
  {
    const std::lock_guard lock(sending_);
    link_ = std::move(caller);
  }
  received_ = {};
  orders_.clear();
  lockout_questions_.clear();
  certifier_.exchange().opened_again();
  channel_.exchange().opened_again();
  instance::FromInstance message;
  *message.mutable_reclaimed()->mutable_opened() = opened_with_;
  (void)send(message);
  send_state();
  return true;
}

bool HostSupervisor::take_order(bool (*is)(const ToInstance&)) {
  const auto found = std::find_if(orders_.begin(), orders_.end(), is);
  if (found == orders_.end()) {
    return false;
  }
  orders_.erase(found);
  return true;
}

Order HostSupervisor::order() {
  pollfd readable{.fd = link_.number(), .events = POLLIN, .revents = 0};
  const auto open = ::poll(&readable, 1, 0) > 0
                        ? received_.receive(link_.number())
                        : base::fail(ErrorCode::kUnavailable, "nothing has arrived");
  const auto complete = hand_out();
  if (take_order(is_stop_at_once)) {
    return Order::kStop;
  }
  if (take_order(is_stop)) {
    return Order::kStopIfAwaiting;
  }
  if (take_order([](const ToInstance& message) { return message.has_hand_over(); })) {
    auto descriptors = received_.take_descriptors();
    successor_ = descriptors.size() == 1 ? std::move(descriptors.front()) : base::Descriptor();
    return Order::kHandOver;
  }
  if (take_order([](const ToInstance& message) { return message.has_take_back(); })) {
    return Order::kTakeBack;
  }
  orders_.clear();
  if ((!open && open.error().code != ErrorCode::kUnavailable) || (open && !*open) || !complete) {
    certifier_.exchange().closed();
    channel_.exchange().closed();
    return Order::kAlone;
  }
  return lockout_questions_.empty() ? Order::kNone : Order::kLockout;
}

std::optional<LockoutQuestion> HostSupervisor::lockout_question() {
  if (lockout_questions_.empty()) {
    return std::nullopt;
  }
  auto question = std::move(lockout_questions_.front());
  lockout_questions_.pop_front();
  return question;
}

void HostSupervisor::answer_lockout(std::uint64_t serial,
                                    const base::Result<vtpm::device::Device::Lockout>& lockout) {
  instance::FromInstance message;
  auto& answer = *message.mutable_lockout_answer();
  answer.set_serial(serial);
  if (!lockout) {
    auto& refusal = *answer.mutable_refusal();
    refusal.set_reason(lockout.error().message);
    refusal.set_wrong_authorization(lockout.error().code == ErrorCode::kAuthentication);
    refusal.set_may_pass(lockout.error().code == ErrorCode::kUnavailable);
  } else {
    auto& said = *answer.mutable_lockout();
    said.set_failed_tries(lockout->state.failed_tries);
    said.set_max_tries(lockout->state.max_tries);
    said.set_recovery_seconds(lockout->state.recovery_seconds);
    said.set_lockout_recovery_seconds(lockout->state.lockout_recovery_seconds);
    said.set_locked_out(lockout->state.locked_out);
    said.set_has_authorization(lockout->state.has_authorization);
    if (lockout->until) {
      said.set_locked_out_until(std::chrono::system_clock::to_time_t(*lockout->until));
    }
  }
  (void)send(message);
}

void HostSupervisor::keep_receipt(base::ByteView receipt) {
  instance::FromInstance message;
  message.mutable_receipt()->set_receipt(receipt.data(), receipt.size());
  (void)send(message);
}

bool HostSupervisor::log(base::LogLevel level, std::string_view line) {
  {
    const std::lock_guard lock(sending_);
    int unread_bytes = 0;
    if (ioctl(link_.number(), SIOCOUTQ, &unread_bytes) == 0 && unread_bytes > kMaxUnreadBytes) {
      return true;
    }
  }
  instance::FromInstance message;
  message.mutable_log()->set_level(level_of(level));
  message.mutable_log()->set_line(std::string(line));
  return send(message).has_value();
}

void HostSupervisor::finish(const base::Result<void>& done) {
  if (handed_over_) {
    return;
  }
  if (is_successor_) {
    hand_over_ended(base::fail(done ? base::Error{ErrorCode::kUnavailable, "it was not needed"}
                                    : done.error()));
    return;
  }
  instance::FromInstance message;
  auto& state = *message.mutable_state();
  state.set_is_last(true);
  if (done || stopped_early_) {
    const bool moved = done && travel_.migration == Migration::kOffered;
    state.set_readiness(std::string(name(moved ? Readiness::kMovedAway : Readiness::kStopped)));
  } else {
    // What was said last explains the end, if it was a complaint at all.
    const bool complained = last_ == Readiness::kBrokerAway ||
                            (protocol::row(last_).prospect == protocol::Prospect::kNeedsHelp &&
                             last_ != Readiness::kLockedOut);
    state.set_readiness(std::string(name(complained ? last_ : Readiness::kStoreFailing)));
    state.set_reason(done.error().message);
  }
  (void)send(message);
}

int run_supervised(vtpm::host::ChildEnds ends) {
  HostSupervisor supervisor(std::move(ends.link), {std::move(ends.lease), std::move(ends.door)});
  base::set_log_sink([&supervisor](base::LogLevel level, std::string_view line) {
    if (!supervisor.log(level, line)) {
      std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
    }
  });
  const auto told = supervisor.receive_setup();
  if (!told) {
    return static_cast<int>(cli::exit_status(told.error().code));
  }
  const auto done = run(setup_of(*told, ends), supervisor);
  // The store is closed, and vtpmd may start the next instance as soon as it hears the last word.
  supervisor.belongings() = {};
  supervisor.finish(done);
  // Other threads are gone; nothing logs through `supervisor` any more.
  base::set_log_sink({});
  return static_cast<int>(done ? cli::ExitStatus::kDone : cli::exit_status(done.error().code));
}

}  // namespace tools::vtpm_instance
