// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vtpm/engine/engine.h"
#include "vtpm/provision/certifier.h"
#include "vtpm/provision/deferring_store.h"
#include "vtpm/provision/nv_indices.h"

namespace vtpm::provision {

// replace_certificates() writes the AK's certificate and chain into their indices while a guest
// uses the TPM, between two of its commands. A power cut leaves both old ones or both new ones: the
// TPM keeps the pieces to itself until the last is written, and stores all of it then. When this
// returns the new ones are durable. kUnavailable where the TPM does not take them now, as before
// its Startup; errors of the store, and then the next change of the TPM's tries again to store
// them.
base::Result<void> replace_certificates(engine::Engine& engine, DeferringStore& store,
                                        const IndexPassword& password,
                                        const Certificates& certificates);

// CertificateReaders knows when a guest is in the middle of reading certificates, which takes it
// some commands: it shall not get the beginning of one and the end of another. One owner.
class CertificateReaders {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // How long a reader is given after each of its commands, and in all.
  static constexpr std::chrono::seconds kBetweenPieces{2};
  static constexpr std::chrono::seconds kInAll{30};

  // saw() sees a command of the guest.
  void saw(base::ByteView command, Time now);

  // are_reading() tells whether a write would better come later.
  [[nodiscard]] bool are_reading(Time now) const;

 private:
  std::optional<Time> first_;  // of the reads with less than kBetweenPieces between them
  Time last_;
};

}  // namespace vtpm::provision
