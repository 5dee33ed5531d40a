// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keybroker/broker/registration.h"

// What registration.cc and conversion.cc share.
namespace keybroker::broker {

// check_broker_launch() tells whether a launch document is one of this tenant's confidential VMs,
// which would believe this broker. kDenied, naming the field.
base::Result<void> check_broker_launch(const protocol::LaunchDocument& document,
                                       const protocol::Uuid& tenant,
                                       const crypto::Fingerprint& root);

// launch_of() is what the document fixes. kDenied if the execution policy is not the document's.
base::Result<store::Launch> launch_of(base::ByteView launch_document,
                                      const protocol::LaunchDocument& document,
                                      const std::optional<base::Bytes>& execution_policy);

// vm_of_tenant() is a VM's record. kNotFound as own_vm(), kDenied for who owns only a policy of it.
base::Result<store::VmRecord> vm_of_tenant(store::BrokerRecords& records,
                                           const protocol::Uuid& tenant,
                                           const protocol::Uuid& vm_id);

}  // namespace keybroker::broker
