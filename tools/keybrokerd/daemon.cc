// SPDX-License-Identifier: Apache-2.0
#include "tools/keybrokerd/daemon.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <csignal>
#include <optional>
#include <string>

#include "tools/daemon/log.h"
#include "tools/keybrokerd/checkpoints.h"
#include "tools/keybrokerd/guest_listener.h"
#include "tools/keybrokerd/log_watch.h"
#include "tools/keybrokerd/office.h"
#include "tools/keybrokerd/services.h"
#include "tools/keybrokerd/tls_authority.h"
#include "transport/net/tcp_listener.h"
#include "transport/rpc/load.h"
#include "transport/rpc/routes.h"
#include "transport/rpc/server.h"
#include "transport/rpc/within.h"
#include "transport/tls/context.h"
#include "vmgs/base/log.h"

namespace tools::keybrokerd {

namespace {

namespace asio = boost::asio;
namespace rpc = transport::rpc;
namespace tls = transport::tls;
using base::ErrorCode;
using base::LogLevel;
using rpc::as_values;

constexpr std::chrono::seconds kCallGrace{10};
// For boots that got their key and note their state: whatever else is asked, these go on.
constexpr std::size_t kReservedWorkers = 2;
// One caller may fill this part of those who wait.
constexpr std::size_t kShareOfQueue = 4;
constexpr std::chrono::seconds kProbe{5};
constexpr std::chrono::seconds kProbeDeadline{10};
constexpr std::chrono::minutes kHousekeeping{10};
constexpr std::chrono::hours kTlsRenewal{12};

base::Result<tls::Context> tls_context(const config::KeybrokerdSettings& settings,
                                       tls::Callers callers = tls::Callers::kWithCertificate) {
  if (!settings.tls_certificate.empty()) {
    return tls::server_context({.certificate = settings.tls_certificate,
                                .key = settings.tls_key,
                                .authorities = settings.tls_authorities,
                                .revoked = settings.tls_revoked},
                               callers);
  }
  if (!settings.tls_key.empty() || !settings.tls_authorities.empty()) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "[tls] key and authorities go with [tls] certificate, which is not set");
  }
  const auto now = now_in_seconds();
  TRY_ASSIGN(authority, TlsAuthority::open(settings.state_folder / "tls", now));
  TRY_ASSIGN(files, authority.server(settings.names, now));
  if (!settings.tls_revoked.empty()) {
    files.revoked = settings.tls_revoked;
  }
  return tls::server_context(files, callers);
}

rpc::LoadLimits limits_of(const config::KeybrokerdSettings& settings) {
  rpc::LoadLimits limits;
  limits.in_work = workers_of(settings);
  limits.reserved = kReservedWorkers;
  limits.waiting = static_cast<std::size_t>(settings.most_waiting);
  limits.waiting_of_one = std::max<std::size_t>(1, limits.waiting / kShareOfQueue);
  return limits;
}

// Daemon is keybrokerd while it runs. Members are in the order in which they need each other.
class Daemon {
 public:
  static base::Result<std::unique_ptr<Daemon>> start(const config::KeybrokerdSettings& settings);

  base::Result<void> run(const std::function<base::Result<config::KeybrokerdSettings>()>& reload);

  ~Daemon() { pool_.join(); }

 private:
  explicit Daemon(const config::KeybrokerdSettings& settings)
      : settings_(settings),
        pool_(workers_of(settings) + kReservedWorkers),
        services_(desks_, pool_, metrics_),
        load_(limits_of(settings)),
        signals_(io_, SIGTERM, SIGINT, SIGHUP) {}

  void add_routes();
  base::Result<void> listen();
  asio::awaitable<void> follow_signals(
      std::function<base::Result<config::KeybrokerdSettings>()> reload);
  asio::awaitable<void> probe();
  asio::awaitable<void> watch_probe();
  [[nodiscard]] std::string trouble() const;
  void note_readiness();
  asio::awaitable<void> keep_house();
  void note_log(const base::Result<void>& made);
  asio::awaitable<void> renew_tls();
  asio::awaitable<void> end();
  void take_tls_anew();

  const config::KeybrokerdSettings settings_;
  base::Descriptor lock_;
  asio::io_context io_{1};
  std::unique_ptr<Office> office_;
  Desks desks_;
  asio::thread_pool pool_;
  Metrics metrics_;
  Services services_;
  rpc::Load load_;
  rpc::Routes routes_;
  std::optional<rpc::Server> server_;
  std::optional<rpc::Server> health_server_;
  std::unique_ptr<GuestListener> guests_;
  asio::signal_set signals_;
  std::string trouble_;  // what was said of it last
  std::string records_trouble_ = "the records were not looked at yet";
  std::optional<std::chrono::steady_clock::time_point> probing_since_;
  std::unique_ptr<SeenCheckpoint> seen_checkpoint_;
  LogWatch log_watch_{now_in_seconds()};
};

base::Result<std::unique_ptr<Daemon>> Daemon::start(const config::KeybrokerdSettings& settings) {
  std::unique_ptr<Daemon> daemon(new Daemon(settings));
  TRY_ASSIGN(lock, lock_state_folder(settings.state_folder));
  daemon->lock_ = std::move(lock);
  TRY_ASSIGN(office, open_office(settings, now_in_seconds()));
  daemon->office_ = std::move(office);
  TRY_ASSIGN(seen, SeenCheckpoint::open(settings.state_folder / "broker" / "checkpoint.json"));
  daemon->seen_checkpoint_ = std::move(seen);
  for (std::size_t i = 0; i < workers_of(settings) + kReservedWorkers; ++i) {
    TRY_ASSIGN(desk, open_desk(*daemon->office_, settings, daemon->office_->keys));
    daemon->desks_.add(std::move(desk));
  }
  auto& services = daemon->services_;
  add_key_broker_service(services, daemon->metrics_);
  add_tenant_service(services);
  add_registration_service(services);
  add_policy_service(services);
  add_release_log_service(services, *daemon->seen_checkpoint_);
  add_broker_service(services, daemon->settings_);
  add_workload_key_service(services);
  daemon->add_routes();
  TRY(daemon->listen());
  return daemon;
}

void Daemon::add_routes() {
  routes_.get("/livez", [](rpc::RouteRequest) -> asio::awaitable<rpc::RouteAnswer> {
    co_return rpc::RouteAnswer{.body = "ok\n"};
  });
  routes_.get("/readyz", [this](rpc::RouteRequest) -> asio::awaitable<rpc::RouteAnswer> {
    const auto now = trouble();
    co_return rpc::RouteAnswer{.status = now.empty() ? 200U : 503U,
                               .body = now.empty() ? "ok\n" : now + "\n"};
  });
  const auto metrics = [this](rpc::RouteRequest) -> asio::awaitable<rpc::RouteAnswer> {
    metrics_.load(load_.in_work(), load_.waiting(), load_.refused(), server_->refused_callers());
    co_return rpc::RouteAnswer{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                               .body = metrics_.text()};
  };
  routes_.get("/metrics", metrics);
}

base::Result<void> Daemon::listen() {
  TRY_ASSIGN(context, tls_context(settings_));
  TRY_ASSIGN(socket, transport::net::listen_tcp(settings_.address,
                                                static_cast<std::uint16_t>(settings_.port)));
  const auto port = transport::net::port_of(socket);
  TRY_ASSIGN(acceptor, rpc::Server::acceptor_of(io_.get_executor(), std::move(socket)));
  const rpc::Served served{.methods = &services_.methods(),
                           .roles = &services_.roles(),
                           .routes = &routes_,
                           .load = &load_};
  server_.emplace(std::move(acceptor), rpc::Door(std::move(context)), served, rpc::ServerOptions{});
  base::log(LogLevel::kInfo, "listening on " + settings_.address + " port " + std::to_string(port));
  if (settings_.guest_port != 0) {
    TRY_ASSIGN(for_guests, tls_context(settings_, tls::Callers::kAnyone));
    TRY_ASSIGN(guests, GuestListener::open(settings_, *office_, std::move(for_guests)));
    guests_ = std::move(guests);
  }
  if (settings_.health_port != 0) {
    TRY_ASSIGN(health, transport::net::listen_tcp(
                           "127.0.0.1", static_cast<std::uint16_t>(settings_.health_port)));
    TRY_ASSIGN(health_acceptor, rpc::Server::acceptor_of(io_.get_executor(), std::move(health)));
    health_server_.emplace(std::move(health_acceptor), rpc::Door(rpc::Anyone{}),
                           rpc::Served{.routes = &routes_}, rpc::ServerOptions{});
  }
  return {};
}

base::Result<void> Daemon::run(
    const std::function<base::Result<config::KeybrokerdSettings>()>& reload) {
  server_->start();
  if (health_server_) {
    health_server_->start();
  }
  if (guests_) {
    guests_->start();
  }
  asio::co_spawn(io_, follow_signals(reload), asio::detached);
  asio::co_spawn(io_, probe(), asio::detached);
  asio::co_spawn(io_, watch_probe(), asio::detached);
  asio::co_spawn(io_, keep_house(), asio::detached);
  asio::co_spawn(io_, renew_tls(), asio::detached);
  sd_notify(0, "READY=1");
  io_.run();
  return {};
}

asio::awaitable<void> Daemon::follow_signals(
    std::function<base::Result<config::KeybrokerdSettings>()> reload) {
  for (;;) {
    const auto [error, number] = co_await signals_.async_wait(as_values);
    if (error) {
      co_return;
    }
    if (number != SIGHUP) {
      co_await end();
      co_return;
    }
    sd_notify(0, "RELOADING=1");
    if (const auto settings = reload(); !settings) {
      base::log(LogLevel::kError, "configuration not loaded: " + settings.error().message);
    } else if (const auto level = daemon::parse_level(settings->log_level)) {
      daemon::set_least_level(*level);
    }
    take_tls_anew();
    sd_notify(0, "READY=1");
  }
}

void Daemon::take_tls_anew() {
  auto context = tls_context(settings_);
  if (!context) {
    base::log(LogLevel::kError, "TLS credentials stay as they were: " + context.error().message);
    return;
  }
  server_->renew(*std::move(context));
  if (!guests_) {
    return;
  }
  if (auto for_guests = tls_context(settings_, tls::Callers::kAnyone); for_guests) {
    guests_->renew(*std::move(for_guests));
  } else {
    base::log(LogLevel::kError,
              "TLS credentials for guests stay as they were: " + for_guests.error().message);
  }
}

// Whether the records answer.
asio::awaitable<void> Daemon::probe() {
  asio::steady_timer timer(io_);
  for (;;) {
    auto look = [this] {
      return desks_.with([](Desk& desk) { return desk.records.sql().execute("SELECT 1", {}); });
    };
    probing_since_ = std::chrono::steady_clock::now();
    const auto answered = co_await rpc::run_on(pool_, std::move(look));
    probing_since_.reset();
    records_trouble_ = answered ? std::string() : "records: " + answered.error().message;
    note_readiness();
    timer.expires_after(kProbe);
    co_await timer.async_wait(as_values);
  }
}

// What a worker hangs in, no worker tells.
asio::awaitable<void> Daemon::watch_probe() {
  asio::steady_timer timer(io_);
  for (;;) {
    timer.expires_after(kProbe);
    co_await timer.async_wait(as_values);
    note_readiness();
  }
}

// trouble() is why the broker is not ready now, for /readyz; empty if it is.
std::string Daemon::trouble() const {
  if (probing_since_ && std::chrono::steady_clock::now() - *probing_since_ > kProbeDeadline) {
    return "the workers do not answer: a database or a token hangs";
  }
  return records_trouble_.empty() ? log_watch_.trouble(now_in_seconds()) : records_trouble_;
}

void Daemon::note_readiness() {
  auto now = trouble();
  if (now != trouble_) {
    base::log(now.empty() ? LogLevel::kInfo : LogLevel::kError, now.empty() ? "ready" : now);
    trouble_ = std::move(now);
  }
  metrics_.ready(trouble_.empty());
}

// Each by itself: what one of them lacks must not keep the others from being done.
asio::awaitable<void> Daemon::keep_house() {
  asio::steady_timer timer(io_);
  for (;;) {
    auto sign = [this] {
      return desks_.with([this](Desk& desk) {
        return make_checkpoint(desk, *seen_checkpoint_, now_in_seconds());
      });
    };
    const auto made = co_await rpc::run_on(pool_, std::move(sign));
    note_log(made);
    auto forget = [this] {
      return desks_.with([](Desk& desk) { return desk.records.forget_ended(now_in_seconds()); });
    };
    if (const auto done = co_await rpc::run_on(pool_, std::move(forget)); !done) {
      base::log(LogLevel::kWarning, "housekeeping: " + done.error().message);
    }
    auto certify = [this] {
      return desks_.with([](Desk& desk) { return desk.authority.keep_house(now_in_seconds()); });
    };
    if (const auto done = co_await rpc::run_on(pool_, std::move(certify)); !done) {
      base::log(LogLevel::kWarning, "housekeeping of certificates: " + done.error().message);
    }
    timer.expires_after(kHousekeeping);
    co_await timer.async_wait(as_values);
  }
}

void Daemon::note_log(const base::Result<void>& made) {
  log_watch_.note(made, now_in_seconds());
  if (!made) {
    base::log(LogLevel::kWarning, "no checkpoint now: " + made.error().message);
  }
  note_readiness();
}

asio::awaitable<void> Daemon::renew_tls() {
  asio::steady_timer timer(io_);
  for (;;) {
    timer.expires_after(kTlsRenewal);
    co_await timer.async_wait(as_values);
    take_tls_anew();
  }
}

asio::awaitable<void> Daemon::end() {
  sd_notify(0, "STOPPING=1");
  base::log(LogLevel::kInfo, "ending; calls in work are finished");
  co_await server_->stop(kCallGrace);
  if (guests_) {
    co_await guests_->stop(kCallGrace);
  }
  if (health_server_) {
    co_await health_server_->stop(std::chrono::seconds(0));
  }
  io_.stop();
}

}  // namespace

base::Result<void> run_daemon(
    const config::KeybrokerdSettings& settings,
    const std::function<base::Result<config::KeybrokerdSettings>()>& reload) {
  umask(S_IRWXG | S_IRWXO);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  // Keys are in this memory.
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  const rlimit no_core{0, 0};
  (void)setrlimit(RLIMIT_CORE, &no_core);
  TRY_ASSIGN(daemon, Daemon::start(settings));
  return daemon->run(reload);
}

}  // namespace tools::keybrokerd
