// SPDX-License-Identifier: Apache-2.0
#include "transport/net/receive.h"

#include <sys/socket.h>

#include <cerrno>
#include <system_error>

#include "vmgs/base/passed_descriptors.h"

namespace transport::net {

base::Result<Received> receive(int socket, std::span<std::byte> buffer) {
  iovec piece{buffer.data(), buffer.size()};
  base::PassingRoom<kMaxDescriptors> control;
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  message.msg_controllen = control.bytes.size();

  ssize_t count = 0;
  do {
    count = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (count < 0 && errno == EINTR);
  if (count < 0) {
    const bool nothing = errno == EAGAIN || errno == EWOULDBLOCK;
    return base::fail(nothing ? base::ErrorCode::kUnavailable : base::ErrorCode::kIo,
                      "receiving: " + std::generic_category().message(errno));
  }

  Received received;
  received.bytes = static_cast<std::size_t>(count);
  base::take_descriptors(message, received.descriptors);
  return received;
}

}  // namespace transport::net
