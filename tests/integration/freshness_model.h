// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tests::freshness {

// Everything in a world is bytes, so that worlds are told apart by their bytes.
using Small = std::uint8_t;

// A state of a store: the epoch in which it was noted, S, and in the place of D(S) a number that no
// other state has. No state has 0.
struct Point {
  Small epoch = 0;
  Small sequence = 0;
  Small state = 0;

  [[nodiscard]] bool is_there() const { return state != 0; }
};

// A fault that the protocol must not have; the model has to find each.
enum class Mutant {
  kNone,
  kSequenceWithoutDigest,  // states are compared by S alone
  kAnchorBeforeDurable,    // M2 names a commit that may still be lost
  kPendingNotCarried,      // what was sent is not in the next commits
  kFencingWithoutOwner,    // a claim does not compare, an anchor looks at its epoch alone
  kListenBeforeAnchor,     // the guest is served before M2
  kNotedUnrecorded,        // M4 and a late M2 name a state that has another one pending
  kReopenedUnseen,         // what is there after a commit failed is taken for the state that was
};

// BrokerRow is a VM's row at the broker, and what the two UPDATE statements of
// keybroker/store/claims.cc do to it. Boots count from 1.
struct BrokerRow {
  Small epoch = 0;
  Small owner = 0;
  Point anchor;
  Small restores = 0;
  Point allowed;  // to be restored

  // claim() is M1 by a replica that has seen the row in epoch `seen`; anchor() is M2 and M4. False
  // where no row is changed.
  bool claim(Small boot, Small seen, Mutant mutant = Mutant::kNone);
  bool note(Small boot, const Point& point, bool used_restore, Mutant mutant = Mutant::kNone);
};

// How far a world goes. A slot is a place that a store can be copied to; the VM's own is the first.
struct Bounds {
  int boots = 3;
  int slots = 1;
  int commits = 6;
  int restores = 0;      // that the owner may allow
  bool offline = false;  // boots without the broker, and their return to it
  bool reopens = false;  // commits that fail, after which the store is opened anew
  Mutant mutant = Mutant::kNone;
};

enum class Property {
  kOneOwner,        // an epoch is acknowledged to one boot
  kNothingUndone,   // an anchor, or a boot that was served, stays unless `restores` counts it
  kHonestAccepted,  // where nobody put a copy in its place, the state that is there is accepted
};

struct Violation {
  Property property;
  std::vector<std::string> steps;  // from the beginning
};

struct Explored {
  std::size_t worlds = 0;
  std::size_t served = 0;   // of them, with a boot that is served
  std::size_t refused = 0;  // states that judge() turned away
  std::optional<Violation> violation;
};

// explore() goes through every world within `bounds`: boots that crash anywhere, a network that
// loses, holds back and repeats M1, M2 and M4, replicas of the broker that restart, and whoever has
// the storage. It ends at the first violation, which is one of the shortest.
Explored explore(const Bounds& bounds);

}  // namespace tests::freshness
