// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpmd/daemon.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <optional>
#include <set>
#include <string>

#include "tools/daemon/log.h"
#include "tools/vtpmd/authority_service.h"
#include "tools/vtpmd/broker_relay.h"
#include "tools/vtpmd/changes.h"
#include "tools/vtpmd/embedded_authority.h"
#include "tools/vtpmd/group.h"
#include "tools/vtpmd/running_instances.h"
#include "tools/vtpmd/vm_service.h"
#include "transport/net/unix_listener.h"
#include "transport/rpc/server.h"
#include "transport/rpc/within.h"
#include "vtpm/host/host.h"
#include "vtpm/host/registry.h"
#include "vtpm/host/state_folder.h"

namespace tools::vtpmd {

namespace {

namespace asio = boost::asio;
using base::ErrorCode;
using base::LogLevel;
using transport::rpc::as_values;
using transport::rpc::within;
using vtpm::host::Host;
using vtpm::host::Phase;
using vtpm::host::Registry;
using vtpm::host::StateFolder;

// How long calls, and instances without a guest, have to finish when vtpmd ends.
constexpr std::chrono::seconds kCallGrace{5};
constexpr std::chrono::seconds kInstanceGrace{10};
constexpr std::chrono::hours kHousekeeping{1};

base::Result<std::optional<gid_t>> group_of(const std::string& name) {
  if (name.empty()) {
    return std::optional<gid_t>();
  }
  TRY_ASSIGN(id, group_id(name));
  return std::optional(id);
}

// Each VM has a handful of descriptors open here, and the usual limit is meant for programs that
// use select(). Instances inherit it.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
  }
}

// Daemon is vtpmd while it runs. Members are in the order in which they need each other.
class Daemon {
 public:
  static base::Result<std::unique_ptr<Daemon>> start(const config::VtpmdSettings& settings);

  base::Result<void> run(const std::function<base::Result<config::VtpmdSettings>()>& reload);

 private:
  Daemon(StateFolder folder, StateFolder::Lock lock, Registry registry,
         const config::VtpmdSettings& settings, std::optional<gid_t> hypervisor_group)
      : lock_(std::move(lock)),
        registry_(std::move(registry)),
        changes_(io_.get_executor()),
        instances_(io_, folder, settings.instance_program, hypervisor_group,
                   settings.tcb_grace == "over"),
        signals_(io_, SIGTERM, SIGINT, SIGHUP) {
    signals_.add(SIGCHLD);
  }

  void forget_vms_that_are_gone();
  base::Result<void> listen(const config::VtpmdSettings& settings);
  asio::awaitable<void> follow_signals(std::function<base::Result<config::VtpmdSettings>()> reload);
  asio::awaitable<void> keep_house();
  asio::awaitable<void> feed_watchdog(std::chrono::microseconds period);
  asio::awaitable<void> end();
  asio::awaitable<bool> wait_for_idle_instances();

  StateFolder::Lock lock_;
  Registry registry_;
  asio::io_context io_{1};
  std::unique_ptr<EmbeddedAuthority> authority_;
  std::unique_ptr<BrokerRelay> relay_;
  Changes changes_;
  RunningInstances instances_;
  LockoutCalls lockouts_{io_.get_executor(), instances_};
  std::unique_ptr<Host> host_;
  std::optional<VmService> service_;
  std::optional<AuthorityService> authority_service_;
  transport::rpc::Methods methods_;
  std::optional<transport::net::UnixListener> listener_;
  std::optional<transport::rpc::Server> server_;
  asio::signal_set signals_;
};

base::Result<std::unique_ptr<Daemon>> Daemon::start(const config::VtpmdSettings& settings) {
  TRY_ASSIGN(hypervisor_group, group_of(settings.hypervisor_group));
  const StateFolder folder(settings.state_folder, settings.runtime_folder);
  TRY_ASSIGN(lock, folder.lock());
  TRY_ASSIGN(registry, Registry::open(folder.registry()));
  std::unique_ptr<Daemon> daemon(
      new Daemon(folder, std::move(lock), std::move(registry), settings, hypervisor_group));
  TRY_ASSIGN(authority, EmbeddedAuthority::start(daemon->io_, folder.authority(), settings));
  daemon->authority_ = std::move(authority);
  daemon->instances_.certify_by(*daemon->authority_);
  TRY_ASSIGN(relay, BrokerRelay::start(daemon->io_, settings));
  daemon->relay_ = std::move(relay);
  daemon->instances_.relay_by(*daemon->relay_);
  TRY(daemon->instances_.start());
  auto& changes = daemon->changes_;
  TRY_ASSIGN(host, Host::open(folder, daemon->registry_, daemon->instances_,
                              [&changes](const vtpm::host::VmId& id) { changes.note(id); }));
  daemon->host_ = std::move(host);
  daemon->instances_.report_to(*daemon->host_);
  daemon->instances_.answer_lockouts_to(daemon->lockouts_);
  daemon->service_.emplace(*daemon->host_, daemon->registry_, changes, *daemon->authority_,
                           daemon->lockouts_);
  daemon->service_->enter(daemon->methods_);
  daemon->authority_service_.emplace(*daemon->authority_, *daemon->host_);
  daemon->authority_service_->enter(daemon->methods_);
  daemon->forget_vms_that_are_gone();
  daemon->authority_->keep_house();
  TRY(daemon->service_->forget_old_calls());
  TRY(daemon->listen(settings));
  return daemon;
}

// A deletion that was cut short has left certificates behind that vouch for nothing any more.
void Daemon::forget_vms_that_are_gone() {
  std::set<keybroker::protocol::Uuid> there;
  for (const auto* vm : host_->all()) {
    if (!vm->record.deleting) {
      there.insert(vm->id().bytes);
    }
  }
  authority_->forget_all_but(std::move(there));
}

base::Result<void> Daemon::listen(const config::VtpmdSettings& settings) {
  TRY_ASSIGN(admin_group, group_of(settings.admin_group));
  base::Descriptor socket;
  const int passed = sd_listen_fds(1);
  if (passed == 1) {
    socket = base::Descriptor(SD_LISTEN_FDS_START);
  } else if (passed > 1) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "the socket unit passes " + std::to_string(passed) + " sockets, not one");
  } else {
    TRY_ASSIGN(listener,
               transport::net::UnixListener::replace(settings.service_socket(), admin_group));
    socket = listener.release();
    listener_.emplace(std::move(listener));
  }
  TRY_ASSIGN(acceptor, transport::rpc::Server::acceptor_of(io_.get_executor(), std::move(socket)));
  server_.emplace(std::move(acceptor), transport::rpc::PeerPolicy{geteuid(), admin_group},
                  transport::rpc::Served{.methods = &methods_}, transport::rpc::ServerOptions{});
  return {};
}

base::Result<void> Daemon::run(const std::function<base::Result<config::VtpmdSettings>()>& reload) {
  server_->start();
  asio::co_spawn(io_, follow_signals(reload), asio::detached);
  asio::co_spawn(io_, keep_house(), asio::detached);
  std::uint64_t watchdog_microseconds = 0;
  if (sd_watchdog_enabled(0, &watchdog_microseconds) > 0) {
    asio::co_spawn(io_, feed_watchdog(std::chrono::microseconds(watchdog_microseconds / 2)),
                   asio::detached);
  }
  base::log(LogLevel::kInfo, "serving " + std::to_string(host_->all().size()) + " registered VMs");
  sd_notifyf(0, "READY=1\nSTATUS=%zu VMs are registered", host_->all().size());
  io_.run();
  return {};
}

asio::awaitable<void> Daemon::follow_signals(
    std::function<base::Result<config::VtpmdSettings>()> reload) {
  for (;;) {
    const auto [error, number] = co_await signals_.async_wait(as_values);
    if (error) {
      co_return;
    }
    switch (number) {
      case SIGCHLD:
        // Warmed parents, and instances whose parent has died.
        while (waitpid(-1, nullptr, WNOHANG) > 0) {
        }
        break;
      case SIGHUP: {
        sd_notify(0, "RELOADING=1");
        if (const auto settings = reload(); !settings) {
          base::log(LogLevel::kError, "configuration not loaded: " + settings.error().message);
        } else if (const auto level = daemon::parse_level(settings->log_level)) {
          daemon::set_least_level(*level);
          base::log(LogLevel::kInfo,
                    "log level is " + settings->log_level + "; other settings need a restart");
        }
        sd_notify(0, "READY=1");
        break;
      }
      default:
        co_await end();
        co_return;
    }
  }
}

asio::awaitable<void> Daemon::keep_house() {
  asio::steady_timer timer(io_);
  for (;;) {
    timer.expires_after(kHousekeeping);
    co_await timer.async_wait(as_values);
    if (const auto forgotten = service_->forget_old_calls(); !forgotten) {
      base::log(LogLevel::kWarning, forgotten.error().message);
    }
    forget_vms_that_are_gone();
    authority_->keep_house();
  }
}

asio::awaitable<void> Daemon::feed_watchdog(std::chrono::microseconds period) {
  asio::steady_timer timer(io_);
  for (;;) {
    sd_notify(0, "WATCHDOG=1");
    timer.expires_after(period);
    co_await timer.async_wait(as_values);
  }
}

// A guest keeps its TPM: its instance goes on without vtpmd, and the next vtpmd finds it by its
// lease. Instances that nobody uses end in order.
asio::awaitable<void> Daemon::end() {
  sd_notify(0, "STOPPING=1");
  base::log(LogLevel::kInfo, "ending; guests keep their TPMs");
  co_await server_->stop(kCallGrace);
  for (const auto* vm : host_->all()) {
    if ((vm->phase == Phase::kServing || vm->phase == Phase::kStarting) && !vm->guest) {
      (void)host_->stop(vm->id(), false);
    }
  }
  const auto idle = co_await within(kInstanceGrace, wait_for_idle_instances());
  if (!idle) {
    base::log(LogLevel::kWarning, "some instances have not ended yet; they will");
  }
  io_.stop();
}

asio::awaitable<bool> Daemon::wait_for_idle_instances() {
  Changes::Watch watch(changes_);
  const auto is_ending = [](const vtpm::host::Vm* vm) { return vm->phase == Phase::kStopping; };
  for (;;) {
    const auto vms = host_->all();
    if (std::none_of(vms.begin(), vms.end(), is_ending)) {
      co_return true;
    }
    co_await watch.next();
  }
}

}  // namespace

base::Result<void> run_daemon(const config::VtpmdSettings& settings,
                              const std::function<base::Result<config::VtpmdSettings>()>& reload) {
  umask(S_IRWXG | S_IRWXO);
  // Instances whose parent has died become children of vtpmd, so that none stays a zombie.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  raise_descriptor_limit();
  TRY_ASSIGN(daemon, Daemon::start(settings));
  return daemon->run(reload);
}

}  // namespace tools::vtpmd
