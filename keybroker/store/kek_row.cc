// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/kek_row.h"

#include "keybroker/store/columns.h"

namespace keybroker::store {

base::Result<void> hold_keks(Sql& sql, const Uuid& tenant) {
  TRY(sql.execute("UPDATE tenant SET name = name WHERE tenant_id = $1", {value_of(tenant)}));
  return {};
}

base::Result<void> expect_newest_kek(Sql& sql, const Uuid& tenant, std::uint64_t version) {
  TRY(hold_keks(sql, tenant));
  TRY_ASSIGN(rows, sql.execute("SELECT coalesce(max(version), 0) FROM kek WHERE tenant_id = $1",
                               {value_of(tenant)}));
  TRY_ASSIGN(newest, number(rows.at(0), 0));
  if (version < newest) {
    return base::fail(base::ErrorCode::kUnavailable,
                      "the tenant's key-encryption key was replaced meanwhile; ask again");
  }
  return {};
}

}  // namespace keybroker::store
