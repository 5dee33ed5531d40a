// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/broker_start.h"

#include <utility>

#include "vmgs/crypto/random.h"

namespace tools::vtpm_instance {

base::Result<std::unique_ptr<vtpm::boot::BrokerBoot>> broker_boot(const InstanceSetup& setup,
                                                                  const LaunchChoice& choice,
                                                                  Supervisor& supervisor) {
  if (choice.protection != keybroker::protocol::Protection::kBroker) {
    return std::unique_ptr<vtpm::boot::BrokerBoot>();
  }
  vtpm::boot::BrokerBoot::Settings settings{
      .channel = *supervisor.broker(),
      .tee = *choice.tee,
      .document = *choice.document,
      .launch_digest = choice.launch_digest_bytes(),
      .receipt = setup.receipt,
      .keep_receipt = [&](base::ByteView receipt) { supervisor.keep_receipt(receipt); },
      .stop = supervisor.stopping()};
  TRY(vmgs::crypto::random_bytes(settings.boot_id));
  return std::make_unique<vtpm::boot::BrokerBoot>(std::move(settings));
}

}  // namespace tools::vtpm_instance
