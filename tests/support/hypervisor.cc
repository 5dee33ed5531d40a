// SPDX-License-Identifier: Apache-2.0
#include "tests/support/hypervisor.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "vmgs/base/cursor.h"

namespace tests::support {

namespace {

constexpr std::size_t kResultBytes = 4;
constexpr std::size_t kTpmHeaderBytes = 10;

tl::unexpected<base::Error> failed(const char* what) {
  return base::fail(base::ErrorCode::kUnavailable, std::string(what) + ": " + std::strerror(errno));
}

void limit_waiting(int descriptor) {
  const timeval limit{10, 0};
  ::setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

base::Result<void> send_all(int descriptor, base::ByteView bytes) {
  while (!bytes.empty()) {
    const auto sent = ::send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) {
      return failed("send");
    }
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
  return {};
}

base::Result<base::Bytes> read_exactly(int descriptor, std::size_t count) {
  base::Bytes bytes(count);
  std::size_t have = 0;
  while (have < count) {
    const auto got = ::recv(descriptor, bytes.data() + have, count - have, 0);
    if (got == 0) {
      return base::fail(base::ErrorCode::kUnavailable, "the service hung up");
    }
    if (got < 0) {
      return failed("recv");
    }
    have += static_cast<std::size_t>(got);
  }
  return bytes;
}

std::uint32_t u32_at(base::ByteView bytes, std::size_t offset) {
  return base::load<base::U32Be>(bytes.subspan(offset).first<4>()).value();
}

base::Bytes request(Control command, base::ByteView body) {
  base::Writer out;
  out.u32_be(static_cast<std::uint32_t>(command));
  out.bytes(body);
  return std::move(out).take();
}

}  // namespace

base::Result<Hypervisor> Hypervisor::connect(const std::filesystem::path& control_socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const auto path = control_socket.string();
  if (path.size() >= sizeof address.sun_path) {
    return base::fail(base::ErrorCode::kInvalidArgument, "socket path too long: " + path);
  }
  std::memcpy(address.sun_path, path.c_str(), path.size());
  Hypervisor hypervisor;
  hypervisor.control_ = base::Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(hypervisor.control_.number(), reinterpret_cast<const sockaddr*>(&address),
                sizeof address) != 0) {
    return failed("connect");
  }
  limit_waiting(hypervisor.control_.number());
  return hypervisor;
}

base::Result<Hypervisor> Hypervisor::attach(const std::filesystem::path& control_socket) {
  TRY_ASSIGN(hypervisor, connect(control_socket));
  TRY_ASSIGN(data, hypervisor.set_data_descriptor());
  TRY_ASSIGN(started, hypervisor.init());
  if (data != 0 || started != 0) {
    return base::fail(base::ErrorCode::kUnavailable, "SET_DATAFD gave " + std::to_string(data) +
                                                         ", INIT " + std::to_string(started));
  }
  return hypervisor;
}

base::Result<base::Bytes> Hypervisor::control(Control command, base::ByteView body,
                                              std::size_t answer_bytes) {
  TRY(send_all(control_.number(), request(command, body)));
  TRY_ASSIGN(answer, read_exactly(control_.number(), kResultBytes));
  if (u32_at(answer, 0) != 0 || answer_bytes <= kResultBytes) {
    return answer;
  }
  TRY_ASSIGN(rest, read_exactly(control_.number(), answer_bytes - kResultBytes));
  answer.insert(answer.end(), rest.begin(), rest.end());
  return answer;
}

base::Result<std::uint32_t> Hypervisor::result(Control command, base::ByteView body) {
  TRY_ASSIGN(answer, control(command, body));
  return u32_at(answer, 0);
}

base::Result<std::uint32_t> Hypervisor::init(std::uint32_t flags) {
  const base::U32Be body(flags);
  return result(Control::kInit, base::view(body));
}

base::Result<std::uint32_t> Hypervisor::set_locality(std::uint8_t locality) {
  const std::array<std::byte, 4> body{std::byte{locality}};  // QEMU pads it to four bytes
  return result(Control::kSetLocality, body);
}

base::Result<std::uint32_t> Hypervisor::set_data_descriptor() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return failed("socketpair");
  }
  base::Descriptor ours(ends[0]);
  const base::Descriptor theirs(ends[1]);
  limit_waiting(ours.number());

  auto bytes = request(Control::kSetDataFd, {});
  iovec data{bytes.data(), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> ancillary{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = ancillary.data();
  message.msg_controllen = ancillary.size();
  auto* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int number = theirs.number();
  std::memcpy(CMSG_DATA(header), &number, sizeof number);
  if (::sendmsg(control_.number(), &message, MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) {
    return failed("sendmsg");
  }
  TRY_ASSIGN(answer, read_exactly(control_.number(), kResultBytes));
  if (u32_at(answer, 0) == 0) {
    data_ = std::move(ours);
  }
  return u32_at(answer, 0);
}

base::Result<base::Bytes> Hypervisor::get_state_blob(std::uint32_t type) {
  base::Writer body;
  body.u32_be(1);  // as plain content, where the service encrypts its files
  body.u32_be(type);
  body.u32_be(0);
  TRY_ASSIGN(header, control(Control::kGetStateBlob, body.written(), 16));
  if (header.size() < 16) {
    return base::fail(base::ErrorCode::kDenied,
                      "GET_STATEBLOB gave " + std::to_string(u32_at(header, 0)));
  }
  return read_exactly(control_.number(), u32_at(header, 12));
}

base::Result<std::uint32_t> Hypervisor::set_state_blob(std::uint32_t type, base::ByteView blob) {
  base::Writer body;
  body.u32_be(0);
  body.u32_be(type);
  body.u32_be(static_cast<std::uint32_t>(blob.size()));
  // QEMU sends header and blob as two writes.
  TRY(send_all(control_.number(), request(Control::kSetStateBlob, body.written())));
  TRY(send_all(control_.number(), blob));
  TRY_ASSIGN(answer, read_exactly(control_.number(), kResultBytes));
  return u32_at(answer, 0);
}

base::Result<void> Hypervisor::send_command(base::ByteView command) {
  return send_all(data_.number(), command);
}

base::Result<base::Bytes> Hypervisor::read_response() {
  TRY_ASSIGN(response, read_exactly(data_.number(), kTpmHeaderBytes));
  const auto size = u32_at(response, 2);
  if (size < kTpmHeaderBytes) {
    return base::fail(base::ErrorCode::kCorrupt, "a response shorter than its header");
  }
  TRY_ASSIGN(rest, read_exactly(data_.number(), size - kTpmHeaderBytes));
  response.insert(response.end(), rest.begin(), rest.end());
  return response;
}

base::Result<base::Bytes> Hypervisor::command(base::ByteView command) {
  TRY(send_command(command));
  return read_response();
}

}  // namespace tests::support
