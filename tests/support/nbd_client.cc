// SPDX-License-Identifier: Apache-2.0
#include "tests/support/nbd_client.h"

#include <sys/socket.h>

#include "vmgs/base/cursor.h"

namespace tests::support {

namespace {

constexpr std::uint64_t kOptionMagic = 0x49484156454f5054;
constexpr std::uint32_t kGo = 7;
constexpr std::uint32_t kAck = 1;
constexpr std::uint32_t kInfo = 3;

constexpr std::uint16_t kRead = 0;
constexpr std::uint16_t kWrite = 1;
constexpr std::uint16_t kDisconnect = 2;
constexpr std::uint16_t kFlush = 3;

}  // namespace

std::optional<NbdClient> NbdClient::connect(const std::filesystem::path& path) {
  auto socket = SocketClient::connect(path);
  if (socket.receive(18).size() != 18) {
    return std::nullopt;
  }
  base::Writer choice;
  choice.u32_be(3);
  choice.u64_be(kOptionMagic);
  choice.u32_be(kGo);
  choice.u32_be(6);
  choice.u32_be(0);
  choice.u16_be(0);
  socket.send(choice.written());
  for (std::uint64_t size = 0;;) {
    const auto head = socket.receive(20);
    base::Reader reader(head);
    if (head.size() != 20 || !reader.bytes(12)) {
      return std::nullopt;
    }
    const auto type = *reader.u32_be();
    const auto data = socket.receive(*reader.u32_be());
    if (type == kAck) {
      return NbdClient(std::move(socket), size);
    }
    if (type != kInfo || data.size() != 12) {
      return std::nullopt;
    }
    base::Reader info(data);
    size = info.bytes(2) ? *info.u64_be() : 0;
  }
}

void NbdClient::send_request(std::uint16_t command, std::uint16_t flags, std::uint64_t offset,
                             std::uint32_t length, base::ByteView data) {
  base::Writer request;
  request.u32_be(0x25609513);
  request.u16_be(flags);
  request.u16_be(command);
  request.u64_be(++cookie_);
  request.u64_be(offset);
  request.u32_be(length);
  request.bytes(data);
  // A server that is gone is told by the reply that does not come.
  base::ByteView left = request.written();
  while (!left.empty()) {
    const auto sent = ::send(socket_.number(), left.data(), left.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      return;
    }
    left = left.subspan(static_cast<std::size_t>(sent));
  }
}

std::optional<std::uint32_t> NbdClient::reply() {
  const auto reply = socket_.receive(16);
  base::Reader reader(reply);
  if (reply.size() != 16 || *reader.u32_be() != 0x67446698) {
    return std::nullopt;
  }
  const auto error = *reader.u32_be();
  return *reader.u64_be() == cookie_ ? std::optional(error) : std::nullopt;
}

std::optional<std::uint32_t> NbdClient::write(std::uint64_t offset, base::ByteView bytes,
                                              bool write_through) {
  send_request(kWrite, write_through ? 1 : 0, offset, static_cast<std::uint32_t>(bytes.size()),
               bytes);
  return reply();
}

std::optional<std::uint32_t> NbdClient::flush() {
  send_request(kFlush, 0, 0, 0);
  return reply();
}

std::optional<base::Bytes> NbdClient::read(std::uint64_t offset, std::uint32_t bytes) {
  send_request(kRead, 0, offset, bytes);
  const auto error = reply();
  if (!error || *error != 0) {
    return std::nullopt;
  }
  auto data = socket_.receive(bytes);
  return data.size() == bytes ? std::optional(std::move(data)) : std::nullopt;
}

void NbdClient::disconnect() {
  send_request(kDisconnect, 0, 0, 0);
  socket_.closed_by_peer();
}

}  // namespace tests::support
