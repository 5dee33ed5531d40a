// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keybroker/broker/refusal.h"
#include "keybroker/protocol/launch_document.h"
#include "keybroker/protocol/release_claims.h"
#include "keybroker/store/broker_records.h"

namespace keybroker::broker {

// RegisteredLaunch is the launch of a VM that a boot says it is, as the tenant registered it.
struct RegisteredLaunch {
  protocol::TeeFamily family = protocol::TeeFamily::kSevSnp;
  base::Bytes digest;  // as evidence has it: 32 bytes for SEV-SNP, 48 for TDX
  protocol::LaunchDocument document;
  std::optional<protocol::Sha256Digest> execution_policy{};  // SHA-256 of the registered text
  bool is_previous = false;  // the one before a conversion that is not over
};

// load_registered() is a VM's record. It refuses with vm-unregistered, and with records-altered if
// it is not as a broker wrote it.
Outcome<store::VmRecord> load_registered(store::BrokerRecords& records,
                                         const protocol::Uuid& vm_id);

// of_records() passes on why the record store gave nothing. It refuses with records-altered what is
// not as a broker wrote it.
tl::unexpected<Failure> of_records(base::Error error);

// launch_digest_bytes() is a digest as evidence of a family has it.
base::Bytes launch_digest_bytes(const protocol::LaunchDigest& digest, protocol::TeeFamily family);

// judge_registration() finds the launch that the claims name. It refuses with vm-disabled,
// vm-deleted, clone-not-offered, tee-other, launch-document-other, launch-document-replaced,
// protection-other, execution-policy-missing or execution-policy-altered, and with records-altered
// for a record whose document is not that of its digest, VM or tenant.
Outcome<RegisteredLaunch> judge_registration(const store::VmRecord& record,
                                             const protocol::ReleaseClaims& claims,
                                             crypto::Time now);

}  // namespace keybroker::broker
