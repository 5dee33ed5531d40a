// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <utility>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"

namespace vtpm::provision {

// TwinNames are the Names of the keys that a TPM's seeds make, in the order of the places.
struct TwinNames {
  std::vector<base::Bytes> attestation;
  std::vector<base::Bytes> endorsement;
};

// twin_names() makes these keys in a copy of the TPM from which all that a guest can have set is
// cleared: hierarchies and their authorizations, but not the endorsement seed. No other Engine may
// live in this process.
base::Result<TwinNames> twin_names(base::ByteView permanent_state);

// Twin does that in a process of its own, beside this one: looking for RSA primes takes most of the
// time of a start. One owner, one thread.
class Twin {
 public:
  // start() forks. No TPM may be running in this process (Engine), and it has one thread.
  // kUnavailable if the system has no process to spare.
  static base::Result<Twin> start(base::ByteView permanent_state);

  Twin(Twin&& other) noexcept;
  Twin& operator=(Twin&& other) noexcept;

  // Ends the process, if it still runs.
  ~Twin();

  // descriptor() is readable when names() need not wait any more.
  [[nodiscard]] int descriptor() const { return answer_.number(); }

  // names() waits for them. Once. kUnavailable, with what the twin said, if it has none.
  base::Result<TwinNames> names();

 private:
  Twin(pid_t process, base::Descriptor answer) : process_(process), answer_(std::move(answer)) {}

  pid_t process_;
  base::Descriptor answer_;
};

}  // namespace vtpm::provision
