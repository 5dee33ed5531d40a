// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "keybroker/protocol/launch_document.h"
#include "keybroker/protocol/vm_service.pb.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace vtpm::host {

// Conversion is another launch document for a VM that is there.
struct Conversion {
  keybroker::protocol::LaunchDocument document;
  base::Bytes launch_document;  // in its one encoding

  // Its state goes under another protection, so that another store is made for it. Else the store
  // opens under both documents.
  bool changes_protection = false;

  // The protection is weaker than the one before, and the TPM gets another endorsement seed.
  bool is_weaker = false;

  std::vector<std::string> changes;  // "tee: sev-snp -> tdx"; none: it has this document
  std::vector<std::string> notes;    // what to see to, one sentence or two each
};

// plan_conversion() says what a request would change of a VM. What never changes:
//   - vm_id, tenant and lifetime; and an ordinary VM never becomes a confidential one, nor the
//     reverse: in all of these a new VM is made;
//   - anything of a confidential VM with protection hardware: its store opens under the launch
//     document it was sealed under, and on one machine;
//   - the protection of a confidential VM.
// An ordinary VM goes between protection host and none; to none, only if the request allows what is
// weaker, or is for a dry run. kDenied, naming the field and what to do instead; kInvalidArgument
// for a document that does not pass its check, or if both or neither of changes and a document are
// given.
base::Result<Conversion> plan_conversion(const keybroker::protocol::LaunchDocument& document,
                                         const strongroom::host::v1::ConvertVmRequest& request);

// plan_undo() leads back to the launch document before. kNotFound if there is none, for the VM has
// not been converted, or has started since.
base::Result<Conversion> plan_undo(const keybroker::protocol::LaunchDocument& document,
                                   base::ByteView launch_document_before);

}  // namespace vtpm::host
