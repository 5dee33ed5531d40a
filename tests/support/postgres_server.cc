// SPDX-License-Identifier: Apache-2.0
#include "tests/support/postgres_server.h"

#include <poll.h>
#include <pwd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <fstream>
#include <sstream>
#include <utility>

#include "tests/support/command.h"
#include "vmgs/base/descriptor.h"

namespace tests::support {

namespace {

using base::ErrorCode;
using Clock = std::chrono::steady_clock;

constexpr const char* kPrograms = "/usr/lib/postgresql/15/bin/";
constexpr auto kStartLimit = std::chrono::seconds(60);

// as_server() is a command as the user who runs the server, whom root may not be.
std::vector<std::string> as_server(std::vector<std::string> command) {
  command[0] = kPrograms + command[0];
  if (::geteuid() == 0) {
    const std::vector<std::string> user = {"/usr/bin/setpriv", "--reuid=postgres",
                                           "--regid=postgres", "--clear-groups",
                                           "--pdeathsig=KILL", "--"};
    command.insert(command.begin(), user.begin(), user.end());
  }
  return command;
}

base::Result<std::string> run(const std::vector<std::string>& command) {
  const auto ran = run_command(as_server(command));
  if (ran.status != 0) {
    return base::fail(ErrorCode::kIo, command[0] + ": " + ran.out + ran.err);
  }
  return ran.out;
}

base::Result<std::unique_ptr<TempFolder>> make_folder() {
  auto folder = std::make_unique<TempFolder>();
  std::filesystem::create_directory(*folder / "socket");
  if (::geteuid() == 0) {
    const auto* user = ::getpwnam("postgres");
    if (user == nullptr || ::chown(folder->path().c_str(), user->pw_uid, user->pw_gid) != 0 ||
        ::chown((*folder / "socket").c_str(), user->pw_uid, user->pw_gid) != 0) {
      return base::fail(ErrorCode::kIo, "no user postgres: install the package postgresql");
    }
  }
  return folder;
}

// The last line of the server's pid file says what it has come to (miscinit.c, pidfile.h).
std::string status_in(const std::filesystem::path& pid_file) {
  std::ifstream file(pid_file);
  std::string line;
  std::string status;
  for (int i = 0; i < 8 && std::getline(file, line); ++i) {
    status = i == 7 ? line : "";
  }
  return status;
}

// wait_until_ready() learns from the folder's change events.
base::Result<void> wait_until_ready(const std::filesystem::path& data, Process& process) {
  const base::Descriptor events(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (::inotify_add_watch(events.number(), data.c_str(), IN_MODIFY | IN_MOVED_TO | IN_CREATE) < 0) {
    return base::fail(ErrorCode::kIo, "the server's folder cannot be watched");
  }
  const auto deadline = Clock::now() + kStartLimit;
  while (!status_in(data / "postmaster.pid").starts_with("ready")) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd changed{events.number(), POLLIN, 0};
    if (left <= 0 || process.wait(std::chrono::milliseconds(0)) ||
        ::poll(&changed, 1, static_cast<int>(std::min<long>(left, 1000))) < 0) {
      return base::fail(ErrorCode::kUnavailable, "PostgreSQL did not start");
    }
    std::array<char, 4096> ignored;
    while (::read(events.number(), ignored.data(), ignored.size()) > 0) {
    }
  }
  return {};
}

base::Result<Process> start_server(const TempFolder& folder) {
  const auto data = folder / "data";
  TRY_ASSIGN(process, Process::start(as_server({"postgres", "-D", data.string()}),
                                     {.output = folder / "log"}));
  if (auto ready = wait_until_ready(data, process); !ready) {
    std::ifstream log(folder / "log");
    std::ostringstream text;
    text << log.rdbuf();
    return base::fail(std::move(ready).error().context(text.str()));
  }
  return process;
}

base::Result<void> configure(const TempFolder& folder, const std::vector<std::string>& settings) {
  std::ofstream config(folder / "data" / "postgresql.conf", std::ios::app);
  config << "listen_addresses = ''\nunix_socket_directories = '" << (folder / "socket").string()
         << "'\nshared_buffers = 16MB\nautovacuum = off\n";
  for (const auto& setting : settings) {
    config << setting << '\n';
  }
  if (!config.flush()) {
    return base::fail(ErrorCode::kIo, "postgresql.conf cannot be written");
  }
  return {};
}

}  // namespace

base::Result<PostgresServer> PostgresServer::start(const std::vector<std::string>& settings) {
  TRY_ASSIGN(folder, make_folder());
  TRY(run({"initdb", "-D", (*folder / "data").string(), "-U", "postgres", "--auth=trust",
           "--no-locale", "--encoding=UTF8", "--no-sync", "--no-instructions"}));
  TRY(configure(*folder, settings));
  TRY_ASSIGN(process, start_server(*folder));
  return PostgresServer(std::move(folder), std::move(process));
}

base::Result<PostgresServer> PostgresServer::start_standby_of(const PostgresServer& primary,
                                                              const std::string& name) {
  TRY_ASSIGN(folder, make_folder());
  TRY(run({"pg_basebackup", "-D", (*folder / "data").string(), "-d",
           primary.where("postgres") + " application_name=" + name, "--checkpoint=fast",
           "--wal-method=stream", "--write-recovery-conf", "--no-sync"}));
  TRY(configure(*folder, {"wal_retrieve_retry_interval = 100ms"}));
  TRY_ASSIGN(process, start_server(*folder));
  return PostgresServer(std::move(folder), std::move(process));
}

std::string PostgresServer::where(const std::string& database) const {
  return "host=" + socket_folder().string() + " port=5432 user=postgres dbname=" + database;
}

base::Result<void> PostgresServer::create_database(const std::string& name) const {
  TRY(run_sql("postgres", "CREATE DATABASE " + name));
  return {};
}

base::Result<std::string> PostgresServer::run_sql(const std::string& database,
                                                  const std::string& statements) const {
  return run({"psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set",
              "ON_ERROR_STOP=1", "-d", where(database), "-c", statements});
}

base::Result<void> PostgresServer::restart() {
  process_.signal(SIGINT);  // "fast": ends its connections
  if (!process_.wait(kStartLimit)) {
    return base::fail(ErrorCode::kUnavailable, "PostgreSQL did not stop");
  }
  TRY_ASSIGN(process, start_server(*folder_));
  process_ = std::move(process);
  return {};
}

base::Result<void> PostgresServer::promote() {
  TRY_ASSIGN(promoted, run_sql("postgres", "SELECT pg_promote(true, 60)"));
  if (promoted.find('t') == std::string::npos) {
    return base::fail(ErrorCode::kUnavailable, "the standby was not promoted");
  }
  return {};
}

}  // namespace tests::support
