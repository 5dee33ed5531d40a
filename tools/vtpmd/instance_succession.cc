// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <utility>

#include "keybroker/protocol/instance.pb.h"
#include "tools/vtpmd/instance_link.h"
#include "tools/vtpmd/running_instances.h"
#include "transport/net/unix_listener.h"
#include "vmgs/base/log.h"
#include "vtpm/host/frame.h"

// How one instance takes the place of another, and how instances of an earlier vtpmd are reclaimed.
namespace tools::vtpmd {

namespace asio = boost::asio;
namespace instance = strongroom::instance::v1;
using base::ErrorCode;
using vmgs::format::VmId;

base::Result<void> RunningInstances::replace(const VmId& id, const instance::Setup& setup) {
  auto& entry = entries_[id];
  if (!entry.sockets || !entry.link || entry.successor) {
    return base::fail(ErrorCode::kUnavailable, "there is no instance to replace, or one is coming");
  }
  TRY(parent_.renew());
  stop_watching(entry);
  TRY_ASSIGN(pair, make_pair());
  TRY_ASSIGN(way, make_pair());
  TRY_ASSIGN(control, duplicate(entry.sockets->control.number()));
  TRY_ASSIGN(data, duplicate(entry.sockets->data.number()));
  TRY_ASSIGN(variables, duplicate(entry.sockets->variables.number()));
  const vtpm::host::ChildEnds ends{.link = std::move(pair[1]),
                                   .control = std::move(control),
                                   .data = std::move(data),
                                   .variables = std::move(variables),
                                   .lease = {},
                                   .door = {},
                                   .predecessor = std::move(way[1])};
  const auto serial = ++last_serial_;
  TRY(parent_.request_fork(serial, "vtpm-" + setup.name(), ends));
  auto successor = std::make_shared<Link>(io_, std::move(pair[0]), serial);
  TRY(vtpm::host::send_frame(successor->socket.native_handle(), message_of(id, setup)));
  instance::ToInstance order;
  order.mutable_hand_over();
  // Where that cannot be told, the successor hears nothing, and ends.
  TRY(vtpm::host::send_frame(entry.link->socket.native_handle(), order,
                             std::array{way[0].number()}));
  entry.successor = std::move(successor);
  asio::co_spawn(io_, follow(id, entry.successor), asio::detached);
  return {};
}

void RunningInstances::reclaim(const VmId& id) {
  auto connected = transport::net::UnixListener::connect(folder_.door(id));
  auto& entry = entries_[id];
  if (!connected || entry.link) {
    if (!connected) {
      base::log(base::LogLevel::kWarning,
                "VM " + to_string(id) + " is served out of reach: " + connected.error().message);
    }
    return;
  }
  entry.link = std::make_shared<Link>(io_, *std::move(connected), ++last_serial_);
  asio::co_spawn(io_, follow(id, entry.link), asio::detached);
}

void RunningInstances::closed(const VmId& id, const std::shared_ptr<Link>& link) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) {
    return;
  }
  auto& entry = found->second;
  if (entry.successor == link) {
    entry.successor.reset();
    host_->replacement_failed(id, link->why.empty() ? "the new instance has died" : link->why);
  } else if (entry.link == link) {
    entry.link.reset();
  } else {
    return;
  }
  // While one of two is there it may have everything, or be about to.
  if (!entry.link && !entry.successor) {
    host_->instance_ended(id);
  }
}

void RunningInstances::handle_successor(const VmId& id, const std::shared_ptr<Link>& link,
                                        const instance::FromInstance& message) {
  if (message.has_log()) {
    log_line(id, message.log());
  } else if (message.has_hand_over_ended()) {
    link->why = message.hand_over_ended().reason();
  } else if (message.has_taken_over()) {
    auto& entry = entries_[id];
    // What the one before has still to say is no news of this VM.
    entry.link = std::exchange(entry.successor, nullptr);
    host_->taken_over(id, message.taken_over());
  }
}

}  // namespace tools::vtpmd
