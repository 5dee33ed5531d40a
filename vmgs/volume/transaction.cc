// SPDX-License-Identifier: Apache-2.0
#include "vmgs/volume/transaction.h"

#include <algorithm>

namespace vmgs::volume {

void Transaction::put(format::FileId id, base::ByteView content, Protection protection) {
  set({id, false, content, protection, false});
}

void Transaction::remove(format::FileId id) { set({id, true, {}, Protection::kAsStore, false}); }

void Transaction::relocate(format::FileId id) { set({id, false, {}, Protection::kAsStore, true}); }

void Transaction::set(Change change) {
  const auto place =
      std::lower_bound(changes_.begin(), changes_.end(), change.id,
                       [](const Change& have, format::FileId id) { return have.id < id; });
  if (place != changes_.end() && place->id == change.id) {
    *place = change;
  } else {
    changes_.insert(place, change);
  }
}

}  // namespace vmgs::volume
