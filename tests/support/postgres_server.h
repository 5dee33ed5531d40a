// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/temp_folder.h"
#include "vmgs/base/result.h"

namespace tests::support {

// PostgresServer is a real PostgreSQL of Debian's package `postgresql` with an empty cluster in a
// folder of its own, reached by a Unix socket there and by nothing else. Run as root it runs as the
// user postgres, who the package makes. It is killed when the object dies.
class PostgresServer {
 public:
  // start() makes a cluster and waits until it takes connections. `settings` are lines of
  // postgresql.conf.
  static base::Result<PostgresServer> start(const std::vector<std::string>& settings = {});

  // start_standby_of() makes a copy of a running primary (pg_basebackup) and waits until it
  // follows: a standby that the primary's synchronous_standby_names can call `name`.
  static base::Result<PostgresServer> start_standby_of(const PostgresServer& primary,
                                                       const std::string& name);

  // The libpq connection string of a database of this server.
  [[nodiscard]] std::string where(const std::string& database) const;

  // The folder of its socket; all servers have port 5432.
  [[nodiscard]] std::filesystem::path socket_folder() const { return *folder_ / "socket"; }

  // create_database() makes an empty one.
  base::Result<void> create_database(const std::string& name) const;

  // run_sql() runs statements by psql as the superuser: what they print.
  [[nodiscard]] base::Result<std::string> run_sql(const std::string& database,
                                                  const std::string& statements) const;

  // kill() ends the postmaster by SIGKILL, as a crash of the machine would; its children notice.
  void kill() { process_.kill(); }

  // restart() stops it in order, which ends all connections, and starts it again.
  base::Result<void> restart();

  // promote() makes a standby the primary, and waits until it takes writes.
  base::Result<void> promote();

 private:
  PostgresServer(std::unique_ptr<TempFolder> folder, Process process)
      : folder_(std::move(folder)), process_(std::move(process)) {}

  [[nodiscard]] std::filesystem::path data() const { return *folder_ / "data"; }

  std::unique_ptr<TempFolder> folder_;
  Process process_;
};

}  // namespace tests::support
