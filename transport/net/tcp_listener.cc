// SPDX-License-Identifier: Apache-2.0
#include "transport/net/tcp_listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>

namespace transport::net {

namespace {

using base::ErrorCode;

struct Address {
  sockaddr_storage storage{};
  socklen_t bytes = 0;
};

template <typename Family>
Address stored(const Family& family) {
  Address address;
  std::memcpy(&address.storage, &family, sizeof(family));
  address.bytes = sizeof(family);
  return address;
}

std::optional<Address> parse(const std::string& text, std::uint16_t port) {
  sockaddr_in v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    return stored(v4);
  }
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    return stored(v6);
  }
  return std::nullopt;
}

auto refuse(const std::string& where, int error) {
  const auto code = error == EADDRINUSE                 ? ErrorCode::kUnavailable
                    : error == EACCES || error == EPERM ? ErrorCode::kDenied
                    : error == EADDRNOTAVAIL            ? ErrorCode::kInvalidArgument
                                                        : ErrorCode::kIo;
  return base::fail(code,
                    "cannot listen at " + where + ": " + std::generic_category().message(error));
}

bool set(const base::Descriptor& socket, int level, int option, int value) {
  return setsockopt(socket.number(), level, option, &value, sizeof(value)) == 0;
}

}  // namespace

base::Result<base::Descriptor> listen_tcp(const std::string& address, std::uint16_t port,
                                          Sharing sharing) {
  const auto where = "TCP address " + address + ", port " + std::to_string(port);
  const auto parsed = parse(address, port);
  if (!parsed) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "\"" + address + "\" is no IP address to listen at; a name is not one");
  }
  const int family = parsed->storage.ss_family;
  base::Descriptor socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const bool made = socket.is_open() && set(socket, SOL_SOCKET, SO_REUSEADDR, 1) &&
                    (sharing == Sharing::kAlone || set(socket, SOL_SOCKET, SO_REUSEPORT, 1)) &&
                    (family != AF_INET6 || set(socket, IPPROTO_IPV6, IPV6_V6ONLY, 0)) &&
                    ::bind(socket.number(), reinterpret_cast<const sockaddr*>(&parsed->storage),
                           parsed->bytes) == 0 &&
                    ::listen(socket.number(), SOMAXCONN) == 0;
  if (!made) {
    return refuse(where, errno);
  }
  return socket;
}

std::uint16_t port_of(const base::Descriptor& socket) {
  sockaddr_storage bound{};
  socklen_t bytes = sizeof(bound);
  if (getsockname(socket.number(), reinterpret_cast<sockaddr*>(&bound), &bytes) != 0) {
    return 0;
  }
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  switch (bound.ss_family) {
    case AF_INET:
      std::memcpy(&v4, &bound, sizeof(v4));
      return ntohs(v4.sin_port);
    case AF_INET6:
      std::memcpy(&v6, &bound, sizeof(v6));
      return ntohs(v6.sin6_port);
    default:
      return 0;
  }
}

}  // namespace transport::net
