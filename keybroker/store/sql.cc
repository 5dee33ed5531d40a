// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/sql.h"

#include <utility>

namespace keybroker::store {

namespace {

// Each conflict means that another transaction got through.
constexpr int kAttempts = 20;

}  // namespace

base::Result<Commit> Sql::transaction(const std::function<base::Result<Then>()>& steps) {
  for (int attempt = 1;; ++attempt) {
    TRY(begin());
    auto then = steps();
    if (then && *then == Then::kRollBack) {
      roll_back();
      return Commit::kDurable;
    }
    base::Result<Commit> committed = Commit::kDurable;
    if (then) {
      committed = commit();
      if (committed) {
        return committed;
      }
    }
    const bool again = conflicted() && attempt < kAttempts;
    roll_back();
    if (!again) {
      return base::fail(then ? std::move(committed).error() : std::move(then).error());
    }
  }
}

}  // namespace keybroker::store
