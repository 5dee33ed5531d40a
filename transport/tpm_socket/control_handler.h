// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "vmgs/base/bytes.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace transport::tpm_socket {

enum class StateBlob { kPermanent, kVolatile };

// A state blob on its way out, and whether it is under a key of the TPM's state at rest.
struct OutgoingStateBlob {
  base::SecretBytes bytes;
  bool under_file_key = false;
};

// Which of swtpm's keys are in use: for state at rest, and for state that travels.
struct KeysInUse {
  bool file = false;
  bool migration = false;
};

struct BufferSizes {
  std::uint32_t in_use;
  std::uint32_t min;
  std::uint32_t max;
};

// ControlHandler does what control requests ask for. Called on the control server's thread, one
// call at a time; a call that takes long keeps every control client waiting. How an error looks on
// the wire, control_answer.h says; kDenied is for what the TPM's power state does not allow.
class ControlHandler {
 public:
  virtual ~ControlHandler() = default;

  virtual base::Result<void> init(bool delete_volatile) = 0;
  virtual base::Result<void> stop() = 0;

  // shutdown() powers the TPM off and closes its store; the process ends once that was answered.
  virtual base::Result<void> shutdown() = 0;

  virtual base::Result<void> set_locality(std::uint8_t locality) = 0;
  virtual base::Result<bool> established() = 0;
  virtual base::Result<void> reset_established(std::uint8_t locality) = 0;

  virtual base::Result<void> hash_start() = 0;
  virtual base::Result<void> hash_data(base::ByteView data) = 0;
  virtual base::Result<void> hash_end() = 0;

  virtual base::Result<void> cancel() = 0;

  virtual base::Result<void> store_volatile() = 0;

  // Whether state blobs are among the capabilities.
  [[nodiscard]] virtual bool offers_state_blobs() const = 0;

  // state_blob() gives one, not under the file key if `file_key_off`.
  virtual base::Result<OutgoingStateBlob> state_blob(StateBlob which, bool file_key_off) = 0;

  // set_state_blob() takes one, which its sender may have said to be under the file key. kNotFound
  // where a key is needed that is not there, kInvalidArgument where the key there is has another
  // size, kAuthentication where it is another key.
  virtual base::Result<void> set_state_blob(StateBlob which, base::ByteView blob,
                                            bool under_file_key) = 0;

  // state_is_taken() is told that a client has asked for the last of the blobs, as one does that
  // migrates the TPM away.
  virtual void state_is_taken() = 0;

  [[nodiscard]] virtual KeysInUse keys_in_use() const = 0;

  // buffer_sizes() sets the size of the command buffer, or only asks if `wanted` is 0.
  virtual base::Result<BufferSizes> buffer_sizes(std::uint32_t wanted) = 0;

  virtual base::Result<std::string> info(std::uint64_t flags) = 0;

  // lock_storage() takes the lock of the store, if it is not held yet, trying again that often.
  virtual base::Result<void> lock_storage(std::uint32_t retries) = 0;

  // set_data_channel() becomes the owner of a connected stream socket on which TPM commands will
  // come. kInvalidArgument if it is none; kIo while there is another.
  virtual base::Result<void> set_data_channel(base::Descriptor channel) = 0;
};

}  // namespace transport::tpm_socket
