// SPDX-License-Identifier: Apache-2.0
#include "tests/support/socket_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "vmgs/base/cursor.h"

namespace tests::support {

namespace {

constexpr int kPatienceMilliseconds = 10'000;

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::abort();
}

bool wait_readable(int socket, int milliseconds) {
  pollfd look{socket, POLLIN, 0};
  return ::poll(&look, 1, milliseconds) > 0;
}

}  // namespace

SocketClient::SocketClient(base::Descriptor socket) : socket_(std::move(socket)) {}

SocketClient SocketClient::connect(const std::filesystem::path& path) {
  base::Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path.c_str());
  if (::connect(socket.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
      0) {
    die(path.c_str());
  }
  return SocketClient(std::move(socket));
}

void SocketClient::send(base::ByteView bytes) {
  while (!bytes.empty()) {
    const auto sent = ::send(socket_.number(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      die("send");
    }
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
}

void SocketClient::send_hex(const std::string& hex) { send(*base::from_hex(hex)); }

void SocketClient::send_with(base::ByteView bytes, const std::vector<int>& descriptors) {
  iovec piece{const_cast<std::byte*>(bytes.data()), bytes.size()};
  const std::size_t size = descriptors.size() * sizeof(int);
  std::vector<std::byte> control(CMSG_SPACE(size));
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  auto* part = CMSG_FIRSTHDR(&message);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN(size);
  std::memcpy(CMSG_DATA(part), descriptors.data(), size);
  if (::sendmsg(socket_.number(), &message, MSG_NOSIGNAL) < 0) {
    die("sendmsg");
  }
}

base::Bytes SocketClient::receive(std::size_t bytes) {
  base::Bytes received;
  while (received.size() < bytes && wait_readable(number(), kPatienceMilliseconds)) {
    base::Bytes piece(bytes - received.size());
    const auto count = ::recv(number(), piece.data(), piece.size(), 0);
    if (count <= 0) {
      break;
    }
    received.insert(received.end(), piece.begin(), piece.begin() + count);
  }
  return received;
}

std::string SocketClient::exchange(const std::string& hex, std::size_t answer_bytes) {
  send_hex(hex);
  return base::to_hex(receive(answer_bytes));
}

base::Bytes SocketClient::receive_once() {
  base::Bytes piece(65536);
  if (!wait_readable(number(), kPatienceMilliseconds)) {
    return {};
  }
  const auto count = ::recv(number(), piece.data(), piece.size(), 0);
  piece.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
  return piece;
}

bool SocketClient::closed_by_peer() {
  std::array<std::byte, 4096> piece;
  while (wait_readable(number(), kPatienceMilliseconds)) {
    if (::recv(number(), piece.data(), piece.size(), 0) <= 0) {
      return true;
    }
  }
  return false;
}

bool SocketClient::something_to_read() const { return wait_readable(number(), 0); }

void SocketClient::fill(base::ByteView bytes) {
  while (::send(number(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0) {
  }
}

std::pair<base::Descriptor, base::Descriptor> socket_pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    die("socketpair");
  }
  return {base::Descriptor(ends[0]), base::Descriptor(ends[1])};
}

base::Bytes TpmClient::run(base::ByteView command) {
  send(command);
  return response();
}

base::Bytes TpmClient::response() {
  auto response = receive(10);
  if (response.size() < 10) {
    return {};
  }
  const auto size = *base::Reader(base::ByteView(response).subspan(2)).u32_be();
  const auto rest = receive(size - 10);
  response.insert(response.end(), rest.begin(), rest.end());
  return response;
}

}  // namespace tests::support
