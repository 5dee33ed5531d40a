// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace transport::tpm_socket {

// SimulatorHandler does what the simulator protocol asks for. What is of the commands' port is
// called on a thread of its own, what is of the platform's port on another, so that a command can
// be cancelled while it runs. An error makes the answer that of a failure, and the client goes on.
class SimulatorHandler {
 public:
  virtual ~SimulatorHandler() = default;

  // The platform. power_on() of a TPM that is on does nothing, and neither does reset() of one that
  // is off; restart() is off and on again, whatever it was.
  virtual base::Result<void> power_on() = 0;
  virtual base::Result<void> power_off() = 0;
  virtual base::Result<void> reset() = 0;
  virtual base::Result<void> restart() = 0;

  virtual void set_physical_presence(bool present) = 0;

  // set_cancel() has every command that can be cancelled end early, until it is taken back.
  virtual void set_cancel(bool on) = 0;

  // test_failure_mode() puts the TPM into failure mode until it is powered off.
  virtual base::Result<void> test_failure_mode() = 0;

  // stop() ends the process, on either thread.
  virtual void stop() = 0;

  // The commands. run() gives the whole response, and nothing at all while the TPM is off.
  // `command` may be changed.
  virtual base::Bytes run(std::span<std::byte> command, std::uint8_t locality) = 0;

  virtual base::Result<void> hash_start() = 0;
  virtual base::Result<void> hash_data(base::ByteView data) = 0;
  virtual base::Result<void> hash_end() = 0;
};

}  // namespace transport::tpm_socket
