// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "keybroker/store/sql.h"
#include "keybroker/store/vm_record.h"

namespace keybroker::store {

// What is wrapped and under what: a rotation wraps anew what it finds once its key is on record, so
// that nothing may come after that under the one before. These are steps of a transaction.

// hold_keks() keeps a tenant's key-encryption keys as they are until the transaction ends.
base::Result<void> hold_keks(Sql& sql, const Uuid& tenant);

// expect_newest_kek() holds them, and fails if there is a newer one than `version`: kUnavailable,
// for with that one the same request succeeds.
base::Result<void> expect_newest_kek(Sql& sql, const Uuid& tenant, std::uint64_t version);

}  // namespace keybroker::store
