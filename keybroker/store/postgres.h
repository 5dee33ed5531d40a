// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "keybroker/store/sql.h"

namespace keybroker::store {

// How long PostgreSQL may take for one statement. One that waits longer, for a lock or for a
// standby, loses its connection: a commit among them is Commit::kUnknown.
inline constexpr std::chrono::seconds kPostgresPatience{10};

// has_password() tells whether a connection string or URI has a password in it.
// kInvalidArgument if libpq cannot read it; the message does not contain it.
base::Result<bool> has_password(const std::string& where);

// open_postgres() connects to the server of `where` (a libpq connection string or URI, which may
// name several hosts) that takes writes. A connection that is lost is made again at the next
// transaction or statement outside of one, to whichever server takes writes then. A setting of the
// server that gives up durability is logged as a warning; is_durable() names it. Errors:
// kUnavailable if no such server answers; messages never contain the connection string.
base::Result<std::unique_ptr<Sql>> open_postgres(
    std::string where, std::chrono::milliseconds patience = kPostgresPatience);

}  // namespace keybroker::store
