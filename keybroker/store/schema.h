// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keybroker/store/sql.h"

namespace keybroker::store {

// migrate() brings a database to this program's tables, each version in one transaction; several
// programs may do it at once. kDenied if a newer program has written them, kCorrupt if the database
// is some other program's.
base::Result<void> migrate(Sql& sql);

}  // namespace keybroker::store
