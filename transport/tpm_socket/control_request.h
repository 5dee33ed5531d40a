// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

#include "vmgs/base/bytes.h"

namespace transport::tpm_socket {

// The control channel of swtpm: a request is a 32-bit code and a body whose size follows from the
// code, all integers big-endian. There is no length field, so a decoder has to know every code.
enum class ControlCode : std::uint32_t {
  kGetCapability = 0x01,
  kInit = 0x02,
  kShutdown = 0x03,
  kGetTpmEstablished = 0x04,
  kSetLocality = 0x05,
  kHashStart = 0x06,
  kHashData = 0x07,
  kHashEnd = 0x08,
  kCancelTpmCommand = 0x09,
  kStoreVolatile = 0x0a,
  kResetTpmEstablished = 0x0b,
  kGetStateBlob = 0x0c,
  kSetStateBlob = 0x0d,
  kStop = 0x0e,
  kGetConfig = 0x0f,
  kSetDataFd = 0x10,
  kSetBufferSize = 0x11,
  kGetInfo = 0x12,
  kLockStorage = 0x13,
};

// name() is the name of the protocol's headers without its prefix, "GET_CAPABILITY".
std::string_view name(ControlCode code);

// A request without a body: any code that has no type of its own below.
struct PlainRequest {
  ControlCode code;
};

struct InitRequest {
  std::uint32_t flags;
};

// SET_LOCALITY and RESET_TPMESTABLISHED.
struct LocalityRequest {
  ControlCode code;
  std::uint8_t locality;
};

// HASH_DATA: `length` bytes of data follow.
struct HashDataRequest {
  std::uint32_t length;
};

struct GetStateBlobRequest {
  std::uint32_t flags;
  std::uint32_t type;
  std::uint32_t offset;
};

// SET_STATEBLOB: `length` bytes of the blob follow.
struct SetStateBlobRequest {
  std::uint32_t flags;
  std::uint32_t type;
  std::uint32_t length;
};

struct SetBufferSizeRequest {
  std::uint32_t size;  // 0 only asks
};

struct GetInfoRequest {
  std::uint64_t flags;
  std::uint32_t offset;
};

struct LockStorageRequest {
  std::uint32_t retries;  // 10 ms apart
};

// A code that does not exist.
struct UnknownRequest {
  std::uint32_t code;
};

using ControlRequest = std::variant<PlainRequest, InitRequest, LocalityRequest, HashDataRequest,
                                    GetStateBlobRequest, SetStateBlobRequest, SetBufferSizeRequest,
                                    GetInfoRequest, LockStorageRequest, UnknownRequest>;

// A request and how many bytes it took.
struct DecodedRequest {
  ControlRequest request;
  std::size_t used;
  // QEMU sends the one byte of a locality as a C structure of four. Those three bytes of padding
  // are taken where they are there, whatever they hold; this many may still be on their way.
  std::size_t padding_owed = 0;
};

// decode_control_request() reads the request at the beginning of `bytes`, or nothing if there is
// not all of it yet. As nobody knows how long an unknown request is, it takes all there is.
std::optional<DecodedRequest> decode_control_request(base::ByteView bytes);

// skip_late_padding() gives how many of `bytes`, which follow a request that owed `owed` bytes of
// padding, are that padding, if it is zero. Codes begin with three zero bytes as well, so it takes
// four bytes to tell; nothing if they are not there yet, and then these may be padding and no more.
std::optional<std::size_t> skip_late_padding(base::ByteView bytes, std::size_t owed);

}  // namespace transport::tpm_socket
