// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "keybroker/protocol/launch_document.h"
#include "keybroker/protocol/readiness.h"
#include "vmgs/base/result.h"
#include "vtpm/host/conversion.h"
#include "vtpm/host/instances.h"
#include "vtpm/host/registry.h"
#include "vtpm/host/state_folder.h"
#include "vtpm/host/vm_parameters.h"

namespace vtpm::host {

// Phase is what vtpmd has to do with a VM's instance.
enum class Phase {
  kStopped,     // There is none; the next connection starts one.
  kStarting,    // It was asked for and has not opened its store yet.
  kServing,     // It may accept its hypervisor.
  kStopping,    // It was told to end.
  kDetached,    // There is one that an earlier vtpmd started, and that has not let us in.
  kConverting,  // It copies the VM's store, and serves nobody.
  kReleasing,   // It gives a TPM back (release_tpm()), or takes it back, and serves nobody.
};

// Where a VM's TPM is with regard to a migration that is sealed to a ticket.
enum class Migration { kNone, kAwaited, kOffered };

// Travel is how a VM's TPM gets elsewhere and comes here, as its instance says.
struct Travel {
  Migration migration = Migration::kNone;
  bool seals_to_tickets = false;

  // In a form that can be put in again, since the instance began.
  std::uint32_t states_taken = 0;
  std::uint32_t states_put_in = 0;
};

// Replacement is how an instance gave its place to another process.
struct Replacement {
  std::chrono::microseconds pause{};  // that the guest saw
  std::optional<base::Error> failed;  // why it did not: then it serves as before
};

// BrokerContact is an answer of a key broker's that was carried to a VM's instance.
struct BrokerContact {
  std::string endpoint;
  std::int64_t answered_at = 0;  // seconds since 1970
};

// Vm is one VM of this host: what is durable, and what is going on.
struct Vm {
  VmRecord record;
  keybroker::protocol::LaunchDocument document;

  Phase phase = Phase::kStopped;
  keybroker::protocol::Readiness readiness = keybroker::protocol::Readiness::kStopped;
  std::string reason;

  // As the instance said when it opened the store; of the last one, if none runs.
  std::string opened_by;
  bool simulated_tee = false;

  bool guest = false;
  int pid = 0;

  // The last one since this vtpmd began.
  std::optional<BrokerContact> broker;

  // Another process is taking the instance's place; what became of the last one since this vtpmd
  // began.
  bool replacing = false;
  std::optional<Replacement> replaced;

  // Why this VM cannot run whatever is done, until somebody repairs the host.
  std::optional<base::Error> broken;

  // An instance of an earlier vtpmd was asked to end.
  bool holder_is_asked = false;

  // Why the last conversion did not come to its end; why the last release_tpm() gave nothing back,
  // or the last take_tpm_back() does not have the TPM back.
  std::optional<base::Error> unconverted;
  std::optional<base::Error> unreleased;

  // take_tpm_back() goes on.
  bool takes_back = false;

  Travel travel;

  // What the instances counted that this one took the place of.
  std::uint32_t states_taken_before = 0;
  std::uint32_t states_put_in_before = 0;

  // Of the instance that runs or has just ended.
  int last_pid = 0;
  bool forked = false;
  std::string ended_how;  // if its process was seen to end before its link was
  bool said_why = false;
  int lost_launches = 0;

  [[nodiscard]] const VmId& id() const { return record.id; }

  [[nodiscard]] bool is_persistent() const {
    return document.lifetime == keybroker::protocol::Lifetime::kPersistent;
  }
};

// moves() tells whether a VM's TPM can move between hosts: it has a store, which the host's own key
// opens or none.
bool moves(const Vm& vm);

// Host keeps the VMs of one machine: it registers them, has an instance started for a hypervisor
// that connects, notices when one dies, and says how each is. The rules are here; sockets and
// processes are behind Instances. One thread.
//
// A guest never meets a TPM that was reset under it: an instance serves one life of its VM's
// hypervisor, and its connections end with it, unless another process takes its place and goes on
// with its TPM and its connections. An instance that starts only ever takes connections over which
// no TPM has answered yet; one that came while the old instance was ending waits for the new.
class Host {
 public:
  // Together is run inside the transaction that makes a change durable; its error undoes it.
  using Together = std::function<base::Result<void>(const Vm&)>;

  // open() takes up the VMs of a registry: deletions that were interrupted are finished, sockets
  // opened, and instances that outlived an earlier vtpmd recognised. A VM that cannot be taken up
  // is broken and says why; it keeps no other from working. `changed` is called after each change
  // of a VM, and when one is gone. All of it outlives the Host.
  static base::Result<std::unique_ptr<Host>> open(StateFolder folder, Registry& registry,
                                                  Instances& instances,
                                                  std::function<void(const VmId&)> changed);

  [[nodiscard]] std::vector<const Vm*> all() const;  // by name
  [[nodiscard]] const Vm* find(const VmId& id) const;

  // find() knows a VM by its name or its id. kNotFound.
  [[nodiscard]] base::Result<const Vm*> find(std::string_view name_or_id) const;

  [[nodiscard]] const StateFolder& folder() const { return folder_; }

  // readiness() is the VM's, with a look at the disk for a VM that is stopped.
  [[nodiscard]] keybroker::protocol::Readiness readiness(const Vm& vm) const;

  // create() registers a VM. One that is there with the same parameters is given back as it is:
  // `second` is false. kDenied, naming what differs, if it has others, or if the id is another
  // VM's. kUnavailable while a removal of the VM that has the name is not finished.
  base::Result<std::pair<const Vm*, bool>> create(const VmSpec& spec, std::int64_t now,
                                                  const Together& together);

  // start() has the VM's instance started, if none is there. kDenied if this VM cannot run.
  base::Result<void> start(const VmId& id);

  // stop() tells the VM's instance to end. kDenied while a guest uses it and `force` is not set. A
  // second stop() with `force` does not ask any more. A VM without an instance is a success.
  base::Result<void> stop(const VmId& id, bool force);

  // replace() has another process take the place of the VM's instance under its guest. kDenied for
  // a VM that is not served, and for a confidential one, whose keys are bound to their process;
  // kUnavailable while that is going on already, or if it cannot begin now. What becomes of it is
  // in `replaced`.
  base::Result<void> replace(const VmId& id);

  // set_state_blobs() changes the word that CreateVm had for how the TPM's state leaves and enters
  // through the hypervisor, from the next instance on. kInvalidArgument as decode_state_blobs().
  base::Result<void> set_state_blobs(const VmId& id, const std::string& word);

  // await_tpm() has an instance of a VM that does not run await its TPM from another host, and make
  // the ticket for it (StateFolder::ticket()); where one waits already, nothing. send_tpm() has the
  // VM's TPM leave sealed to a ticket, and no other way. kDenied for a VM whose TPM does not move;
  // where it runs, is converted or deleted, or where it is on its way already.
  base::Result<void> await_tpm(const VmId& id);
  base::Result<void> send_tpm(const VmId& id, base::ByteView ticket);

  // release_tpm() has an instance find out whether the TPM that was awaited has arrived, and give
  // back what was offered to the ticket if it has not (StateFolder::read_releases()). When the VM
  // has stopped that is so, or `unreleased` says why not. kDenied while it has an instance.
  base::Result<void> release_tpm(const VmId& id);

  // stop_awaiting() tells an instance that awaits the VM's TPM to end, unless that has arrived when
  // it hears it. Without such an instance it is a success. kUnavailable if it takes no message.
  base::Result<void> stop_awaiting(const VmId& id);

  // take_tpm_back() has the VM's TPM, which was offered to another host, be this host's again by
  // what that host gave back (StateFolder::read_releases()): its instance takes it, or one that
  // serves nobody. When `takes_back` is over that is so, or `unreleased` says why not. Empty, it
  // only forgets the ticket; kDenied then if its instance says that the TPM is offered.
  // kUnavailable while an instance starts, ends or does not answer.
  base::Result<void> take_tpm_back(const VmId& id, base::ByteView releases);

  // convert() gives a VM that does not run another launch document. The one before is kept, with
  // its store, until the VM has started under the new one; convert() back to it, planned by
  // plan_undo(), is as good as if nothing had been.
  //
  // Where the state goes under another protection, an instance copies the store, and the VM is
  // converting when this returns: when it has stopped it is converted, or `unconverted` says why
  // not. The registry makes the copy the VM's store, in one change with the document: whatever ends
  // when, one of the two documents counts, with its store. kDenied while the VM has an instance or
  // is being deleted.
  base::Result<void> convert(const VmId& id, const Conversion& conversion, Together together);

  // remove() destroys a VM and its state. kDenied while it has an instance. kIo if something of it
  // could not be removed: it is then listed as broken, and remove() or the next vtpmd tries again.
  base::Result<void> remove(const VmId& id, const Together& together);

  // Events (host_events.cc).
  void connection_waits(const VmId& id);
  void forked(const VmId& id, int pid);
  void fork_failed(const VmId& id, const std::string& reason);
  void opened(const VmId& id, const strongroom::instance::v1::Opened& opened);
  void converted(const VmId& id);
  void said(const VmId& id, const strongroom::instance::v1::State& state);
  void receipt_came(const VmId& id, const strongroom::instance::v1::Receipt& receipt);
  void broker_answered(const VmId& id, const BrokerContact& contact);
  void taken_over(const VmId& id, const strongroom::instance::v1::TakenOver& taken_over);
  void take_back_ended(const VmId& id, const strongroom::instance::v1::TakeBackEnded& ended);
  void replacement_failed(const VmId& id, const std::string& reason);
  void reclaimed(const VmId& id, const strongroom::instance::v1::Opened& opened);
  void instance_ended(const VmId& id);
  void holder_ended(const VmId& id);

  // process_ended() adds how a child ended to what is known of a crash.
  void process_ended(int pid, const std::string& how);

 private:
  Host(StateFolder folder, Registry& registry, Instances& instances);

  static void warn(const Vm& vm, const std::string& what);

  void take_up(VmRecord record);
  base::Result<void> set_up(Vm& vm);
  base::Result<void> launch(Vm& vm);
  base::Result<void> launch(Vm& vm, Phase phase, const strongroom::instance::v1::Setup& setup);
  [[nodiscard]] strongroom::instance::v1::Setup setup_of(const Vm& vm) const;
  base::Result<bool> needs_copy(const Vm& vm, const Conversion& conversion) const;
  base::Result<void> begin_copy(Vm& vm, const Conversion& conversion, Together together);
  base::Result<void> set_launch(Vm& vm, const Conversion& conversion, std::uint32_t store,
                                const Together& together);
  bool settle(Vm& vm);
  void conversion_ended(Vm& vm);
  void release_ended(Vm& vm);
  void remove_other_stores(const Vm& vm) const;
  void start_failed(Vm& vm, keybroker::protocol::Readiness readiness, std::string reason);
  void detach(Vm& vm);
  void stopped(Vm& vm, keybroker::protocol::Readiness readiness, std::string reason);
  base::Result<void> finish_removal(Vm& vm);
  base::Result<Vm*> vm(const VmId& id);

  StateFolder folder_;
  Registry& registry_;
  Instances& instances_;
  std::function<void(const VmId&)> changed_;
  std::map<VmId, Vm> vms_;

  // What is done when the copy of a VM that is converting is there.
  struct Copying {
    Conversion conversion;
    std::uint32_t store = 0;
    Together together;
  };

  std::map<VmId, Copying> copying_;
};

}  // namespace vtpm::host
