// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/message_lite.h>

#include <optional>
#include <span>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"

namespace vtpm::host {

// Messages of instance.proto travel as frames: the length in four bytes, big-endian, then protobuf.
inline constexpr std::size_t kMaxFrameBytes = 64 * 1024;
inline constexpr std::size_t kMaxFrameDescriptors = 6;

// send_frame() sends one message, with descriptors beside its first byte. It does not wait: peers
// read at once and messages are small, so a socket that is full belongs to a peer that has hung.
// kUnavailable if it is full or the peer is gone. The descriptors stay the caller's.
base::Result<void> send_frame(int socket, const google::protobuf::MessageLite& message,
                              std::span<const int> descriptors = {});

// FrameReader takes frames, and the descriptors that came with them, from a stream socket.
class FrameReader {
 public:
  // receive() takes what is there. False once the peer has closed. kUnavailable if nothing is there
  // and the socket does not wait; kCorrupt if too many descriptors came; else kIo.
  base::Result<bool> receive(int socket);

  // next() reads the next whole message into `message`: false if there is none yet. kCorrupt if
  // the frame is too long or is no such message.
  base::Result<bool> next(google::protobuf::MessageLite& message);

  // take_descriptors() gives those that came since the last call, in order.
  std::vector<base::Descriptor> take_descriptors();

 private:
  base::Bytes pending_;
  std::vector<base::Descriptor> descriptors_;
};

}  // namespace vtpm::host
