// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>

#include "keybroker/store/sql.h"

namespace keybroker::store {

// open_sqlite() opens an SQLite file, made empty and readable by its owner alone if there is none.
// It writes ahead (WAL), syncs at each commit (synchronous = FULL) and waits up to five seconds for
// the lock of another connection. kCorrupt if it is no database.
base::Result<std::unique_ptr<Sql>> open_sqlite(const std::filesystem::path& path);

// back_up_sqlite() writes all that is committed in `database`, which open_sqlite() made, into a new
// file: whole and synced, or not there. The database may be in use. kDenied if `path` exists;
// kInvalidArgument for PostgreSQL, whose own tools do this.
base::Result<void> back_up_sqlite(Sql& database, const std::filesystem::path& path);

// check_backup() reads a backup through: kCorrupt, with what SQLite finds, if it is damaged.
base::Result<void> check_backup(const std::filesystem::path& path);

}  // namespace keybroker::store
