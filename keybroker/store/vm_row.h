// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keybroker/store/sql.h"
#include "keybroker/store/vm_record.h"

namespace keybroker::store {

// load_vm() reads a VM's record and its policies. kNotFound, kCorrupt.
base::Result<VmRecord> load_vm(Sql& sql, const Uuid& vm_id);

// load_policies() gives the policies of a VM, ascending.
base::Result<std::vector<OwnerPolicy>> load_policies(Sql& sql, const Uuid& vm_id);

// store_policies() puts a VM's policies in the place of what there is. kNotFound for an owner or a
// policy that is not on record.
base::Result<void> store_policies(Sql& sql, const VmRegistration& registration);

// difference() names the first field in which two registrations of a VM differ, or is empty.
// `among` says which are looked at.
enum class Fields { kAll, kImmutable };
std::string_view difference(const VmRegistration& a, const VmRegistration& b, Fields among);

}  // namespace keybroker::store
