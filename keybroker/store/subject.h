// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "keybroker/protocol/launch_document.h"
#include "vmgs/base/result.h"

namespace keybroker::store {

// A Subject is whose log a line is in, and whose request an id is of: a VM, or a tenant for what is
// about no VM. One byte for which of the two, then the id: a VM's id is what its tenant chose, and
// must not open another tenant's log.
using Subject = std::array<std::byte, 17>;

Subject vm_subject(const protocol::Uuid& vm_id);
Subject tenant_subject(const protocol::Uuid& tenant);

bool is_tenant(const Subject& subject);
protocol::Uuid id_of(const Subject& subject);

// subject_text() is the UUID of a VM, or "tenant:" and that of a tenant; parse_subject() reads it
// back. kInvalidArgument.
std::string subject_text(const Subject& subject);
base::Result<Subject> parse_subject(std::string_view text);

}  // namespace keybroker::store
