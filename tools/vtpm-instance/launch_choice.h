// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>

#include "keybroker/protocol/launch_document.h"
#include "tools/vtpm-instance/setup.h"
#include "vmgs/base/result.h"
#include "vmgs/format/vm_id.h"
#include "vtpm/tee/tee.h"

namespace tools::vtpm_instance {

// LaunchChoice is what an instance does for its VM: for a confidential VM what its launch document
// says, now that the TEE has vouched for it.
struct LaunchChoice {
  std::unique_ptr<vtpm::tee::Tee> tee;  // of a confidential VM
  std::optional<vmgs::format::VmId> vm_id;
  std::optional<keybroker::protocol::LaunchDocument> document;  // if there is one
  keybroker::protocol::LaunchDigest launch_digest;              // zero without a document

  // launch_digest_bytes() is as much of it as the TEE has: 32 bytes for SEV-SNP, else 48.
  [[nodiscard]] base::Bytes launch_digest_bytes() const;

  bool secure_boot = false;  // the document demands a template of keys
  keybroker::protocol::Protection protection = keybroker::protocol::Protection::kHost;
  keybroker::protocol::Lifetime lifetime = keybroker::protocol::Lifetime::kPersistent;
};

// choose_launch() reads and verifies the launch document, or takes the setup's own choices where
// there is none. kDenied and kAuthentication where the TEE does not vouch for the document,
// kUnavailable where there is no such TEE, kCorrupt for a document that is none, kInvalidArgument
// for choices that only a launch document may make.
base::Result<LaunchChoice> choose_launch(const InstanceSetup& setup);

}  // namespace tools::vtpm_instance
