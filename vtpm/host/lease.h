// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>

#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"

namespace vtpm::host {

// A lease is a locked file that an instance holds open: vtpmd takes it, passes it on with the fork,
// and closes its own copy. The lock belongs to the open file, so it lasts exactly as long as the
// instance lives, whatever becomes of vtpmd and of the parent. A vtpmd that is started anew thus
// learns which VMs are being served.

// take_lease() takes the lease at `path`, making the file if need be. Nothing if somebody holds it.
// kIo.
base::Result<std::optional<base::Descriptor>> take_lease(const std::filesystem::path& path);

// sign_lease() writes this process' id into the lease that it holds. kIo.
base::Result<void> sign_lease(const base::Descriptor& lease);

// LeaseHolder is the process that holds a lease: `process` becomes readable when it ends.
struct LeaseHolder {
  int pid;
  base::Descriptor process;
};

// lease_holder() finds who holds the lease at `path`. kNotFound if nobody does any more, or if the
// holder has not signed yet; kIo.
base::Result<LeaseHolder> lease_holder(const std::filesystem::path& path);

// signal() sends a signal to the holder, and to no other process. An ended holder is a success.
// kIo.
base::Result<void> signal(const LeaseHolder& holder, int number);

}  // namespace vtpm::host
