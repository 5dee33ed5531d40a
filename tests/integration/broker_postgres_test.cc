// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <random>

#include "tests/support/command.h"
#include "tests/support/postgres_server.h"
#include "tests/support/temp_folder.h"
#include "transport/net/tcp_listener.h"

// keybroker/BROKER.md tells people how to run the key broker on PostgreSQL. Here its commands are
// run as they stand there, with the real programs and a real PostgreSQL.
namespace tests::integration {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

std::string content_of(const fs::path& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// The shell of the section, but its first block: the one that installs Debian's cluster.
std::string walk() {
  const auto page = content_of(fs::path(STRONGROOM_SOURCE) / "keybroker/BROKER.md");
  static const std::string kOpen = "```sh\n";
  const auto section = page.find("\n## The key broker on PostgreSQL\n");
  const auto end = std::min(page.find("\n## ", section + 1), page.size());
  std::string shell;
  bool is_first = true;
  for (auto open = page.find(kOpen, section); open < end;) {
    const auto begin = open + kOpen.size();
    const auto close = page.find("```", begin);
    if (!is_first) {
      shell += page.substr(begin, close - begin);
    }
    is_first = false;
    open = page.find(kOpen, close);
  }
  return shell;
}

void replace_all(std::string& text, const std::string& what, const std::string& by) {
  EXPECT_THAT(text, HasSubstr(what));
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) {
    text.replace(at, what.size(), by);
  }
}

// A port that nobody listens on, below those that the system gives to connections that go out: the
// broker comes back to it.
std::string free_port() {
  std::random_device random;
  std::uniform_int_distribution<std::uint16_t> ports(15'000, 32'000);
  for (;;) {
    const auto port = ports(random);
    if (transport::net::listen_tcp("127.0.0.1", port)) {
      return std::to_string(port);
    }
  }
}

TEST(BrokerPostgresTest, TheWalkOfTheBrokersPageWorksAsItStandsThere) {
  const auto server = support::PostgresServer::start();
  ASSERT_TRUE(server) << server.error().message;
  const support::TempFolder folder;
  auto shell = walk();
  replace_all(shell, "8443", free_port());
  replace_all(shell, "8480", free_port());
  ::setenv("PGHOST", server->socket_folder().c_str(), 1);
  ::setenv("PGUSER", "postgres", 1);
  ::setenv("PATH", (std::string(PROGRAMS) + ":" + ::getenv("PATH")).c_str(), 1);

  // Its daemons are of one process group, and end with it.
  const auto ran = support::run_command(
      {"/bin/bash", "-e", "-o", "pipefail", "-c",
       "cd " + folder.path().string() +
           "\ntrap 'kill $(jobs -p) || true; wait || true' EXIT\nset -x\n" + shell});

  EXPECT_EQ(ran.status, 0) << ran.out << ran.err << content_of(folder / "keybrokerd.log")
                           << content_of(folder / "vtpmd.log");
  const auto of_database = [&](const std::string& statement) {
    const auto answer = server->run_sql("strongroom", statement);
    return answer ? *answer : answer.error().message;
  };
  EXPECT_EQ(of_database("SELECT count(*), min(epoch), min(a_epoch) FROM vm"), "1|2|2\n");
  EXPECT_EQ(of_database("SELECT kind, count(*) FROM audit WHERE kind = 'claimed' GROUP BY kind"),
            "claimed|2\n")
      << "one before the broker was killed, one after";
  EXPECT_THAT(ran.out, HasSubstr("claimed"));
  for (const auto& file : fs::recursive_directory_iterator(folder / "broker")) {
    EXPECT_THAT(file.path().filename().string(), Not(HasSubstr("records.db")))
        << "a broker on PostgreSQL keeps no records of its own";
  }
}

}  // namespace
}  // namespace tests::integration
