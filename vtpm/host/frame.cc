// SPDX-License-Identifier: Apache-2.0
#include "vtpm/host/frame.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string>
#include <system_error>

#include "vmgs/base/cursor.h"
#include "vmgs/base/passed_descriptors.h"

namespace vtpm::host {

namespace {

using base::ErrorCode;

constexpr std::size_t kHeaderBytes = 4;

using ControlBuffer = base::PassingRoom<kMaxFrameDescriptors>;

}  // namespace

base::Result<void> send_frame(int socket, const google::protobuf::MessageLite& message,
                              std::span<const int> descriptors) {
  base::Bytes payload(message.ByteSizeLong());
  if (payload.size() > kMaxFrameBytes || descriptors.size() > kMaxFrameDescriptors ||
      !message.SerializeToArray(payload.data(), static_cast<int>(payload.size()))) {
    return base::fail(ErrorCode::kInvalidArgument, "message does not fit into a frame");
  }
  base::Writer writer;
  writer.u32_be(static_cast<std::uint32_t>(payload.size()));
  writer.bytes(payload);
  const auto& bytes = writer.written();

  std::size_t sent = 0;
  while (sent < bytes.size()) {
    iovec piece{const_cast<std::byte*>(bytes.data() + sent), bytes.size() - sent};
    msghdr header{};
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    ControlBuffer control;
    if (sent == 0 && !descriptors.empty()) {
      base::pass_descriptors(header, control.bytes, descriptors);
    }
    const auto count = sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      return base::fail(ErrorCode::kUnavailable,
                        "the peer takes no message: " + std::generic_category().message(errno));
    }
    sent += static_cast<std::size_t>(count);
  }
  return {};
}

base::Result<bool> FrameReader::receive(int socket) {
  std::array<std::byte, 4096> buffer;
  iovec piece{buffer.data(), buffer.size()};
  ControlBuffer control;
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  header.msg_control = control.bytes.data();
  header.msg_controllen = control.bytes.size();
  const auto count = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  if (count < 0) {
    if (errno == EAGAIN || errno == EINTR) {
      return base::fail(ErrorCode::kUnavailable, "nothing has arrived");
    }
    if (errno == ECONNRESET) {
      return false;
    }
    return base::fail(ErrorCode::kIo, "cannot receive: " + std::generic_category().message(errno));
  }
  base::take_descriptors(header, descriptors_);
  if ((header.msg_flags & MSG_CTRUNC) != 0 || descriptors_.size() > kMaxFrameDescriptors) {
    return base::fail(ErrorCode::kCorrupt, "too many descriptors came with a message");
  }
  pending_.insert(pending_.end(), buffer.begin(), buffer.begin() + count);
  return count > 0;
}

base::Result<bool> FrameReader::next(google::protobuf::MessageLite& message) {
  if (pending_.size() < kHeaderBytes) {
    return false;
  }
  base::Reader reader(pending_);
  TRY_ASSIGN(payload_bytes, reader.u32_be());
  if (payload_bytes > kMaxFrameBytes) {
    return base::fail(ErrorCode::kCorrupt,
                      "a frame claims " + std::to_string(payload_bytes) + " bytes");
  }
  if (reader.remaining() < payload_bytes) {
    return false;
  }
  TRY_ASSIGN(payload, reader.bytes(payload_bytes));
  if (!message.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    return base::fail(ErrorCode::kCorrupt, "a frame is no " + message.GetTypeName());
  }
  pending_.erase(pending_.begin(),
                 pending_.begin() + static_cast<std::ptrdiff_t>(kHeaderBytes + payload_bytes));
  return true;
}

std::vector<base::Descriptor> FrameReader::take_descriptors() {
  return std::exchange(descriptors_, {});
}

}  // namespace vtpm::host
