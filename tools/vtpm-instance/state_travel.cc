// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/state_travel.h"

#include <optional>

#include "vmgs/format/swtpm_key.h"

namespace tools::vtpm_instance {

base::Result<std::unique_ptr<StateBlobCodec>> state_travel_of(const InstanceSetup& setup,
                                                              const LaunchChoice& choice) {
  const bool stays = setup.home == Home::kParavisor || choice.tee != nullptr;
  if (stays && setup.state_blobs != StateBlobForm::kRefused) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "this VM is confidential, and its TPM's state does not leave through its "
                      "host; leave --state-blobs and --migration-key out");
  }
  if (setup.state_blobs != StateBlobForm::kPlain) {
    return std::unique_ptr<StateBlobCodec>();
  }
  auto key = setup.migration_key ? std::optional(setup.migration_key->clone()) : std::nullopt;
  return std::make_unique<SwtpmStateBlobs>(std::nullopt, std::move(key));
}

}  // namespace tools::vtpm_instance
