// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpmd/running_instances.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <csignal>
#include <system_error>

#include "keybroker/protocol/instance.pb.h"
#include "tools/daemon/log.h"
#include "tools/vtpmd/instance_link.h"
#include "transport/rpc/within.h"
#include "vtpm/host/frame.h"

namespace tools::vtpmd {

namespace {

namespace asio = boost::asio;
namespace instance = strongroom::instance::v1;
using asio::posix::descriptor_base;
using asio::posix::stream_descriptor;
using base::ErrorCode;
using transport::rpc::as_values;
using vmgs::format::VmId;

// How often to look for the end of a lease's holder that cannot be watched.
constexpr std::chrono::seconds kHolderPause{1};

base::LogLevel level_of(instance::Log::Level level) {
  switch (level) {
    case instance::Log::DEBUG:
      return base::LogLevel::kDebug;
    case instance::Log::WARNING:
      return base::LogLevel::kWarning;
    case instance::Log::ERROR:
      return base::LogLevel::kError;
    default:
      return base::LogLevel::kInfo;
  }
}

}  // namespace

base::Result<std::array<base::Descriptor, 2>> make_pair() {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return base::fail(ErrorCode::kIo,
                      "cannot make a socket pair: " + std::generic_category().message(errno));
  }
  return std::array{base::Descriptor(ends[0]), base::Descriptor(ends[1])};
}

base::Result<base::Descriptor> duplicate(int number) {
  base::Descriptor copy(fcntl(number, F_DUPFD_CLOEXEC, 0));
  if (!copy.is_open()) {
    return base::fail(ErrorCode::kIo,
                      "cannot duplicate a descriptor: " + std::generic_category().message(errno));
  }
  return copy;
}

RunningInstances::RunningInstances(asio::io_context& io, vtpm::host::StateFolder folder,
                                   std::filesystem::path program,
                                   std::optional<gid_t> hypervisor_group, bool tcb_grace_over)
    : io_(io),
      folder_(std::move(folder)),
      hypervisor_group_(hypervisor_group),
      tcb_grace_over_(tcb_grace_over),
      parent_(
          io, std::move(program),
          {.forked =
               [this](std::uint64_t serial, int pid) {
                 if (const auto launch = launches_.extract(serial)) {
                   host_->forked(launch.mapped(), pid);
                 }
               },
           .fork_failed =
               [this](std::uint64_t serial, const std::string& reason) {
                 if (const auto launch = launches_.extract(serial)) {
                   host_->fork_failed(launch.mapped(), reason);
                 }
               },
           .ended = [this](int pid, const std::string& how) { host_->process_ended(pid, how); }}) {}

RunningInstances::~RunningInstances() = default;

base::Result<void> RunningInstances::open_sockets(const VmId& id) {
  auto& entry = entries_[id];
  if (entry.sockets) {
    return {};
  }
  using transport::net::UnixListener;
  TRY_ASSIGN(control, UnixListener::replace(folder_.control_socket(id), hypervisor_group_));
  TRY_ASSIGN(data, UnixListener::replace(folder_.data_socket(id), hypervisor_group_));
  TRY_ASSIGN(variables, UnixListener::replace(folder_.variables_socket(id), hypervisor_group_));
  entry.sockets.emplace(Sockets{std::move(control), std::move(data), std::move(variables)});
  return {};
}

void RunningInstances::close_sockets(const VmId& id) {
  stop_watching(entries_[id]);
  entries_.erase(id);
}

void RunningInstances::watch_sockets(const VmId& id) {
  auto& entry = entries_[id];
  if (!entry.sockets || entry.watch) {
    return;
  }
  auto control = duplicate(entry.sockets->control.number());
  auto data = duplicate(entry.sockets->data.number());
  auto variables = duplicate(entry.sockets->variables.number());
  if (!control || !data || !variables) {
    base::log(base::LogLevel::kError,
              "VM " + to_string(id) + " cannot be watched: no descriptor is left for its sockets");
    return;
  }
  entry.watch =
      std::make_shared<Watch>(io_, *std::move(control), *std::move(data), *std::move(variables));
  asio::co_spawn(io_, wait_for_connection(id, entry.watch), asio::detached);
}

asio::awaitable<void> RunningInstances::wait_for_connection(VmId id, std::shared_ptr<Watch> watch) {
  using namespace asio::experimental::awaitable_operators;
  co_await (watch->control.async_wait(descriptor_base::wait_read, as_values) ||
            watch->data.async_wait(descriptor_base::wait_read, as_values) ||
            watch->variables.async_wait(descriptor_base::wait_read, as_values));
  const auto found = entries_.find(id);
  // A watch that was taken away ended because its sockets were closed.
  if (found != entries_.end() && found->second.watch == watch) {
    found->second.watch.reset();
    host_->connection_waits(id);
  }
}

// The watch is not destroyed with its entry: whoever waits for it holds it, until it is closed.
void RunningInstances::stop_watching(Entry& entry) {
  if (const auto watch = std::exchange(entry.watch, nullptr)) {
    watch->control.close();
    watch->data.close();
    watch->variables.close();
  }
}

void RunningInstances::refuse_connections(const VmId& id) {
  const auto& sockets = entries_[id].sockets;
  if (!sockets) {
    return;
  }
  for (const auto* listener : {&sockets->control, &sockets->data, &sockets->variables}) {
    // The listening socket may wait for a connection, so it is asked first whether there is one.
    for (pollfd waiting{listener->number(), POLLIN, 0}; poll(&waiting, 1, 0) == 1;) {
      const base::Descriptor refused(
          accept4(listener->number(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!refused.is_open()) {
        break;
      }
    }
  }
}

base::Result<void> RunningInstances::launch(const VmId& id, base::Descriptor lease,
                                            const instance::Setup& setup) {
  auto& entry = entries_[id];
  if (!entry.sockets) {
    return base::fail(ErrorCode::kUnavailable, "its sockets are not open");
  }
  if (auto renewed = parent_.renew(); !renewed) {
    base::log(base::LogLevel::kWarning, renewed.error().message);
  }
  // From now on the instance accepts; whoever comes is its business.
  stop_watching(entry);
  TRY_ASSIGN(pair, make_pair());
  TRY_ASSIGN(control, duplicate(entry.sockets->control.number()));
  TRY_ASSIGN(data, duplicate(entry.sockets->data.number()));
  TRY_ASSIGN(variables, duplicate(entry.sockets->variables.number()));
  // The door outlives this vtpmd, and is the instance's alone.
  TRY_ASSIGN(door, transport::net::UnixListener::replace(folder_.door(id), std::nullopt));
  const vtpm::host::ChildEnds ends{std::move(pair[1]),   std::move(control), std::move(data),
                                   std::move(variables), std::move(lease),   door.give_away()};
  const auto serial = ++last_serial_;
  TRY(parent_.request_fork(serial, "vtpm-" + setup.name(), ends));
  launches_[serial] = id;
  entry.link = std::make_shared<Link>(io_, std::move(pair[0]), serial);
  asio::co_spawn(io_, follow(id, entry.link), asio::detached);
  auto sent = send(id, message_of(id, setup));
  if (!sent) {
    // Without its link it ends by itself.
    std::exchange(entry.link, nullptr)->socket.close();
  }
  return sent;
}

instance::ToInstance RunningInstances::message_of(const VmId& id,
                                                  const instance::Setup& setup) const {
  instance::ToInstance message;
  *message.mutable_setup() = setup;
  message.mutable_setup()->set_tcb_grace_over(tcb_grace_over_);
  if (hypervisor_group_) {
    message.mutable_setup()->set_hypervisor_group(*hypervisor_group_);
  }
  message.mutable_setup()->set_ask_for_certificates(authority_ != nullptr &&
                                                    !authority_->has_certified(id.bytes));
  return message;
}

base::Result<void> RunningInstances::send(const VmId& id, const instance::ToInstance& message) {
  const auto& link = entries_[id].link;
  if (!link) {
    return base::fail(ErrorCode::kUnavailable, "it has no instance");
  }
  return vtpm::host::send_frame(link->socket.native_handle(), message);
}

asio::awaitable<void> RunningInstances::follow(VmId id, std::shared_ptr<Link> link) {
  for (bool open = true; open;) {
    const auto [error] = co_await link->socket.async_wait(descriptor_base::wait_read, as_values);
    const auto received = link->said.receive(link->socket.native_handle());
    open = !error && received && *received;
    handle(id, link);
  }
  // A request that was lost with the parent is never answered.
  launches_.erase(link->serial);
  closed(id, link);
}

void RunningInstances::handle(const VmId& id, const std::shared_ptr<Link>& link) {
  instance::FromInstance message;
  for (;;) {
    const auto complete = link->said.next(message);
    if (!complete) {
      say_nonsense(id, link, complete.error().message);
      return;
    }
    if (!*complete) {
      return;
    }
    const auto found = entries_.find(id);
    if (found == entries_.end()) {
      return;
    }
    if (link != found->second.link) {
      if (link == found->second.successor) {
        handle_successor(id, link, message);
      } else if (message.has_log()) {
        log_line(id, message.log());
      }
      continue;
    }
    switch (message.message_case()) {
      case instance::FromInstance::kOpened:
        host_->opened(id, message.opened());
        break;
      case instance::FromInstance::kState:
        host_->said(id, message.state());
        break;
      case instance::FromInstance::kLog:
        log_line(id, message.log());
        break;
      case instance::FromInstance::kCertificationRequest:
        certify(id, link, message.certification_request());
        break;
      case instance::FromInstance::kBrokerCall:
        call_broker(id, link, message.broker_call());
        break;
      case instance::FromInstance::kReceipt:
        keep_receipt(id, link, message.receipt());
        break;
      case instance::FromInstance::kLockoutAnswer:
        if (lockouts_ != nullptr) {
          lockouts_->take(id, message.lockout_answer());
        }
        break;
      case instance::FromInstance::kReclaimed:
        host_->reclaimed(id, message.reclaimed().opened());
        break;
      case instance::FromInstance::kHandOverEnded:
        if (!message.hand_over_ended().handed_over() && found->second.successor) {
          found->second.successor->why = message.hand_over_ended().reason();
        }
        break;
      case instance::FromInstance::kTakeBackEnded:
        host_->take_back_ended(id, message.take_back_ended());
        break;
      case instance::FromInstance::kConverted:
        host_->converted(id);
        break;
      case instance::FromInstance::kTakenOver:  // of a successor alone
      case instance::FromInstance::MESSAGE_NOT_SET:
        break;
    }
  }
}

// A successor, or the one before, must not take down with it the one that serves.
void RunningInstances::say_nonsense(const VmId& id, const std::shared_ptr<Link>& link,
                                    const std::string& what) {
  if (is_current(id, link)) {
    base::log(base::LogLevel::kError,
              "VM " + to_string(id) + ": killed, for its instance says " + what);
    kill(id);
    return;
  }
  base::log(base::LogLevel::kError, "VM " + to_string(id) +
                                        ": an instance that does not serve it is not listened to "
                                        "any more, for it says " +
                                        what);
  link->why = what;
  ::shutdown(link->socket.native_handle(), SHUT_RDWR);
}

void RunningInstances::certify(const VmId& id, const std::shared_ptr<Link>& link,
                               const instance::CertificationRequest& request) {
  const auto* vm = host_->find(id);
  if (vm == nullptr || authority_ == nullptr) {
    return;
  }
  const auto registered = keybroker::authority::registered_vm(vm->record.launch_document);
  if (!registered) {
    return;  // the VM is broken and runs nothing
  }
  const std::weak_ptr<Link> asked_by = link;
  authority_->ask(*registered, request,
                  [this, id, asked_by](const instance::CertificationAnswer& its_answer) {
                    answer(id, asked_by, its_answer);
                  });
}

// The instance that asked may have ended, and another may be there that asked nothing.
void RunningInstances::answer(const VmId& id, const std::weak_ptr<Link>& asked_by,
                              const instance::CertificationAnswer& answer) {
  const auto* vm = host_->find(id);
  if (!is_current(id, asked_by.lock()) || vm == nullptr) {
    return;
  }
  if (answer.has_refusal()) {
    daemon::log_of_vm(base::LogLevel::kWarning, id, vm->record.name,
                      "VM '" + vm->record.name + "': " + answer.refusal().reason());
  } else if (answer.has_certificates()) {
    daemon::log_of_vm(base::LogLevel::kInfo, id, vm->record.name,
                      "VM '" + vm->record.name + "': its AK was certified");
  }
  instance::ToInstance message;
  *message.mutable_certification_answer() = answer;
  if (const auto sent = send(id, message); !sent) {
    daemon::log_of_vm(base::LogLevel::kWarning, id, vm->record.name,
                      "VM '" + vm->record.name +
                          "': its instance takes no certificates: " + sent.error().message);
  }
}

bool RunningInstances::is_current(const VmId& id, const std::shared_ptr<Link>& link) const {
  const auto found = entries_.find(id);
  return link && found != entries_.end() && found->second.link == link;
}

void RunningInstances::call_broker(const VmId& id, const std::shared_ptr<Link>& link,
                                   const instance::BrokerCall& call) {
  const auto* vm = host_->find(id);
  if (vm == nullptr || relay_ == nullptr) {
    return;
  }
  const std::weak_ptr<Link> asked_by = link;
  if (std::exchange(link->call_is_open, true)) {
    instance::ToInstance message;
    auto& busy = *message.mutable_broker_reply();
    busy.set_serial(call.serial());
    busy.mutable_away()->set_reason("a call of this VM to its key broker is open; one at a time");
    (void)send(id, message);
    return;
  }
  relay_->carry(
      {id, vm->record.name}, call,
      [this, id, asked_by, has_receipt = call.method() == instance::BrokerCall::ANCHOR](
          const BrokerRelay::Outcome& outcome) { reply(id, asked_by, outcome, has_receipt); });
}

// The instance that called may have ended, and another may be there that said nothing.
void RunningInstances::reply(const VmId& id, const std::weak_ptr<Link>& asked_by,
                             const BrokerRelay::Outcome& outcome, bool has_receipt) {
  const auto link = asked_by.lock();
  if (!is_current(id, link)) {
    return;
  }
  link->call_is_open = false;
  if (outcome.reply.has_message()) {
    link->receipt_is_due = has_receipt;
    host_->broker_answered(
        id, {outcome.endpoint, now_in_seconds().time_since_epoch() / std::chrono::seconds(1)});
  }
  instance::ToInstance message;
  *message.mutable_broker_reply() = outcome.reply;
  if (const auto sent = send(id, message); !sent) {
    base::log(base::LogLevel::kWarning,
              "VM " + to_string(id) +
                  ": its instance takes no answer of its key broker: " + sent.error().message);
  }
}

// One for each answer that may have brought it: an instance does not keep the disk busy.
void RunningInstances::keep_receipt(const VmId& id, const std::shared_ptr<Link>& link,
                                    const instance::Receipt& receipt) {
  if (std::exchange(link->receipt_is_due, false)) {
    host_->receipt_came(id, receipt);
  }
}

void RunningInstances::log_line(const VmId& id, const instance::Log& line) const {
  const auto* vm = host_->find(id);
  daemon::log_of_vm(level_of(line.level()), id, vm != nullptr ? vm->record.name : to_string(id),
                    line.line());
}

void RunningInstances::kill(const VmId& id) {
  const auto holder = vtpm::host::lease_holder(folder_.lease(id));
  if (holder && vtpm::host::signal(*holder, SIGKILL)) {
    return;
  }
  // It has hardly begun. Without its link it ends, for it was not told to serve.
  if (const auto& link = entries_[id].link) {
    shutdown(link->socket.native_handle(), SHUT_RDWR);
  }
}

void RunningInstances::watch_holder(const VmId& id, std::optional<vtpm::host::LeaseHolder> holder) {
  auto shared = holder ? std::make_shared<vtpm::host::LeaseHolder>(*std::move(holder)) : nullptr;
  asio::co_spawn(io_, follow_holder(id, std::move(shared)), asio::detached);
}

asio::awaitable<void> RunningInstances::follow_holder(
    VmId id, std::shared_ptr<vtpm::host::LeaseHolder> holder) {
  if (holder) {
    stream_descriptor process(io_, holder->process.release());
    co_await process.async_wait(descriptor_base::wait_read, as_values);
  }
  // The lock goes with the last descriptor of the process, a little after or before its end shows.
  // It does not go where another process took the holder's place, which lets us in.
  asio::steady_timer pause(io_);
  for (;;) {
    const auto* vm = host_->find(id);
    if (vm == nullptr || vm->phase != vtpm::host::Phase::kDetached) {
      co_return;
    }
    const auto lease = vtpm::host::take_lease(folder_.lease(id));
    if (!lease || *lease) {
      break;
    }
    pause.expires_after(kHolderPause);
    co_await pause.async_wait(as_values);
  }
  host_->holder_ended(id);
}

void RunningInstances::signal_holder(const VmId& id, int number) {
  const auto holder = vtpm::host::lease_holder(folder_.lease(id));
  if (holder) {
    (void)vtpm::host::signal(*holder, number);
  }
}

}  // namespace tools::vtpmd
