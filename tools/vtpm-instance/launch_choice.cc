// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/launch_choice.h"

#include <string>
#include <utility>

#include "tools/vtpm-instance/tee_choice.h"
#include "vtpm/sealing/launch.h"

namespace tools::vtpm_instance {

using base::ErrorCode;
using keybroker::protocol::Lifetime;
using keybroker::protocol::Protection;
using keybroker::protocol::TeeFamily;
using vtpm::sealing::VerifiedLaunch;

namespace {

LaunchChoice choice_of(const VerifiedLaunch& launch, std::unique_ptr<vtpm::tee::Tee> tee) {
  LaunchChoice choice;
  choice.tee = std::move(tee);
  choice.vm_id = vmgs::format::VmId{launch.document.vm_id};
  choice.document = launch.document;
  choice.launch_digest = launch.digest;
  choice.secure_boot = launch.document.secure_boot_template_digest.has_value();
  choice.protection = launch.document.protection;
  choice.lifetime = launch.document.lifetime;
  return choice;
}

base::Result<LaunchChoice> choose_by_document(base::ByteView document) {
  // Which TEE to ask is all that is taken from the document before the TEE has vouched for it.
  TRY_ASSIGN(claimed, keybroker::protocol::decode_launch_document(document));
  if (claimed.tee_family == TeeFamily::kNone) {
    TRY_ASSIGN(launch, vtpm::sealing::plain_launch(document));
    return choice_of(launch, nullptr);
  }
  TRY_ASSIGN(tee, open_tee(claimed.tee_family, document));
  TRY_ASSIGN(launch, vtpm::sealing::verify_launch(document, *tee));
  return choice_of(launch, std::move(tee));
}

}  // namespace

base::Bytes LaunchChoice::launch_digest_bytes() const {
  // HOST_DATA of SEV-SNP has 32 bytes.
  constexpr std::size_t kSnpLaunchBytes = 32;
  auto bytes = base::copy_of(launch_digest.bytes);
  if (document && document->tee_family == TeeFamily::kSevSnp) {
    bytes.resize(kSnpLaunchBytes);
  }
  return bytes;
}

base::Result<LaunchChoice> choose_launch(const InstanceSetup& setup) {
  LaunchChoice choice;
  if (setup.launch_document.empty()) {
    choice.protection = setup.protection;
    choice.lifetime = setup.lifetime;
    if (choice.protection == Protection::kHardware) {
      return base::fail(ErrorCode::kInvalidArgument,
                        "protection hardware is for a confidential VM, whose launch document says "
                        "so");
    }
  } else {
    TRY_ASSIGN(chosen, choose_by_document(setup.launch_document));
    choice = std::move(chosen);
  }
  // A host that could start a confidential VM's paravisor as an ordinary VM would choose its
  // protection, and hold its key.
  if (setup.home == Home::kParavisor && !choice.tee && machine_has_tee()) {
    return base::fail(ErrorCode::kDenied,
                      "this is the paravisor of a confidential VM, and what it was started with "
                      "says that it is an ordinary one; give the launch document that the VM was "
                      "launched with");
  }
  if (choice.protection == Protection::kBroker && setup.incoming) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "the state of a VM of protection broker does not arrive from another host: "
                      "its broker has to hear of each move, and no instance tells it of one yet");
  }
  if (setup.export_for_openhcl && choice.protection != Protection::kHardware) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "a key is exported for OpenHCL where hardware protects it, and here it is " +
                          std::string(keybroker::protocol::name(choice.protection)));
  }
  if (choice.lifetime == Lifetime::kPersistent && setup.store.empty()) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "a persistent TPM needs a store; give --vmgs, or --lifetime ephemeral");
  }
  return choice;
}

}  // namespace tools::vtpm_instance
