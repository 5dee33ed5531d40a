// SPDX-License-Identifier: Apache-2.0
#include "vtpm/host/vm_view.h"

#include <string>

#include "vmgs/base/bytes.h"

namespace vtpm::host {

namespace {

namespace api = strongroom::host::v1;
namespace protocol = keybroker::protocol;

// What will open the store, as far as it is known before an instance has done so.
std::string expected_opener(const Vm& vm, const StateFolder& folder) {
  switch (vm.document.protection) {
    case protocol::Protection::kNone:
      return vm.is_persistent() ? "nothing is needed: whoever can read the file has the TPM"
                                : "there is no store";
    case protocol::Protection::kHost:
      return "the host's key file " + folder.key(vm.id(), vm.record.store).string();
    case protocol::Protection::kHardware:
      return "a key that the " + std::string(name(vm.document.tee_family)) +
             " hardware derives for this image and this launch document; nothing on the host "
             "opens it";
    case protocol::Protection::kBroker:
      return "a key that the key broker releases to evidence of this VM; nothing on the host opens "
             "it";
  }
  return "";
}

std::string lifetime_note(const Vm& vm) {
  return vm.is_persistent()
             ? "persistent: a change is on the disk before the TPM answers for it"
             : "ephemeral: nothing of this TPM is written anywhere; its keys and secrets are gone "
               "when its instance ends";
}

std::string qemu_options(const std::string& control_socket) {
  return "-chardev socket,id=chrtpm,path=" + control_socket +
         " -tpmdev emulator,id=tpm0,chardev=chrtpm -device tpm-crb,tpmdev=tpm0";
}

std::string qemu_variables_option(const std::string& socket) {
  return "-drive if=pflash,unit=1,format=raw,file.driver=nbd,file.server.type=unix,"
         "file.server.path=" +
         socket;
}

}  // namespace

api::Readiness readiness_view_of(const Host& host, const Vm& vm) {
  const auto readiness = host.readiness(vm);
  const auto& row = protocol::row(readiness);
  api::Readiness view;
  view.set_name(std::string(row.name));
  view.set_is_ready(row.prospect == protocol::Prospect::kReady);
  view.set_meaning(std::string(row.meaning));
  view.set_remedy(std::string(row.remedy));
  view.set_reason(vm.reason);
  return view;
}

api::Vm view_of(const Host& host, const Vm& vm) {
  const auto& folder = host.folder();
  api::Vm view;
  view.set_vm_id(to_string(vm.id()));
  view.set_name(vm.record.name);
  *view.mutable_parameters() = parameters_of(vm.document);
  view.mutable_created_at()->set_seconds(vm.record.created_at);
  const auto& document = vm.record.launch_document;
  view.set_launch_document(document.data(), document.size());
  view.set_launch_digest(
      base::to_hex(protocol::launch_digest(document, vm.document.tee_family).bytes));
  const auto& before = vm.record.launch_document_before;
  view.set_launch_document_before(before.data(), before.size());
  view.set_control_socket(folder.control_socket(vm.id()).string());
  view.set_data_socket(folder.data_socket(vm.id()).string());
  if (vm.is_persistent()) {
    view.set_store_path(folder.store(vm.id(), vm.record.store).string());
    view.set_durability(durability_name(vm.record.strict_durability));
  }
  if (vm.record.plain_state_blobs || moves(vm)) {
    view.set_state_blobs(state_blobs_name(vm.record.plain_state_blobs));
  }
  view.set_opened_by(vm.opened_by.empty() ? expected_opener(vm, folder) : vm.opened_by);
  view.set_lifetime_note(lifetime_note(vm));
  view.set_simulated_tee(vm.simulated_tee);
  *view.mutable_readiness() = readiness_view_of(host, vm);
  view.set_guest(vm.guest);
  view.set_pid(vm.pid);
  if (vm.broker) {
    view.mutable_broker()->set_endpoint(vm.broker->endpoint);
    view.mutable_broker()->mutable_answered_at()->set_seconds(vm.broker->answered_at);
  }
  view.set_migration(vm.travel.migration == Migration::kAwaited   ? "awaited"
                     : vm.travel.migration == Migration::kOffered ? "offered"
                                                                  : "none");
  view.set_states_taken(vm.states_taken_before + vm.travel.states_taken);
  view.set_states_put_in(vm.states_put_in_before + vm.travel.states_put_in);
  view.set_variables_socket(folder.variables_socket(vm.id()).string());
  view.set_qemu_variables_option(qemu_variables_option(view.variables_socket()));
  view.set_qemu_options(qemu_options(view.control_socket()));
  return view;
}

}  // namespace vtpm::host
