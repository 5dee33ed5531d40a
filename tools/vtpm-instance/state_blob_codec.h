// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "transport/tpm_socket/control_handler.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vmgs/format/swtpm_key.h"

namespace tools::vtpm_instance {

// StateBlobCodec is the form in which a TPM's state leaves and enters through the control channel:
// what libtpms writes on one side, what a hypervisor carries on the other. Called on the control
// server's thread.
class StateBlobCodec {
 public:
  virtual ~StateBlobCodec() = default;

  // leave() is asked before any of the state is taken to be wrapped. Where it fails nothing leaves.
  virtual base::Result<void> leave(transport::tpm_socket::StateBlob) { return {}; }

  // wrap() gives what travels. With `file_key_off` it is not under a key that only this host has.
  virtual base::Result<transport::tpm_socket::OutgoingStateBlob> wrap(
      transport::tpm_socket::StateBlob which, base::ByteView state, bool file_key_off) = 0;

  // unwrap() gives what libtpms wrote. Errors as ControlHandler::set_state_blob().
  virtual base::Result<base::SecretBytes> unwrap(transport::tpm_socket::StateBlob which,
                                                 base::ByteView blob, bool under_file_key) = 0;

  // wanted_back() is LOCK_STORAGE: whoever has taken the state goes on here all the same, and waits
  // so often, 10 ms each, until that is possible.
  virtual base::Result<void> wanted_back(std::uint32_t) { return {}; }

  // keys_in_use() is what GET_CONFIG answers.
  [[nodiscard]] virtual transport::tpm_socket::KeysInUse keys_in_use() const = 0;
};

// SwtpmStateBlobs is swtpm's form: in the clear, but for keys that the two ends share.
class SwtpmStateBlobs final : public StateBlobCodec {
 public:
  explicit SwtpmStateBlobs(std::optional<vmgs::format::SwtpmKey> file_key = std::nullopt,
                           std::optional<vmgs::format::SwtpmKey> migration_key = std::nullopt)
      : file_key_(std::move(file_key)), migration_key_(std::move(migration_key)) {}

  base::Result<transport::tpm_socket::OutgoingStateBlob> wrap(
      transport::tpm_socket::StateBlob which, base::ByteView state, bool file_key_off) override;
  base::Result<base::SecretBytes> unwrap(transport::tpm_socket::StateBlob which,
                                         base::ByteView blob, bool under_file_key) override;
  [[nodiscard]] transport::tpm_socket::KeysInUse keys_in_use() const override;

 private:
  const std::optional<vmgs::format::SwtpmKey> file_key_;
  const std::optional<vmgs::format::SwtpmKey> migration_key_;
};

}  // namespace tools::vtpm_instance
