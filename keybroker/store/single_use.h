// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "keybroker/store/sql.h"
#include "keybroker/store/vm_record.h"

namespace keybroker::store {

// use_once() uses up a nonce of a VM and writes down, as a line of that `kind`, what it was used
// for: one transaction. False, and nothing is written, if another request used it before. It is
// remembered for an hour beyond `expires`; whoever made the nonce refuses it from then on. It
// shares its table with the challenges of releases, so that nothing is used for both.
base::Result<bool> use_once(Sql& sql, const Uuid& vm_id, const Nonce& nonce, crypto::Time expires,
                            std::string_view kind, const Act& act);

}  // namespace keybroker::store
