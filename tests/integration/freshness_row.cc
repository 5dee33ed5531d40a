// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/freshness_model.h"

namespace tests::freshness {

bool BrokerRow::claim(Small boot, Small seen, Mutant mutant) {
  if (epoch != seen && mutant != Mutant::kFencingWithoutOwner) {
    return false;
  }
  epoch = owner == boot ? epoch : static_cast<Small>(seen + 1);
  owner = boot;
  return true;
}

bool BrokerRow::note(Small boot, const Point& point, bool used_restore, Mutant mutant) {
  const bool owns = owner == boot || mutant == Mutant::kFencingWithoutOwner;
  const bool moves = !anchor.is_there() || anchor.sequence < point.sequence ||
                     (used_restore && anchor.epoch < point.epoch);
  if (epoch != point.epoch || !owns || !moves || (used_restore && !allowed.is_there())) {
    return false;
  }
  anchor = point;
  if (used_restore) {
    ++restores;
    allowed = {};
  }
  return true;
}

}  // namespace tests::freshness
