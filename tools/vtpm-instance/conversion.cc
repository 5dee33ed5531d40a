// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/conversion.h"

#include <filesystem>
#include <memory>
#include <string>

#include "vtpm/boot/protector.h"
#include "vtpm/boot/store_copy.h"
#include "vtpm/sealing/launch.h"

namespace tools::vtpm_instance {

using base::ErrorCode;
using keybroker::protocol::Lifetime;
using keybroker::protocol::Protection;
using vtpm::boot::Protector;

namespace {

auto denied(std::string why) { return base::fail(ErrorCode::kDenied, std::move(why)); }

base::Result<std::unique_ptr<Protector>> protector_of(Protection protection,
                                                      const std::filesystem::path& key_file,
                                                      vtpm::sealing::KeyFileKind kind) {
  switch (protection) {
    case Protection::kNone:
      return vtpm::boot::no_protector();
    case Protection::kHost:
      return vtpm::boot::host_key_protector(key_file, kind);
    case Protection::kHardware:
    case Protection::kBroker:
      break;
  }
  return denied("protection " + std::string(name(protection)) + " is not of an ordinary VM");
}

}  // namespace

base::Result<void> convert(const InstanceSetup& setup, const LaunchChoice& choice) {
  const auto& conversion = *setup.conversion;
  if (choice.tee || !choice.vm_id) {
    return denied(
        "only the store of an ordinary VM that has a launch document is copied for another: nobody "
        "vouches here for what a confidential VM may become");
  }
  auto decoded = vtpm::sealing::plain_launch(conversion.launch_document);
  if (!decoded && decoded.error().code == ErrorCode::kCorrupt) {
    return base::fail(ErrorCode::kInvalidArgument, std::move(decoded).error().message);
  }
  TRY_ASSIGN(launch, std::move(decoded));
  if (launch.document.vm_id != choice.vm_id->bytes) {
    return denied("the launch document is of VM " +
                  to_string(vmgs::format::VmId{launch.document.vm_id}) + ", and this is " +
                  to_string(*choice.vm_id));
  }
  if (choice.lifetime != Lifetime::kPersistent ||
      launch.document.lifetime != Lifetime::kPersistent) {
    return denied("an ephemeral VM has no store, and lifetime never changes");
  }
  TRY_ASSIGN(opener, protector_of(choice.protection, setup.key_file, setup.key_file_kind));
  TRY_ASSIGN(keeper, protector_of(launch.document.protection, conversion.key_file,
                                  vtpm::sealing::KeyFileKind::kFile));
  vtpm::boot::StoreSettings from{.path = setup.store};
  from.vm_id = choice.vm_id;
  return vtpm::boot::copy_store(from, *opener, conversion.store, *keeper);
}

}  // namespace tools::vtpm_instance
