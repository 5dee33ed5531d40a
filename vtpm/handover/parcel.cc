// SPDX-License-Identifier: Apache-2.0
#include "vtpm/handover/parcel.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "vmgs/base/cursor.h"
#include "vmgs/base/passed_descriptors.h"

namespace vtpm::handover {

namespace {

using base::ErrorCode;
using strongroom::instance::v1::Succession;

constexpr std::size_t kHeaderBytes = 8;

using ControlBuffer = base::PassingRoom<kMaxParcelDescriptors>;

base::Result<void> wait_for(int socket, short events, Deadline deadline) {
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd waiting{socket, events, 0};
    const int ready =
        ::poll(&waiting, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready > 0) {
      return {};
    }
    if (ready == 0) {
      return base::fail(ErrorCode::kUnavailable, "the other instance does not answer");
    }
    if (errno != EINTR) {
      return base::fail(ErrorCode::kIo, "poll: " + std::generic_category().message(errno));
    }
  }
}

base::Result<void> send_all(int socket, base::ByteView bytes, std::span<const int> descriptors,
                            Deadline deadline) {
  while (!bytes.empty()) {
    iovec piece{const_cast<std::byte*>(bytes.data()), bytes.size()};
    msghdr header{};
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    ControlBuffer control;
    if (!descriptors.empty()) {
      base::pass_descriptors(header, control.bytes, descriptors);
    }
    const auto count = ::sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) {
      TRY(wait_for(socket, POLLOUT, deadline));
    } else if (count < 0 && errno != EINTR) {
      return base::fail(ErrorCode::kUnavailable, "the other instance takes nothing: " +
                                                     std::generic_category().message(errno));
    } else if (count > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(count));
      descriptors = {};
    }
  }
  return {};
}

// What was received of `out` when the peer went away.
base::Result<std::size_t> receive_all(int socket, std::span<std::byte> out,
                                      std::vector<base::Descriptor>& descriptors,
                                      Deadline deadline) {
  std::size_t received = 0;
  while (received < out.size()) {
    iovec piece{out.data() + received, out.size() - received};
    ControlBuffer control;
    msghdr header{};
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    header.msg_control = control.bytes.data();
    header.msg_controllen = control.bytes.size();
    const auto count = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) {
      TRY(wait_for(socket, POLLIN, deadline));
      continue;
    }
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count == 0 || (count < 0 && errno == ECONNRESET)) {
      return received;
    }
    if (count < 0) {
      return base::fail(ErrorCode::kIo, "recvmsg: " + std::generic_category().message(errno));
    }
    base::take_descriptors(header, descriptors);
    if ((header.msg_flags & MSG_CTRUNC) != 0) {
      return base::fail(ErrorCode::kCorrupt, "too many descriptors came with a parcel");
    }
    received += static_cast<std::size_t>(count);
  }
  return received;
}

}  // namespace

base::Result<void> send_parcel(int socket, const Succession& message, base::ByteView secrets,
                               std::span<const int> descriptors, Deadline deadline) {
  base::Bytes payload(message.ByteSizeLong());
  if (payload.size() > kMaxParcelMessageBytes || secrets.size() > kMaxParcelSecretBytes ||
      descriptors.size() > kMaxParcelDescriptors ||
      !message.SerializeToArray(payload.data(), static_cast<int>(payload.size()))) {
    return base::fail(ErrorCode::kInvalidArgument, "there is too much to hand over");
  }
  base::Writer head;
  head.u32_be(static_cast<std::uint32_t>(payload.size()));
  head.u32_be(static_cast<std::uint32_t>(secrets.size()));
  head.bytes(payload);
  TRY(send_all(socket, head.written(), descriptors, deadline));
  return send_all(socket, secrets, {}, deadline);
}

base::Result<std::optional<Parcel>> receive_parcel(int socket, Deadline deadline) {
  Parcel parcel;
  std::array<std::byte, kHeaderBytes> head{};
  TRY_ASSIGN(begun, receive_all(socket, head, parcel.descriptors, deadline));
  if (begun == 0) {
    return std::optional<Parcel>();
  }
  const auto cut_off = [] {
    return base::fail(ErrorCode::kUnavailable, "the other instance went away in mid-sentence");
  };
  if (begun < head.size()) {
    return cut_off();
  }
  base::Reader reader(head);
  TRY_ASSIGN(message_bytes, reader.u32_be());
  TRY_ASSIGN(secret_bytes, reader.u32_be());
  if (message_bytes > kMaxParcelMessageBytes || secret_bytes > kMaxParcelSecretBytes) {
    return base::fail(ErrorCode::kCorrupt, "a parcel is larger than any");
  }
  base::Bytes payload(message_bytes);
  TRY_ASSIGN(payload_received, receive_all(socket, payload, parcel.descriptors, deadline));
  parcel.secrets = base::SecretBytes(secret_bytes);
  TRY_ASSIGN(secrets_received,
             receive_all(socket, parcel.secrets.fill(), parcel.descriptors, deadline));
  if (payload_received < payload.size() || secrets_received < secret_bytes) {
    return cut_off();
  }
  if (!parcel.message.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    return base::fail(ErrorCode::kCorrupt, "a parcel holds no message");
  }
  return std::optional<Parcel>(std::move(parcel));
}

}  // namespace vtpm::handover
