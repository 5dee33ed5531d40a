// SPDX-License-Identifier: Apache-2.0
#include "transport/tpm_socket/simulator_request.h"

#include <string>

#include "vmgs/base/cursor.h"

namespace transport::tpm_socket {

namespace {

bool has_data(SimulatorPort port, std::uint32_t code) {
  return port == SimulatorPort::kCommands &&
         (code == static_cast<std::uint32_t>(SimulatorCode::kHashData) ||
          code == static_cast<std::uint32_t>(SimulatorCode::kSendCommand));
}

bool has_value(SimulatorPort port, std::uint32_t code) {
  return port == SimulatorPort::kCommands &&
         (code == static_cast<std::uint32_t>(SimulatorCode::kRemoteHandshake) ||
          code == static_cast<std::uint32_t>(SimulatorCode::kSetAlternativeResult));
}

}  // namespace

base::Result<std::optional<SimulatorRequest>> decode_simulator_request(SimulatorPort port,
                                                                       base::ByteView bytes) {
  base::Reader reader(bytes);
  const auto code = reader.u32_be();
  if (!code) {
    return std::nullopt;
  }
  SimulatorRequest request{.code = *code};
  if (has_value(port, *code)) {
    const auto value = reader.u32_be();
    if (!value) {
      return std::nullopt;
    }
    request.value = *value;
  }
  if (has_data(port, *code)) {
    if (*code == static_cast<std::uint32_t>(SimulatorCode::kSendCommand)) {
      request.locality = reader.u8().value_or(0);
    }
    const auto length = reader.u32_be();
    if (!length) {
      return std::nullopt;
    }
    if (*length > kMaxSimulatorDataBytes) {
      return base::fail(base::ErrorCode::kCorrupt,
                        "a request with " + std::to_string(*length) + " bytes of data");
    }
    request.data_begin = reader.offset();
    request.data_end = request.data_begin + *length;
    if (reader.remaining() < *length) {
      return std::nullopt;
    }
    request.used = request.data_end;
    return request;
  }
  request.used = reader.offset();
  return request;
}

}  // namespace transport::tpm_socket
