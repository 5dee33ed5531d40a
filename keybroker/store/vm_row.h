// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keybroker/store/record_seal.h"
#include "keybroker/store/sql.h"
#include "keybroker/store/vm_record.h"

namespace keybroker::store {

// load_vm() reads a VM's record and its policies. kNotFound, kCorrupt; kAuthentication, beginning
// with kRecordsAltered, if the seal is not that of the record.
base::Result<VmRecord> load_vm(Sql& sql, const RecordSeal& seal, const Uuid& vm_id);

// held_vm() is the same inside a transaction, with the row held against everybody else until that
// ends.
base::Result<VmRecord> held_vm(Sql& sql, const RecordSeal& seal, const Uuid& vm_id);

// store_vm() writes what of a held record is sealed and may change: status, version, launches,
// region, and the seal. Nothing is read back, so that what somebody put into the row meanwhile is
// not sealed. store_policies() goes with it where the policies are others.
base::Result<void> store_vm(Sql& sql, const RecordSeal& seal, const VmRecord& record);

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
