// SPDX-License-Identifier: Apache-2.0
#include "transport/tpm_socket/control_request.h"

#include <algorithm>

#include "vmgs/base/cursor.h"

namespace transport::tpm_socket {

namespace {

constexpr std::size_t kCodeBytes = 4;
constexpr std::size_t kPaddingBytes = 3;

bool is_known(std::uint32_t code) {
  return code >= static_cast<std::uint32_t>(ControlCode::kGetCapability) &&
         code <= static_cast<std::uint32_t>(ControlCode::kLockStorage);
}

// What the body of a request is, up to where data of any length begins.
std::size_t body_bytes(ControlCode code) {
  switch (code) {
    case ControlCode::kSetLocality:
    case ControlCode::kResetTpmEstablished:
      return 1;
    case ControlCode::kInit:
    case ControlCode::kHashData:
    case ControlCode::kSetBufferSize:
    case ControlCode::kLockStorage:
      return 4;
    case ControlCode::kGetStateBlob:
    case ControlCode::kSetStateBlob:
      return 12;
    case ControlCode::kGetInfo:
      return 16;
    default:
      return 0;
  }
}

// `body` has exactly body_bytes(code), so none of these reads can fail.
ControlRequest read_request(ControlCode code, base::ByteView body) {
  base::Reader reader(body);
  const auto u32 = [&] { return *reader.u32_be(); };
  switch (code) {
    case ControlCode::kSetLocality:
    case ControlCode::kResetTpmEstablished:
      return LocalityRequest{code, *reader.u8()};
    case ControlCode::kInit:
      return InitRequest{u32()};
    case ControlCode::kHashData:
      return HashDataRequest{u32()};
    case ControlCode::kSetBufferSize:
      return SetBufferSizeRequest{u32()};
    case ControlCode::kLockStorage:
      return LockStorageRequest{u32()};
    case ControlCode::kGetStateBlob: {
      const auto flags = u32();
      const auto type = u32();
      return GetStateBlobRequest{flags, type, u32()};
    }
    case ControlCode::kSetStateBlob: {
      const auto flags = u32();
      const auto type = u32();
      return SetStateBlobRequest{flags, type, u32()};
    }
    case ControlCode::kGetInfo: {
      const auto flags = *reader.u64_be();
      return GetInfoRequest{flags, u32()};  // four bytes of padding end the structure
    }
    default:
      return PlainRequest{code};
  }
}

bool begins_with_a_request(base::ByteView bytes) {
  const auto code = base::Reader(bytes).u32_be();
  return code && is_known(*code);
}

}  // namespace

std::string_view name(ControlCode code) {
  switch (code) {
    case ControlCode::kGetCapability:
      return "GET_CAPABILITY";
    case ControlCode::kInit:
      return "INIT";
    case ControlCode::kShutdown:
      return "SHUTDOWN";
    case ControlCode::kGetTpmEstablished:
      return "GET_TPMESTABLISHED";
    case ControlCode::kSetLocality:
      return "SET_LOCALITY";
    case ControlCode::kHashStart:
      return "HASH_START";
    case ControlCode::kHashData:
      return "HASH_DATA";
    case ControlCode::kHashEnd:
      return "HASH_END";
    case ControlCode::kCancelTpmCommand:
      return "CANCEL_TPM_CMD";
    case ControlCode::kStoreVolatile:
      return "STORE_VOLATILE";
    case ControlCode::kResetTpmEstablished:
      return "RESET_TPMESTABLISHED";
    case ControlCode::kGetStateBlob:
      return "GET_STATEBLOB";
    case ControlCode::kSetStateBlob:
      return "SET_STATEBLOB";
    case ControlCode::kStop:
      return "STOP";
    case ControlCode::kGetConfig:
      return "GET_CONFIG";
    case ControlCode::kSetDataFd:
      return "SET_DATAFD";
    case ControlCode::kSetBufferSize:
      return "SET_BUFFERSIZE";
    case ControlCode::kGetInfo:
      return "GET_INFO";
    case ControlCode::kLockStorage:
      return "LOCK_STORAGE";
  }
  return "unknown";
}

std::optional<DecodedRequest> decode_control_request(base::ByteView bytes) {
  const auto number = base::Reader(bytes).u32_be();
  if (!number) {
    return std::nullopt;
  }
  if (!is_known(*number)) {
    return DecodedRequest{UnknownRequest{*number}, bytes.size()};
  }
  const auto code = static_cast<ControlCode>(*number);
  const std::size_t whole = kCodeBytes + body_bytes(code);
  if (bytes.size() < whole) {
    return std::nullopt;
  }
  auto request = read_request(code, bytes.subspan(kCodeBytes, body_bytes(code)));
  if (!std::holds_alternative<LocalityRequest>(request) ||
      begins_with_a_request(bytes.subspan(whole))) {
    return DecodedRequest{std::move(request), whole};
  }
  const std::size_t padding = std::min(kPaddingBytes, bytes.size() - whole);
  return DecodedRequest{std::move(request), whole + padding, kPaddingBytes - padding};
}

std::optional<std::size_t> skip_late_padding(base::ByteView bytes, std::size_t owed) {
  std::size_t skipped = 0;
  while (skipped < owed) {
    const auto code = base::Reader(bytes.subspan(skipped)).u32_be();
    if (!code) {
      return std::nullopt;
    }
    if (*code != 0) {
      break;
    }
    ++skipped;
  }
  return skipped;
}

}  // namespace transport::tpm_socket
