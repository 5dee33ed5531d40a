// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "keybroker/protocol/launch_document.h"
#include "keybroker/protocol/vm_service.pb.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/format/vm_id.h"

namespace vtpm::host {

// VmSpec is a wish to have a VM: what CreateVm asks for, checked.
struct VmSpec {
  std::string name;

  // The id was asked for, rather than drawn for this wish.
  bool id_is_given = false;
  keybroker::protocol::LaunchDocument document;

  // Commits to its store wait for the disk twice.
  bool strict_durability = false;

  // Whether the TPM's state leaves and enters in the clear where its hypervisor asks for it; absent
  // where nothing was said about it.
  std::optional<bool> plain_state_blobs;

  // What its UEFI variables begin with; empty for a blank flash.
  base::Bytes variables;
};

// durability_name() is the word of the service for it.
inline const char* durability_name(bool strict) { return strict ? "strict" : "one-barrier"; }

// state_blobs_name() is the word of the service for it.
inline const char* state_blobs_name(bool plain) { return plain ? "plain" : "sealed"; }

// decode_state_blobs() tells whether the word is "plain", or else "sealed". kInvalidArgument for
// another, and where the TPM of that launch document never leaves in the clear.
base::Result<bool> decode_state_blobs(const std::string& word,
                                      const keybroker::protocol::LaunchDocument& document);

// decode_spec() reads a request. Words and hexadecimal become values, defaults are filled in, and
// the launch document that results passes its own check. `drawn` is the id of a VM for which none
// is asked. kInvalidArgument, naming the field.
base::Result<VmSpec> decode_spec(const strongroom::host::v1::CreateVmRequest& request,
                                 const vmgs::format::VmId& drawn);

// parameters_of() says a launch document in the words of the service, every field that is not
// absent spelt out.
strongroom::host::v1::VmParameters parameters_of(
    const keybroker::protocol::LaunchDocument& document);

// changed_by() is a document in which each field that is not empty in `words` is as they say; roots
// take the place of all that there were. The result is not checked. kInvalidArgument, naming the
// field, for a word that is none.
base::Result<keybroker::protocol::LaunchDocument> changed_by(
    const keybroker::protocol::LaunchDocument& document,
    const strongroom::host::v1::VmParameters& words);

// changes_between() says each parameter in which two documents differ, as "tee: sev-snp -> tdx".
// Ids are not looked at.
std::vector<std::string> changes_between(const keybroker::protocol::LaunchDocument& from,
                                         const keybroker::protocol::LaunchDocument& to);

// difference() says each parameter in which two documents differ, such as "protection is
// 'hardware', and 'host' was asked for"; nothing if none does. Ids are not looked at.
std::optional<std::string> difference(const keybroker::protocol::LaunchDocument& existing,
                                      const keybroker::protocol::LaunchDocument& wanted);

}  // namespace vtpm::host
