// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>

#include "vmgs/base/bytes.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"

namespace tests::support {

// Codes of the control channel that hypervisors and these tests use; swtpm's, as in its manual.
enum class Control : std::uint32_t {
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

// Hypervisor talks to a vTPM service as QEMU does: one control connection, and a data channel whose
// other end it passes over. It works with swtpm as well, so a test of ours can be held against it.
// Nothing here uses the code under test.
class Hypervisor {
 public:
  // connect() opens the control channel only.
  static base::Result<Hypervisor> connect(const std::filesystem::path& control_socket);

  // attach() is connect(), SET_DATAFD and INIT.
  static base::Result<Hypervisor> attach(const std::filesystem::path& control_socket);

  // control() sends a request and reads `answer_bytes` of its answer, or the 4 bytes of an error.
  // kUnavailable if the service hung up or is silent for ten seconds.
  base::Result<base::Bytes> control(Control command, base::ByteView body = {},
                                    std::size_t answer_bytes = 4);

  // result() is control() for the result code alone.
  base::Result<std::uint32_t> result(Control command, base::ByteView body = {});

  // The requests with an argument or a longer answer.
  base::Result<std::uint32_t> init(std::uint32_t flags = 0);
  base::Result<std::uint32_t> set_locality(std::uint8_t locality);
  base::Result<std::uint32_t> set_data_descriptor();
  base::Result<base::Bytes> get_state_blob(std::uint32_t type);
  base::Result<std::uint32_t> set_state_blob(std::uint32_t type, base::ByteView blob);

  // command() sends one TPM command over the data channel and reads its whole response.
  base::Result<base::Bytes> command(base::ByteView command);

  // send_command() and read_response() are its halves.
  base::Result<void> send_command(base::ByteView command);
  base::Result<base::Bytes> read_response();

  [[nodiscard]] int control_descriptor() const { return control_.number(); }

  [[nodiscard]] int data_descriptor() const { return data_.number(); }

 private:
  base::Descriptor control_;
  base::Descriptor data_;
};

}  // namespace tests::support
