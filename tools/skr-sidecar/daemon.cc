// SPDX-License-Identifier: Apache-2.0
#include "tools/skr-sidecar/daemon.h"

#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <csignal>
#include <functional>
#include <optional>

#include "tools/skr-sidecar/face.h"
#include "transport/net/tcp_listener.h"
#include "transport/net/unix_listener.h"
#include "transport/rpc/load.h"
#include "transport/rpc/routes.h"
#include "transport/rpc/run_on.h"
#include "transport/rpc/server.h"
#include "transport/rpc/within.h"
#include "vmgs/base/log.h"

namespace tools::skr_sidecar {

namespace {

namespace asio = boost::asio;
namespace rpc = transport::rpc;
using base::ErrorCode;

constexpr std::chrono::seconds kGrace{5};
constexpr std::size_t kMostWaiting = 16;
constexpr std::size_t kMostGroupBytes = 64 * 1024;

base::Result<std::optional<gid_t>> group_of(const std::string& name) {
  if (name.empty()) {
    return std::optional<gid_t>();
  }
  std::vector<char> buffer(kMostGroupBytes);
  group entry{};
  group* found = nullptr;
  if (getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 ||
      found == nullptr) {
    return base::fail(ErrorCode::kNotFound, "there is no group '" + name + "'");
  }
  return std::optional(entry.gr_gid);
}

rpc::LoadLimits one_at_a_time() {
  rpc::LoadLimits limits;
  limits.in_work = 1;
  limits.waiting = kMostWaiting;
  limits.longest_wait = std::chrono::seconds(30);
  return limits;
}

std::vector<BrokerLink> links_of(const DaemonOptions& options) {
  std::vector<BrokerLink> links;
  for (auto url : options.brokers) {
    while (url.ends_with('/')) {
      url.pop_back();
    }
    links.emplace_back(std::move(url), options.authorities);
  }
  return links;
}

// Daemon is the sidecar while it runs. Members are in the order in which they need each other.
class Daemon {
 public:
  explicit Daemon(const DaemonOptions& options)
      : face_(options.guest, links_of(options)),
        load_(one_at_a_time()),
        signals_(io_, SIGTERM, SIGINT) {}

  ~Daemon() { pool_.join(); }

  base::Result<void> listen(const DaemonOptions& options);
  void run();

 private:
  using Answering = std::function<FaceAnswer(Face&, const std::string&)>;

  rpc::RouteHandler handler(Answering answering);
  asio::awaitable<void> end_at_signal();

  Face face_;
  asio::io_context io_{1};
  asio::thread_pool pool_{1};
  rpc::Routes routes_;
  rpc::Load load_;
  std::optional<transport::net::UnixListener> listener_;
  std::optional<rpc::Server> server_;
  asio::signal_set signals_;
};

rpc::RouteHandler Daemon::handler(Answering answering) {
  return [this, answering = std::move(answering)](
             rpc::RouteRequest request) -> asio::awaitable<rpc::RouteAnswer> {
    auto work = [this, &answering, &request] { return answering(face_, request.body); };
    auto answered = co_await rpc::run_on(pool_, std::move(work));
    rpc::RouteAnswer answer;
    answer.status = answered.status;
    answer.content_type = "application/json; charset=utf-8";
    answer.body = std::move(answered.body);
    co_return answer;
  };
}

base::Result<void> Daemon::listen(const DaemonOptions& options) {
  routes_.get("/status", handler([](Face& face, const std::string&) { return face.status(); }));
  routes_.post("/attest/raw",
               handler([](Face& face, const std::string& body) { return face.attest_raw(body); }));
  routes_.post("/attest/maa",
               handler([](Face& face, const std::string& body) { return face.attest_maa(body); }));
  routes_.post("/key/release",
               handler([](Face& face, const std::string& body) { return face.key_release(body); }));
  base::Descriptor socket;
  rpc::Door door = rpc::Anyone{};
  if (options.port != 0) {
    TRY_ASSIGN(listening,
               transport::net::listen_tcp("127.0.0.1", static_cast<std::uint16_t>(options.port)));
    socket = std::move(listening);
  } else {
    TRY_ASSIGN(group, group_of(options.group));
    TRY_ASSIGN(listener, transport::net::UnixListener::replace(options.socket, group));
    listener_.emplace(std::move(listener));
    socket = listener_->release();
    door = rpc::PeerPolicy{geteuid(), group};
  }
  TRY_ASSIGN(acceptor, rpc::Server::acceptor_of(io_.get_executor(), std::move(socket)));
  rpc::ServerOptions server_options;
  server_options.max_request_bytes = kMostRequestBytes;
  server_.emplace(std::move(acceptor), std::move(door),
                  rpc::Served{.routes = &routes_, .load = &load_}, server_options);
  return {};
}

void Daemon::run() {
  server_->start();
  asio::co_spawn(io_, end_at_signal(), asio::detached);
  io_.run();
}

asio::awaitable<void> Daemon::end_at_signal() {
  co_await signals_.async_wait(rpc::as_values);
  co_await server_->stop(kGrace);
  io_.stop();
}

}  // namespace

base::Result<void> run_daemon(const DaemonOptions& options) {
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  // Released keys are in this memory for a moment.
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  const rlimit no_core{0, 0};
  (void)setrlimit(RLIMIT_CORE, &no_core);
  Daemon daemon(options);
  TRY(daemon.listen(options));
  base::log(base::LogLevel::kInfo,
            options.port != 0 ? "listening on 127.0.0.1 port " + std::to_string(options.port)
                              : "listening on " + options.socket);
  daemon.run();
  return {};
}

}  // namespace tools::skr_sidecar
