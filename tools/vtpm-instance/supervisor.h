// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "keybroker/client/channel.h"
#include "keybroker/protocol/readiness.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vtpm/device/device.h"
#include "vtpm/provision/certifier.h"

namespace tools::vtpm_instance {

// What the instance has to say once its TPM's state is there.
struct Opened {
  bool created = false;        // the store, or the first TPM of an ephemeral VM, was made just now
  std::string opened_by;       // what opened the store, for people
  bool simulated_tee = false;  // nothing real protects this VM
  bool awaited = false;        // nothing is open: the state is still to arrive
};

// What whoever started the instance wants of it now.
enum class Order {
  kNone,
  kStop,            // end in order
  kStopIfAwaiting,  // the same while the TPM is still to arrive, and nothing once it has
  kAlone,     // go on for the guest that is there, take no other, and end in order when it has gone
  kHandOver,  // give everything to the successor
  kLockout,   // answer what is asked about the dictionary attack protection
  kTakeBack,  // what gives back the TPM that was offered to another host is there
};

// Where the TPM is with regard to a migration that is sealed to a ticket.
enum class Migration {
  kNone,
  kAwaited,  // it is still to arrive from another host
  kOffered,  // it was offered to another host
};

// Travel is how a TPM gets from here to elsewhere and back. What its hypervisor has taken in a form
// that can be put in again takes the TPM back to that time whenever somebody likes.
struct Travel {
  Migration migration = Migration::kNone;
  bool seals_to_tickets = false;   // where one lies when the state is to leave
  std::uint32_t states_taken = 0;  // in such a form, since this instance began
  std::uint32_t states_put_in = 0;
};

// Belongings are what an instance has from whoever started it, and passes on to its successor.
struct Belongings {
  base::Descriptor lease;  // held for as long as the VM has an instance
  base::Descriptor door;   // listens for a vtpmd that finds an instance of an earlier one
};

// LockoutQuestion asks how the dictionary attack protection stands, after it was reset by an
// authorization if there is one.
struct LockoutQuestion {
  std::uint64_t serial = 0;
  std::optional<base::SecretBytes> authorization = std::nullopt;
};

// Supervisor is whoever started an instance and follows its life. Called on the thread of run(),
// but for the certifier, the broker and receipts.
class Supervisor {
 public:
  virtual ~Supervisor() = default;

  // certifier() is the road to an authority for attestation keys; null where there is none, and
  // then nobody expects certificates.
  virtual vtpm::provision::Certifier* certifier() = 0;

  // broker() is the road to the VM's key broker; null where there is none.
  virtual keybroker::client::Channel* broker() = 0;

  // keep_receipt() has a receipt of the key broker kept for the VM's later starts. Any thread.
  virtual void keep_receipt(base::ByteView receipt) = 0;

  // opened() is called before a hypervisor is served, and returns when one may be. An error ends
  // the instance in order.
  virtual base::Result<void> opened(const Opened& opened) = 0;

  // reopened() says what keeps the store open by now, for people, after opened().
  virtual void reopened(std::string_view opened_by) = 0;

  // converted() is called when the store was copied for another launch document.
  virtual base::Result<void> converted() = 0;

  // changed() is called with how things are when they change: whether the guest may trust its TPM,
  // why not, and whether there is a hypervisor.
  virtual void changed(keybroker::protocol::Readiness readiness, std::string_view reason,
                       bool hypervisor) = 0;

  // travelled() is called with where the TPM is, and how often it left or came: before changed() is
  // for the first time, and when that changes.
  virtual void travelled(const Travel& travel) = 0;

  // stopping() is requested once an order to end has come, or whoever orders has gone, while
  // something is awaited before a hypervisor is served.
  [[nodiscard]] virtual std::stop_token stopping() const { return {}; }

  // successor() is the way to the successor, once after each order kHandOver; hand_over_ended()
  // says what became of that. After a success nothing else is said.
  virtual base::Descriptor successor() = 0;
  virtual void hand_over_ended(const base::Result<void>& ended) = 0;

  // take_back_ended() says what became of each order kTakeBack: whether the TPM is here.
  virtual void take_back_ended(const base::Result<void>& ended) = 0;

  // taken_over() is said in place of opened() by a successor that serves: how the store was opened,
  // and how long the TPM stood still.
  virtual void taken_over(const Opened& opened, std::chrono::microseconds pause) = 0;

  virtual Belongings& belongings() = 0;

  // let_in() takes who knocks at the door for the supervisor from then on. False for a stranger.
  virtual bool let_in() = 0;

  // loop_reads() says whether run()'s loop looks for orders from now on. While it does not, who
  // asks something by way of the supervisor reads the answer himself; without that, an instance
  // that tells its broker of its end would wait for an answer which nobody reads.
  virtual void loop_reads(bool reads) = 0;

  // descriptor() is readable when there is an order; -1 where none will ever come.
  [[nodiscard]] virtual int descriptor() const = 0;

  // lockout_question() is the next one that waits, if there is one; answer_lockout() answers it.
  virtual std::optional<LockoutQuestion> lockout_question() = 0;
  virtual void answer_lockout(std::uint64_t serial,
                              const base::Result<vtpm::device::Device::Lockout>& lockout) = 0;

  // order() reads what has come, without waiting, and gives one of the orders, kNone after the
  // last; they may have come before descriptor() was watched.
  virtual Order order() = 0;
};

}  // namespace tools::vtpm_instance
