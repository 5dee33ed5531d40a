// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/single_use.h"

#include "keybroker/store/audit_log.h"
#include "keybroker/store/columns.h"
#include "keybroker/store/once.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::store {

base::Result<bool> use_once(Sql& sql, const Uuid& vm_id, const Nonce& nonce, crypto::Time expires,
                            std::string_view kind, const Act& act) {
  TRY(sql.is_durable());
  bool unused = false;
  const auto steps = [&]() -> base::Result<Then> {
    // A commit whose outcome was not known is asked for again, and must know itself.
    TRY_ASSIGN(known, find_request(sql, vm_subject(vm_id), act.request_id));
    if (known) {
      unused = known->kind == kind;
      return Then::kCommit;
    }
    TRY_ASSIGN(rows,
               sql.execute("INSERT INTO nonce_used (vm_id, nonce, expires) VALUES ($1, $2, $3) "
                           "ON CONFLICT (vm_id, nonce) DO NOTHING RETURNING expires",
                           {value_of(vm_id), value_of(nonce), value_of(expires)}));
    unused = !rows.empty();
    if (!unused) {
      // The use may be this one: a commit that became visible while the insert waited for it.
      TRY_ASSIGN(meanwhile, find_request(sql, vm_subject(vm_id), act.request_id));
      unused = meanwhile && meanwhile->kind == kind;
      return unused ? Then::kCommit : Then::kRollBack;
    }
    TRY(append_audit(sql, vm_subject(vm_id), kind, act));
    TRY(note_request(sql, vm_subject(vm_id), kind, vmgs::crypto::sha256(nonce), act));
    return Then::kCommit;
  };
  TRY(settle(sql, steps));
  return unused;
}

}  // namespace keybroker::store
