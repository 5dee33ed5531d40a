// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <boost/json.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/support/command.h"
#include "tests/support/process.h"
#include "vmgs/base/descriptor.h"

namespace tests::integration {

// A port of the loopback address that nobody listens on. It is below those that the system gives to
// connections that go out, so that it is still there when a broker was stopped and comes back.
inline std::uint16_t free_port() {
  std::random_device random;
  for (;;) {
    const auto port =
        static_cast<std::uint16_t>(std::uniform_int_distribution<unsigned>(15'000, 32'000)(random));
    const base::Descriptor probe(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    if (bind(probe.number(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
      return port;
    }
  }
}

inline std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// Keybrokerd is a real keybrokerd with its folder inside a folder of the test, and kbctl to talk to
// it. It is killed when this dies.
class Keybrokerd {
 public:
  // `vendor` is what `simulated-machine publish` has written: the broker believes that simulator.
  Keybrokerd(std::filesystem::path folder, const std::filesystem::path& vendor,
             std::uint16_t port = free_port())
      : folder_(std::move(folder)), port_(port) {
    std::filesystem::create_directories(folder_);
    std::ofstream(config()) << "[folders]\nstate = \"" << state().string()
                            << "\"\n[listen]\nport = " << port_ << "\nhealth_port = " << health_
                            << "\n[policy]\nauthorities = [\"" << kAuthority
                            << "\"]\n[evidence]\nsimulated_roots = \""
                            << (vendor / "root.pem").string() << "\"\ncollateral = \""
                            << (vendor / "collateral").string()
                            << "\"\n[limits]\nworkers = 2\n[log]\nlevel = \"debug\"\n";
  }

  // What release policies call this broker.
  static constexpr const char* kAuthority = "https://broker.example";

  // start() starts one, the first or one after kill() or stop(), and returns when it serves.
  void start() {
    const auto path = folder_ / "notify";
    std::filesystem::remove(path);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    ASSERT_LT(path.native().size(), sizeof(address.sun_path));
    std::memcpy(address.sun_path, path.c_str(), path.native().size());
    const base::Descriptor notices(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(bind(notices.number(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
              0);
    ASSERT_EQ(setenv("NOTIFY_SOCKET", path.c_str(), 1), 0);
    process_.emplace(*support::Process::start({KEYBROKERD, "run", "--config", config()},
                                              {.output = folder_ / "log"}));
    unsetenv("NOTIFY_SOCKET");
    pollfd readable{notices.number(), POLLIN, 0};
    ASSERT_EQ(poll(&readable, 1, 30'000), 1) << log();
  }

  void kill() { process_->kill(); }

  // stop() asks for an orderly end and gives the exit status, -1 if it does not end.
  int stop() {
    process_->signal(SIGTERM);
    return process_->wait(std::chrono::seconds(30)).value_or(-1);
  }

  [[nodiscard]] const support::Process& process() const { return *process_; }

  [[nodiscard]] std::filesystem::path config() const { return folder_ / "keybrokerd.toml"; }

  [[nodiscard]] std::filesystem::path state() const { return folder_ / "state"; }

  [[nodiscard]] std::uint16_t port() const { return port_; }

  [[nodiscard]] std::string url() const { return "https://localhost:" + std::to_string(port_); }

  [[nodiscard]] std::string log() const { return content_of(folder_ / "log"); }

  // issue() makes a caller's certificate and key in a folder of that name.
  [[nodiscard]] std::filesystem::path issue(const std::string& role, const std::string& name,
                                            const std::string& tenant = "") const {
    std::vector<std::string> line = {KEYBROKERD, "issue",  "--config", config(), "--role",
                                     role,       "--name", name,       "--out",  folder_ / name};
    if (!tenant.empty()) {
      line.insert(line.end(), {"--tenant", tenant});
    }
    const auto ran = support::run_command(line);
    EXPECT_EQ(ran.status, 0) << ran.err;
    return folder_ / name;
  }

  // kbctl() runs kbctl as whoever an identity is.
  [[nodiscard]] support::Ran kbctl(const std::filesystem::path& identity,
                                   std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), KBCTL);
    arguments.insert(arguments.end(), {"--broker", url(), "--identity", identity});
    return support::run_command(arguments);
  }

  // kbctl_json() runs it with --json, expects success and gives the document.
  [[nodiscard]] boost::json::object kbctl_json(const std::filesystem::path& identity,
                                               std::vector<std::string> arguments) const {
    arguments.emplace_back("--json");
    const auto ran = kbctl(identity, std::move(arguments));
    EXPECT_EQ(ran.status, 0) << ran.out << ran.err << log();
    boost::json::error_code invalid;
    auto value = boost::json::parse(ran.out, invalid);
    EXPECT_FALSE(invalid) << ran.out;
    return invalid || !value.is_object() ? boost::json::object() : value.get_object();
  }

  // How /readyz answers, as curl has it: "200" if well.
  [[nodiscard]] std::string health() const {
    return support::run_command({"/usr/bin/curl", "--silent", "--output", "/dev/null",
                                 "--write-out", "%{http_code}", "--max-time", "20",
                                 "http://127.0.0.1:" + std::to_string(health_) + "/readyz"})
        .out;
  }

  // The same, once it is `wanted` or a minute has passed. It is 503 until the records and the log
  // were looked at.
  [[nodiscard]] std::string await_health(const std::string& wanted) const {
    const auto patience = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    auto seen = health();
    while (seen != wanted && std::chrono::steady_clock::now() < patience) {
      seen = health();
    }
    return seen;
  }

 private:
  std::filesystem::path folder_;
  std::uint16_t port_;
  std::uint16_t health_ = free_port();
  std::optional<support::Process> process_;
};

}  // namespace tests::integration
