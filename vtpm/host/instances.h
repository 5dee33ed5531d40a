// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keybroker/protocol/instance.pb.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"
#include "vmgs/format/vm_id.h"
#include "vtpm/host/lease.h"

namespace vtpm::host {

// Instances is how a Host has its way with sockets and processes. What happens to them later comes
// back through the Host's events, never from inside one of these calls.
class Instances {
 public:
  using VmId = vmgs::format::VmId;

  virtual ~Instances() = default;

  // open_sockets() listens where the VM's hypervisor connects, in place of what was there before.
  virtual base::Result<void> open_sockets(const VmId& id) = 0;
  virtual void close_sockets(const VmId& id) = 0;

  // watch_sockets() has Host::connection_waits() called when a connection waits. Once per watch.
  virtual void watch_sockets(const VmId& id) = 0;

  // refuse_connections() hangs up on those that wait now.
  virtual void refuse_connections(const VmId& id) = 0;

  // launch() has an instance forked and sends it `setup`. Host::forked() or fork_failed() follows,
  // then what the instance says, and in the end instance_ended(); that alone, if the parent died.
  virtual base::Result<void> launch(const VmId& id, base::Descriptor lease,
                                    const strongroom::instance::v1::Setup& setup) = 0;

  // replace() has another instance forked, of the program as it lies on the disk now, that takes
  // the place of the one there is. Host::taken_over() or replacement_failed() follows.
  virtual base::Result<void> replace(const VmId& id,
                                     const strongroom::instance::v1::Setup& setup) = 0;

  // reclaim() knocks at the door of an instance that this process did not start. If it lets us in,
  // Host::reclaimed() follows, and then all that an instance of our own says.
  virtual void reclaim(const VmId& id) = 0;

  // send() is kUnavailable if the instance takes no message; it is dead or hangs.
  virtual base::Result<void> send(const VmId& id,
                                  const strongroom::instance::v1::ToInstance& message) = 0;

  // kill() ends the instance without asking it.
  virtual void kill(const VmId& id) = 0;

  // watch_holder() has Host::holder_ended() called when the holder of a VM's lease, an instance
  // that this process did not start, has ended. Without a holder, when the lease is free.
  virtual void watch_holder(const VmId& id, std::optional<LeaseHolder> holder) = 0;

  // signal_holder() sends that process a signal: SIGTERM asks it to end in order.
  virtual void signal_holder(const VmId& id, int number) = 0;
};

}  // namespace vtpm::host
