// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>
#include <vector>

#include "vtpm/host/host.h"

namespace vtpm::host {

namespace instance = strongroom::instance::v1;
namespace protocol = keybroker::protocol;
using base::ErrorCode;
using protocol::Readiness;

namespace {

auto denied(const Vm& vm, const std::string& why) {
  return base::fail(ErrorCode::kDenied, "VM '" + vm.record.name + "' " + why);
}

bool goes_back(const Vm& vm, const Conversion& conversion) {
  return vm.record.launch_document_before == conversion.launch_document;
}

// What an instance said at its end, for whoever asked for the conversion.
base::Error why_unconverted(const Vm& vm) {
  const std::string unchanged = "; nothing was changed";
  if (!vm.said_why) {
    return {ErrorCode::kUnavailable,
            "the instance that copied the store died" + unchanged + ": convert the VM again"};
  }
  const auto code = vm.readiness == Readiness::kStoreFailing ? ErrorCode::kIo : ErrorCode::kDenied;
  return {code, std::string(name(vm.readiness)) + ": " + vm.reason + unchanged};
}

}  // namespace

base::Result<void> Host::convert(const VmId& id, const Conversion& conversion, Together together) {
  TRY_ASSIGN(found, vm(id));
  auto& target = *found;
  if (target.phase == Phase::kConverting) {
    return base::fail(ErrorCode::kUnavailable,
                      "VM " + target.record.name + " is still being converted, which goes on");
  }
  if (target.phase != Phase::kStopped) {
    return denied(target, "is running; stop it before you convert it");
  }
  if (target.record.deleting) {
    return denied(target, "is being deleted");
  }
  target.unconverted.reset();
  TRY_ASSIGN(copies, needs_copy(target, conversion));
  if (copies) {
    return begin_copy(target, conversion, std::move(together));
  }
  TRY(set_launch(target, conversion, target.record.store, together));
  target.readiness = Readiness::kStopped;
  target.reason.clear();
  remove_other_stores(target);
  changed_(id);
  return {};
}

// A VM without a state yet has its store made under the new document, and one that goes back finds
// the store from before.
base::Result<bool> Host::needs_copy(const Vm& vm, const Conversion& conversion) const {
  if (!conversion.changes_protection || !vm.is_persistent() || goes_back(vm, conversion)) {
    return false;
  }
  TRY_ASSIGN(has_store, folder_.has_store(vm.id(), vm.record.store));
  return has_store || vm.record.has_state;
}

base::Result<void> Host::begin_copy(Vm& vm, const Conversion& conversion, Together together) {
  const auto store = std::max(vm.record.store, vm.record.store_before) + 1;
  auto setup = setup_of(vm);
  auto& copy = *setup.mutable_conversion();
  const auto& document = conversion.launch_document;
  copy.set_launch_document(document.data(), document.size());
  copy.set_store_path(folder_.store(vm.id(), store).string());
  if (conversion.document.protection == protocol::Protection::kHost) {
    copy.set_key_path(folder_.key(vm.id(), store).string());
  }
  {
    const auto lease = take_lease(folder_.lease(vm.id()));
    if (lease && *lease) {
      remove_other_stores(vm);  // of an attempt that did not come to its end
    }
  }
  copying_[vm.id()] = {conversion, store, std::move(together)};
  auto launched = launch(vm, Phase::kConverting, setup);
  if (!launched) {
    copying_.erase(vm.id());
  }
  return launched;
}

base::Result<void> Host::set_launch(Vm& vm, const Conversion& conversion, std::uint32_t store,
                                    const Together& together) {
  auto after = vm;
  auto& record = after.record;
  // Of several conversions without a start, the first document is the one that was started under.
  if (goes_back(vm, conversion)) {
    record.launch_document_before.clear();
    record.store = record.store_before;
  } else {
    if (record.launch_document_before.empty()) {
      record.launch_document_before = record.launch_document;
      record.store_before = record.store;
    }
    record.store = store;
  }
  if (record.launch_document_before.empty()) {
    record.store_before = record.store;
  }
  record.launch_document = conversion.launch_document;
  after.document = conversion.document;
  after.opened_by.clear();
  const auto changes = [&]() -> base::Result<void> {
    TRY(registry_.set_launch(record));
    return together(after);
  };
  TRY(registry_.together(changes));
  vm = std::move(after);
  return {};
}

// The copy is durable, and its instance still holds the VM's lease: nothing can have started.
void Host::converted(const VmId& id) {
  const auto found = vm(id);
  const auto copying = copying_.find(id);
  if (!found || copying == copying_.end() || (*found)->phase != Phase::kConverting) {
    return;
  }
  auto& target = **found;
  const auto [conversion, store, together] = std::move(copying->second);
  copying_.erase(copying);
  if (auto set = set_launch(target, conversion, store, together); !set) {
    warn(target, "is not converted: " + set.error().message);
    target.unconverted = std::move(set).error();
  }
}

void Host::conversion_ended(Vm& vm) {
  // Neither was it done nor did it fail to be noted.
  if (copying_.erase(vm.id()) != 0) {
    vm.unconverted = why_unconverted(vm);
    warn(vm, "is not converted: " + vm.unconverted->message);
  }
  remove_other_stores(vm);
  stopped(
      vm, Readiness::kStopped,
      vm.unconverted ? "its conversion did not come to its end: " + vm.unconverted->message : "");
}

// It has started under the new document, and the one before counts no longer. False if that cannot
// be noted and a guest must not use this store.
bool Host::settle(Vm& vm) {
  if (vm.record.launch_document_before.empty()) {
    return true;
  }
  auto after = vm.record;
  after.launch_document_before.clear();
  after.store_before = after.store;
  if (auto settled = registry_.set_launch(after); !settled) {
    warn(vm, "its conversion can still be taken back, for the registry cannot be written: " +
                 settled.error().message);
    return !vm.record.is_second_store();
  }
  vm.record = std::move(after);
  remove_other_stores(vm);
  return true;
}

// Nothing waits for it: what stays is found again when the VM is taken up or converted. A registry
// that is older than its folder names a store that is gone; then another is the only one there is.
void Host::remove_other_stores(const Vm& vm) const {
  const auto& record = vm.record;
  const auto has_its_own = folder_.has_store(vm.id(), record.store);
  if (!has_its_own || !*has_its_own) {
    return;
  }
  std::vector<std::uint32_t> kept = {record.store};
  if (!record.launch_document_before.empty()) {
    kept.push_back(record.store_before);
  }
  if (auto removed = folder_.remove_stores_but(vm.id(), kept); !removed) {
    warn(vm, "a store from before a conversion stays: " + removed.error().message);
  }
}

}  // namespace vtpm::host
