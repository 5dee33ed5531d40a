// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/process.h"
#include "vmgs/base/descriptor.h"

namespace tests::integration {

// SkrSidecar is a real skr-sidecar on a socket in a folder of the test.
class SkrSidecar {
 public:
  SkrSidecar(const std::filesystem::path& folder, const std::string& tcti,
             const std::vector<std::string>& more = {})
      : socket_(folder / "skr.sock"), process_(start(folder, tcti, more)) {
    EXPECT_TRUE(support::wait_for_socket(socket_, process_, std::chrono::seconds(30)));
  }

  struct Answer {
    int status = 0;
    boost::json::object body;
  };

  // exchange() sends bytes, says that these were all, and gives all that comes until the sidecar
  // hangs up: one answer and nothing behind it, or this fails.
  [[nodiscard]] std::string exchange(const std::string& request) const {
    const base::Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, socket_.c_str(), sizeof(address.sun_path) - 1);
    EXPECT_EQ(
        ::connect(socket.number(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
        0);
    EXPECT_EQ(::send(socket.number(), request.data(), request.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(request.size()));
    std::string received;
    std::vector<char> buffer(65536);
    for (;;) {
      const auto got = ::recv(socket.number(), buffer.data(), buffer.size(), 0);
      if (got <= 0) {
        return received;
      }
      received.append(buffer.data(), static_cast<std::size_t>(got));
    }
  }

  [[nodiscard]] Answer ask(const std::string& verb, const std::string& path,
                           const std::string& body = {}) const {
    const auto received = exchange(
        verb + " " + path + " HTTP/1.1\r\nHost: skr\r\nConnection: close\r\n" +
        "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
        "\r\n\r\n" + body);
    EXPECT_EQ(received.substr(0, 9), "HTTP/1.1 ") << received;
    EXPECT_EQ(received.find("HTTP/1.1 ", 9), std::string::npos) << "two answers: " << received;
    const auto end = received.find("\r\n\r\n");
    if (received.size() < 12 || end == std::string::npos) {
      return {};
    }
    boost::system::error_code error;
    auto value = boost::json::parse(received.substr(end + 4), error);
    EXPECT_FALSE(error) << "no one JSON document: " << received;
    return {std::stoi(received.substr(9, 3)),
            value.is_object() ? value.get_object() : boost::json::object()};
  }

  [[nodiscard]] Answer post(const std::string& path, const boost::json::object& body) const {
    return ask("POST", path, boost::json::serialize(body));
  }

  [[nodiscard]] const std::filesystem::path& socket() const { return socket_; }

  support::Process& process() { return process_; }

 private:
  static support::Process start(const std::filesystem::path& folder, const std::string& tcti,
                                const std::vector<std::string>& more) {
    std::vector<std::string> argv = {SKR_SIDECAR, "run", "--socket",    folder / "skr.sock",
                                     "--tcti",    tcti,  "--event-log", "none"};
    argv.insert(argv.end(), more.begin(), more.end());
    return *support::Process::start(argv, {.output = folder / "skr.log"});
  }

  std::filesystem::path socket_;
  support::Process process_;
};

}  // namespace tests::integration
