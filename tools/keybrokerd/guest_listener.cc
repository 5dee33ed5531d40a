// SPDX-License-Identifier: Apache-2.0
#include "tools/keybrokerd/guest_listener.h"

#include <sys/resource.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "tools/keybrokerd/guest_face.h"
#include "tools/keybrokerd/office.h"
#include "transport/net/tcp_listener.h"
#include "vmgs/base/log.h"

namespace tools::keybrokerd {

namespace {

namespace asio = boost::asio;
namespace rpc = transport::rpc;

constexpr int kNicer = 5;
constexpr std::size_t kMostConnectionsOfOne = 32;

rpc::LoadLimits limits_of(std::size_t workers, std::size_t waiting) {
  rpc::LoadLimits limits;
  limits.in_work = workers;
  limits.waiting = waiting;
  return limits;
}

}  // namespace

GuestListener::GuestListener(std::size_t workers, std::size_t waiting, Office& office)
    : workers_(workers), keys_(office.keys, workers - 1), load_(limits_of(workers, waiting)) {}

base::Result<std::unique_ptr<GuestListener>> GuestListener::open(
    const config::KeybrokerdSettings& settings, Office& office, transport::tls::Context context) {
  const auto workers = guest_workers_of(settings);
  std::unique_ptr<GuestListener> made(
      new GuestListener(workers, static_cast<std::size_t>(settings.most_waiting), office));
  for (std::size_t i = 0; i < workers; ++i) {
    TRY_ASSIGN(desk, open_desk(office, settings, made->keys_));
    made->desks_.add(std::move(desk));
  }
  add_guest_routes(made->routes_, {made->desks_, made->pool_, *office.tokens});
  TRY_ASSIGN(socket, transport::net::listen_tcp(settings.address,
                                                static_cast<std::uint16_t>(settings.guest_port)));
  TRY_ASSIGN(acceptor, rpc::Server::acceptor_of(made->io_.get_executor(), std::move(socket)));
  rpc::ServerOptions options;
  options.max_connections_of_one = kMostConnectionsOfOne;
  made->server_.emplace(std::move(acceptor), rpc::Door(std::move(context)),
                        rpc::Served{.routes = &made->routes_, .load = &made->load_}, options);
  base::log(base::LogLevel::kInfo, "listening to guests on " + settings.address + " port " +
                                       std::to_string(settings.guest_port) + " as " +
                                       office.tokens->issuer);
  return made;
}

GuestListener::~GuestListener() {
  io_.stop();
  if (thread_.joinable()) {
    thread_.join();
  }
  if (pool_) {
    pool_->join();
  }
}

void GuestListener::start() {
  thread_ = std::thread([this] {
    // On Linux this is of the calling thread alone, and threads that it makes have it from there.
    // A system that does not allow it serves guests no worse for it.
    (void)setpriority(PRIO_PROCESS, 0, kNicer);
    pool_.emplace(workers_);
    server_->start();
    io_.run();
  });
}

void GuestListener::renew(transport::tls::Context context) {
  asio::post(io_, [this, context = std::move(context)] { server_->renew(context); });
}

asio::awaitable<void> GuestListener::stop(std::chrono::milliseconds grace) {
  auto stopping = server_->stop(grace);
  co_await asio::co_spawn(io_, std::move(stopping), asio::use_awaitable);
}

}  // namespace tools::keybrokerd
