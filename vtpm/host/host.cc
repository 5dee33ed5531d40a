// SPDX-License-Identifier: Apache-2.0
#include "vtpm/host/host.h"

#include <algorithm>
#include <csignal>

#include "vmgs/base/log.h"
#include "vtpm/host/lease.h"

namespace vtpm::host {

namespace {

namespace instance = strongroom::instance::v1;
namespace protocol = keybroker::protocol;
using base::ErrorCode;
using protocol::Readiness;

std::string quoted_name(const Vm& vm) { return "VM '" + vm.record.name + "'"; }

}  // namespace

instance::Setup Host::setup_of(const Vm& vm) const {
  instance::Setup setup;
  setup.set_name(vm.record.name);
  if (const auto variables = folder_.variables(vm.id())) {
    setup.set_variables_path(variables->string());
  }
  const auto& document = vm.record.launch_document;
  setup.set_launch_document(document.data(), document.size());
  setup.set_plain_state_blobs(vm.record.plain_state_blobs);
  if (vm.is_persistent()) {
    setup.set_store_path(folder_.store(vm.id(), vm.record.store).string());
    setup.set_may_create(!vm.record.has_state);
    // Until it is noted that the store before counts no longer, no guest uses this one.
    setup.set_await_serve(vm.record.is_second_store());
    setup.set_strict_durability(vm.record.strict_durability);
    if (vm.document.protection == protocol::Protection::kHost) {
      setup.set_key_path(folder_.key(vm.id(), vm.record.store).string());
    }
    if (moves(vm)) {
      setup.set_migration_ticket(folder_.ticket(vm.id()).string());
    }
    // A start needs none: it is the broker that may.
    const auto receipt = folder_.receipt(vm.id());
    if (receipt) {
      setup.set_receipt(receipt->data(), receipt->size());
    } else {
      warn(vm, receipt.error().message);
    }
  }
  return setup;
}

void Host::warn(const Vm& vm, const std::string& what) {
  base::log(base::LogLevel::kWarning, quoted_name(vm) + ": " + what);
}

Host::Host(StateFolder folder, Registry& registry, Instances& instances)
    : folder_(std::move(folder)),
      registry_(registry),
      instances_(instances),
      changed_([](const VmId&) {}) {}

base::Result<std::unique_ptr<Host>> Host::open(StateFolder folder, Registry& registry,
                                               Instances& instances,
                                               std::function<void(const VmId&)> changed) {
  std::unique_ptr<Host> host(new Host(std::move(folder), registry, instances));
  TRY_ASSIGN(records, registry.all());
  for (auto& record : records) {
    host->take_up(std::move(record));
  }
  // Until now nobody could ask for this host's VMs.
  host->changed_ = std::move(changed);
  return host;
}

void Host::take_up(VmRecord record) {
  auto& vm = vms_[record.id];
  vm.record = std::move(record);
  if (vm.record.deleting) {
    if (auto removed = finish_removal(vm); !removed) {
      warn(vm, removed.error().message);
    }
    return;
  }
  if (auto ready = set_up(vm); !ready) {
    warn(vm, ready.error().message);
  }
}

// What a VM needs before it can be started. It may be called again after it failed.
base::Result<void> Host::set_up(Vm& vm) {
  const auto attempt = [&]() -> base::Result<void> {
    TRY_ASSIGN(document, protocol::decode_launch_document(vm.record.launch_document));
    vm.document = std::move(document);
    TRY(folder_.prepare(vm.id()));
    return instances_.open_sockets(vm.id());
  };
  auto done = attempt();
  if (!done) {
    vm.broken = done.error();
    vm.readiness = Readiness::kNotSetUp;
    vm.reason = done.error().message;
    return done;
  }
  vm.broken.reset();
  auto lease = take_lease(folder_.lease(vm.id()));
  if (lease && !*lease) {
    detach(vm);
    return {};
  }
  if (lease) {
    remove_other_stores(vm);  // what a vtpmd that died has left
  }
  stopped(vm, Readiness::kStopped, "");
  return {};
}

std::vector<const Vm*> Host::all() const {
  std::vector<const Vm*> vms;
  for (const auto& [id, each] : vms_) {
    vms.push_back(&each);
  }
  std::sort(vms.begin(), vms.end(),
            [](const Vm* a, const Vm* b) { return a->record.name < b->record.name; });
  return vms;
}

const Vm* Host::find(const VmId& id) const {
  const auto found = vms_.find(id);
  return found == vms_.end() ? nullptr : &found->second;
}

base::Result<const Vm*> Host::find(std::string_view name_or_id) const {
  if (const auto id = vmgs::format::parse_vm_id(name_or_id)) {
    if (const auto* found = find(*id)) {
      return found;
    }
  }
  for (const auto& [id, each] : vms_) {
    if (each.record.name == name_or_id) {
      return &each;
    }
  }
  return base::fail(ErrorCode::kNotFound,
                    "there is no VM '" + std::string(name_or_id) + "' on this host");
}

base::Result<Vm*> Host::vm(const VmId& id) {
  const auto found = vms_.find(id);
  if (found == vms_.end()) {
    return base::fail(ErrorCode::kNotFound, "there is no VM " + to_string(id) + " on this host");
  }
  return &found->second;
}

Readiness Host::readiness(const Vm& vm) const {
  if (vm.readiness == Readiness::kStopped && vm.is_persistent() && vm.record.has_state) {
    const auto has_store = folder_.has_store(vm.id(), vm.record.store);
    if (has_store && !*has_store) {
      return Readiness::kStateMissing;
    }
  }
  return vm.readiness;
}

base::Result<std::pair<const Vm*, bool>> Host::create(const VmSpec& spec, std::int64_t now,
                                                      const Together& together) {
  const VmId id{spec.document.vm_id};
  if (const auto named = find(spec.name)) {
    const auto& existing = **named;
    if (existing.record.deleting) {
      return base::fail(ErrorCode::kUnavailable,
                        quoted_name(existing) + " " + existing.reason + "; delete it again");
    }
    if (spec.id_is_given && existing.id() != id) {
      return base::fail(ErrorCode::kDenied, quoted_name(existing) + " exists already: vm_id is '" +
                                                to_string(existing.id()) + "', and '" +
                                                to_string(id) + "' was asked for");
    }
    if (const auto differs = difference(existing.document, spec.document)) {
      return base::fail(ErrorCode::kDenied, quoted_name(existing) + " exists already: " + *differs);
    }
    if (existing.record.strict_durability != spec.strict_durability) {
      return base::fail(ErrorCode::kDenied,
                        quoted_name(existing) + " exists already: durability is '" +
                            durability_name(existing.record.strict_durability) + "', and '" +
                            durability_name(spec.strict_durability) + "' was asked for");
    }
    const bool plain = existing.record.plain_state_blobs;
    if (spec.plain_state_blobs.value_or(plain) != plain) {
      return base::fail(ErrorCode::kDenied,
                        quoted_name(existing) + " exists already: state_blobs is '" +
                            state_blobs_name(plain) + "', and '" + state_blobs_name(!plain) +
                            "' was asked for; `vtpmctl state-blobs` changes it");
    }
    if (!spec.variables.empty()) {
      TRY_ASSIGN(same, folder_.has_variables(existing.id(), spec.variables));
      if (!same) {
        return base::fail(ErrorCode::kDenied, quoted_name(existing) +
                                                  " exists already: its UEFI variables began with "
                                                  "others than were asked for");
      }
    }
    TRY(together(existing));
    return std::pair(*named, false);
  }
  if (const auto* other = find(id)) {
    return base::fail(ErrorCode::kDenied, "VM " + to_string(id) + " exists already: name is '" +
                                              other->record.name + "', and '" + spec.name +
                                              "' was asked for");
  }

  Vm made;
  TRY_ASSIGN(encoded, protocol::encode(spec.document));
  made.record = VmRecord{.id = id,
                         .name = spec.name,
                         .launch_document = std::move(encoded),
                         .created_at = now,
                         .strict_durability = spec.strict_durability,
                         .plain_state_blobs = spec.plain_state_blobs.value_or(false)};
  made.document = spec.document;
  const auto changes = [&]() -> base::Result<void> {
    TRY(registry_.insert(made.record));
    return together(made);
  };
  // Before anything can start it. Nothing of an attempt that went wrong is taken for this one's.
  if (!spec.variables.empty()) {
    TRY(folder_.prepare(id));
  }
  TRY(folder_.keep_variables(id, spec.variables));
  TRY(registry_.together(changes));
  auto& vm = vms_[id];
  vm = std::move(made);
  // It is registered, whatever becomes of its folders and sockets: start() tries them again.
  if (auto ready = set_up(vm); !ready) {
    warn(vm, ready.error().message);
  }
  changed_(id);
  return std::pair(static_cast<const Vm*>(&vm), true);
}

base::Result<void> Host::start(const VmId& id) {
  TRY_ASSIGN(found, vm(id));
  switch (found->phase) {
    case Phase::kStarting:
    case Phase::kServing:
      return {};
    case Phase::kStopping:
      return base::fail(ErrorCode::kUnavailable,
                        quoted_name(*found) + " is stopping; start it when it has stopped");
    case Phase::kConverting:
      return base::fail(ErrorCode::kUnavailable,
                        quoted_name(*found) + " is being converted; start it when that is over");
    case Phase::kReleasing:
      return base::fail(ErrorCode::kUnavailable,
                        quoted_name(*found) +
                            " is giving a TPM back, or taking it back; start it when that is over");
    case Phase::kDetached:
      return base::fail(ErrorCode::kDenied,
                        quoted_name(*found) +
                            " is served by an instance of an earlier vtpmd; shut its guest down "
                            "first, or stop it with force");
    case Phase::kStopped:
      break;
  }
  if (found->record.deleting) {
    return base::fail(ErrorCode::kDenied, quoted_name(*found) + " is being deleted");
  }
  if (found->broken) {
    TRY(set_up(*found));
  }
  found->lost_launches = 0;
  return launch(*found);
}

base::Result<void> Host::launch(Vm& vm) { return launch(vm, Phase::kStarting, setup_of(vm)); }

base::Result<void> Host::launch(Vm& vm, Phase phase, const instance::Setup& setup) {
  auto lease = take_lease(folder_.lease(vm.id()));
  if (!lease) {
    start_failed(vm, Readiness::kStoreFailing, lease.error().message);
    return base::fail(std::move(lease).error());
  }
  if (!*lease) {
    detach(vm);
    return base::fail(ErrorCode::kUnavailable,
                      quoted_name(vm) + " has an instance that this vtpmd did not start");
  }
  vm.phase = phase;
  vm.readiness = Readiness::kProvisioning;
  vm.reason.clear();
  vm.said_why = false;
  vm.last_pid = 0;
  vm.forked = false;
  vm.ended_how.clear();
  vm.travel = {};
  vm.travel.migration = setup.awaits_tpm() ? Migration::kAwaited : Migration::kNone;
  vm.states_taken_before = 0;
  vm.states_put_in_before = 0;
  auto launched = instances_.launch(vm.id(), std::move(**lease), setup);
  if (!launched) {
    start_failed(vm, Readiness::kNotSetUp, launched.error().message);
    return launched;
  }
  changed_(vm.id());
  return {};
}

// Whoever waited for this start is told so by a hang-up; the next connection tries again.
void Host::start_failed(Vm& vm, Readiness readiness, std::string reason) {
  warn(vm, "did not start: " + std::string(name(readiness)) + ": " + reason);
  instances_.refuse_connections(vm.id());
  stopped(vm, readiness, std::move(reason));
}

void Host::stopped(Vm& vm, Readiness readiness, std::string reason) {
  vm.phase = Phase::kStopped;
  vm.readiness = readiness;
  vm.reason = std::move(reason);
  vm.guest = false;
  vm.pid = 0;
  vm.travel.migration = Migration::kNone;
  if (std::exchange(vm.takes_back, false)) {
    vm.unreleased = base::Error{ErrorCode::kUnavailable,
                                "the instance ended before it said whether it has the TPM back: "
                                "try again"};
  }
  instances_.watch_sockets(vm.id());
  changed_(vm.id());
}

void Host::detach(Vm& vm) {
  auto holder = lease_holder(folder_.lease(vm.id()));
  vm.phase = Phase::kDetached;
  vm.holder_is_asked = false;
  vm.readiness = Readiness::kDetached;
  vm.reason.clear();
  vm.pid = holder ? holder->pid : 0;
  // An instance that is cut off from its vtpmd and has no guest ends.
  vm.guest = true;
  instances_.watch_holder(vm.id(), holder ? std::optional(*std::move(holder)) : std::nullopt);
  instances_.watch_sockets(vm.id());
  instances_.reclaim(vm.id());
  changed_(vm.id());
}

base::Result<void> Host::stop(const VmId& id, bool force) {
  TRY_ASSIGN(found, vm(id));
  auto& target = *found;
  if (target.phase == Phase::kStopped) {
    return {};
  }
  if (!force && (target.guest || target.phase == Phase::kDetached)) {
    return base::fail(ErrorCode::kDenied,
                      quoted_name(target) +
                          " is in use by a guest; shut the guest down, or stop it with force and "
                          "leave the guest with a TPM that fails");
  }
  if (target.phase == Phase::kDetached) {
    // What it acknowledged is durable, so nothing is lost by its death.
    instances_.signal_holder(id, target.holder_is_asked ? SIGKILL : SIGTERM);
    target.holder_is_asked = true;
    return {};
  }
  const bool works = target.phase == Phase::kConverting || target.phase == Phase::kReleasing;
  if (works && !force) {
    return base::fail(
        ErrorCode::kUnavailable,
        quoted_name(target) +
            (target.phase == Phase::kConverting ? " is being converted"
                                                : " is giving a TPM back, or taking it back") +
            "; wait for that, or stop it with force, which leaves it as it was");
  }
  if (target.phase == Phase::kStopping || works) {
    if (force) {
      instances_.kill(id);
    }
    return {};
  }
  instance::ToInstance message;
  message.mutable_stop();
  target.phase = Phase::kStopping;
  target.readiness = Readiness::kStopping;
  target.reason.clear();
  if (auto sent = instances_.send(id, message); !sent) {
    // It does not read. What it acknowledged is durable, so nothing is lost by its death.
    warn(target, "killed, for it takes no message: " + sent.error().message);
    instances_.kill(id);
  }
  changed_(id);
  return {};
}

base::Result<void> Host::replace(const VmId& id) {
  TRY_ASSIGN(found, vm(id));
  auto& target = *found;
  if (target.document.tee_family != protocol::TeeFamily::kNone) {
    return base::fail(ErrorCode::kDenied,
                      quoted_name(target) +
                          " is confidential: its TPM passes to no other process. Restart the VM "
                          "when you can");
  }
  switch (target.phase) {
    case Phase::kServing:
      break;
    case Phase::kStopped:
      return base::fail(ErrorCode::kDenied, quoted_name(target) +
                                                " does not run; its next start is with the program "
                                                "as it is then");
    case Phase::kDetached:
      return base::fail(ErrorCode::kDenied, quoted_name(target) +
                                                " is served by an instance that does not answer; "
                                                "restart the VM when you can");
    case Phase::kStarting:
    case Phase::kStopping:
    case Phase::kConverting:
    case Phase::kReleasing:
      return base::fail(ErrorCode::kUnavailable,
                        quoted_name(target) + " is starting or stopping; try again");
  }
  if (target.replacing) {
    return base::fail(ErrorCode::kUnavailable, quoted_name(target) + " is being replaced already");
  }
  auto setup = setup_of(target);
  setup.set_may_create(false);
  setup.set_await_serve(false);
  setup.set_take_over(true);
  target.replaced.reset();
  TRY(instances_.replace(id, setup));
  target.replacing = true;
  changed_(id);
  return {};
}

base::Result<void> Host::remove(const VmId& id, const Together& together) {
  TRY_ASSIGN(found, vm(id));
  auto& target = *found;
  if (target.phase != Phase::kStopped) {
    return base::fail(ErrorCode::kDenied,
                      quoted_name(target) + " is running; stop it before you delete it");
  }
  if (folder_.has_claim(id)) {
    return base::fail(ErrorCode::kDenied,
                      quoted_name(target) +
                          " has awaited its TPM from another host, which may have been offered and "
                          "is lost if nobody gives it back: `vtpmctl migrate cancel` it first");
  }
  // Held until nothing of it is left. Where it cannot be looked at, there is no instance either.
  const auto lease = take_lease(folder_.lease(id));
  if (lease && !*lease) {
    detach(target);
    return base::fail(ErrorCode::kDenied,
                      quoted_name(target) +
                          " has an instance that this vtpmd did not start; stop it before you "
                          "delete it");
  }
  const auto changes = [&]() -> base::Result<void> {
    TRY(registry_.note_deleting(id));
    return together(target);
  };
  TRY(registry_.together(changes));
  target.record.deleting = true;
  return finish_removal(target);
}

base::Result<void> Host::finish_removal(Vm& vm) {
  const auto id = vm.id();
  instances_.close_sockets(id);
  const auto attempt = [&]() -> base::Result<void> {
    TRY(folder_.remove(id));
    return registry_.erase(id);
  };
  auto done = attempt();
  if (!done) {
    auto why = std::move(done).error().context("is being deleted");
    vm.broken = why;
    vm.readiness = Readiness::kNotSetUp;
    vm.reason = why.message;
    changed_(id);
    return base::fail(std::move(why));
  }
  vms_.erase(id);
  changed_(id);
  return {};
}

}  // namespace vtpm::host
