// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"
#include "vtpm/handover/estate.h"
#include "vtpm/handover/parcel.h"

namespace vtpm::handover {

// How the TPM of a running guest passes from one process to another, by the steps of
// succession.proto. Both sides wait on the thread that calls.

// Decision is the right to serve, between the moment in which an estate is given and the one in
// which it is known who has it. Either process takes it, and it can be taken once: the kernel sees
// to that, so that it holds when a process dies or hangs anywhere.
class Decision {
 public:
  // make() makes one that nobody has taken. kIo.
  static base::Result<Decision> make();

  explicit Decision(base::Descriptor event) : event_(std::move(event)) {}

  // share() is for the other process. kIo.
  [[nodiscard]] base::Result<base::Descriptor> share() const;

  // take() gives whether it is the caller's from now on.
  [[nodiscard]] bool take() const;

 private:
  base::Descriptor event_;
};

// give() hands an estate over and waits until its successor serves. When it returns success, all of
// it is the successor's, and the caller must touch nothing of it again; when it returns an error,
// with the reason, it is the caller's as before, and no successor will ever have it.
base::Result<void> give(int socket, Estate estate, Deadline deadline);

// announce() says that a successor is ready to take over. kUnavailable if nobody listens.
base::Result<void> announce(int socket, Deadline deadline);

// announced() looks for that. kUnavailable if the successor is gone; kCorrupt.
base::Result<void> announced(int socket, Deadline deadline);

// await() takes an estate, which is not the caller's before claim(). kUnavailable if nothing is
// given in time, or the instance has gone without having given it; errors of unpack().
base::Result<Estate> await(int socket, Deadline deadline);

// claim() makes it so: when it gives true everything is the caller's, and it serves. False if the
// instance before goes on.
bool claim(int socket, const Decision& decision);

// decline() says why the caller does not take over.
void decline(int socket, const std::string& reason);

}  // namespace vtpm::handover
