// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace transport::tpm_socket {

// The protocol of the TPM 2.0 reference simulator (TPM 2.0 Part 4, annex D): requests on two ports,
// one for what reaches a TPM over its bus and one for the platform around it. A request is a 32-bit
// code and a body whose size follows from the code, all integers big-endian.
enum class SimulatorCode : std::uint32_t {
  kPowerOn = 1,
  kPowerOff = 2,
  kPhysicalPresenceOn = 3,
  kPhysicalPresenceOff = 4,
  kHashStart = 5,
  kHashData = 6,
  kHashEnd = 7,
  kSendCommand = 8,
  kCancelOn = 9,
  kCancelOff = 10,
  kNvOn = 11,
  kNvOff = 12,
  kKeyCacheOn = 13,
  kKeyCacheOff = 14,
  kRemoteHandshake = 15,
  kSetAlternativeResult = 16,
  kReset = 17,
  kRestart = 18,
  kSessionEnd = 20,
  kStop = 21,
  kGetCommandResponseSizes = 25,
  kTestFailureMode = 30,
};

enum class SimulatorPort { kCommands, kPlatform };

// The most that HASH_DATA and SEND_COMMAND may bring, as in the reference.
inline constexpr std::size_t kMaxSimulatorDataBytes = 1024 * 1024;

// One request: its code, which may be none of those above, and what its body holds.
struct SimulatorRequest {
  std::uint32_t code;
  std::uint8_t locality = 0;   // of SEND_COMMAND
  std::uint32_t value = 0;     // the version of a client that shakes hands
  std::size_t data_begin = 0;  // of HASH_DATA and SEND_COMMAND
  std::size_t data_end = 0;
  std::size_t used = 0;
};

// decode_simulator_request() reads the request at the beginning of `bytes`, or nothing if there is
// not all of it yet. A code that `port` does not know has no body. kCorrupt if its data would be
// longer than kMaxSimulatorDataBytes.
base::Result<std::optional<SimulatorRequest>> decode_simulator_request(SimulatorPort port,
                                                                       base::ByteView bytes);

}  // namespace transport::tpm_socket
