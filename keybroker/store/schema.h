// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keybroker/store/sql.h"

namespace keybroker::store {

// migrate() brings a database to this program's tables, each version in one transaction; several
// programs may do it at once. kDenied if a newer program has written them, kCorrupt if the database
// is some other program's.
base::Result<void> migrate(Sql& sql);

// have_tenants() tells whether anybody's records are in the database, which migrate() has been
// over.
base::Result<bool> have_tenants(Sql& sql);

}  // namespace keybroker::store
