// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <thread>
#include <utility>
#include <vector>

#include "vmgs/base/descriptor.h"

namespace tests::integration {

// CuttingRoad carries bytes between a port of its own and another one of this machine, one
// connection after another or many at once, and looks into none. Once a client has sent more than a
// number of bytes over a connection, what comes back to it over that one is dropped.
class CuttingRoad {
 public:
  explicit CuttingRoad(std::uint16_t to) : to_(to), wake_(eventfd(0, EFD_CLOEXEC)) {
    listener_ = base::Descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    auto address = loopback(0);
    EXPECT_EQ(
        bind(listener_.number(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(listener_.number(), 16), 0);
    socklen_t size = sizeof(address);
    getsockname(listener_.number(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { carry(); });
  }

  CuttingRoad(const CuttingRoad&) = delete;
  CuttingRoad& operator=(const CuttingRoad&) = delete;

  ~CuttingRoad() {
    eventfd_write(wake_.number(), 1);
    thread_.join();
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }

  // cut_after() takes effect at once; 0: nothing is dropped.
  void cut_after(std::size_t bytes) { limit_ = bytes; }

  // How many connections have lost an answer.
  [[nodiscard]] std::size_t dropped() const { return dropped_; }

 private:
  struct Pair {
    base::Descriptor client;
    base::Descriptor server;
    std::size_t sent = 0;
  };

  static sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
  }

  void carry() {
    std::vector<Pair> pairs;
    for (;;) {
      std::vector<pollfd> polled = {{wake_.number(), POLLIN, 0}, {listener_.number(), POLLIN, 0}};
      for (const auto& pair : pairs) {
        polled.push_back({pair.client.number(), POLLIN, 0});
        polled.push_back({pair.server.number(), POLLIN, 0});
      }
      if (poll(polled.data(), polled.size(), -1) < 0 || polled[0].revents != 0) {
        return;
      }
      std::vector<Pair> open;
      for (std::size_t i = 0; i < pairs.size(); ++i) {
        auto& pair = pairs[i];
        const bool goes_on = (polled[2 + 2 * i].revents == 0 || there(pair)) &&
                             (polled[3 + 2 * i].revents == 0 || back(pair));
        if (goes_on) {
          open.push_back(std::move(pair));
        }
      }
      pairs = std::move(open);
      if (polled[1].revents != 0) {
        accept_into(pairs);
      }
    }
  }

  void accept_into(std::vector<Pair>& pairs) {
    Pair pair;
    pair.client = base::Descriptor(accept4(listener_.number(), nullptr, nullptr, SOCK_CLOEXEC));
    pair.server = base::Descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto address = loopback(to_);
    if (connect(pair.server.number(), reinterpret_cast<const sockaddr*>(&address),
                sizeof(address)) == 0) {
      pairs.push_back(std::move(pair));
    }
  }

  // pass() carries what is there; false at the end.
  static bool pass(int from, int to, std::size_t& bytes) {
    std::array<char, 16384> piece{};
    const auto got = recv(from, piece.data(), piece.size(), 0);
    if (got <= 0) {
      return false;
    }
    bytes += static_cast<std::size_t>(got);
    return to < 0 || send(to, piece.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) == got;
  }

  bool there(Pair& pair) const {
    return pass(pair.client.number(), pair.server.number(), pair.sent);
  }

  // The server has answered, and that is the end of the connection.
  bool back(Pair& pair) {
    const bool is_cut = limit_ != 0 && pair.sent > limit_;
    std::size_t ignored = 0;
    const bool open = pass(pair.server.number(), is_cut ? -1 : pair.client.number(), ignored);
    dropped_ += is_cut && open ? 1 : 0;
    return open && !is_cut;
  }

  const std::uint16_t to_;
  base::Descriptor wake_;
  base::Descriptor listener_;
  std::uint16_t port_ = 0;
  std::atomic<std::size_t> limit_{0};
  std::atomic<std::size_t> dropped_{0};
  std::thread thread_;
};

}  // namespace tests::integration
