// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <type_traits>

#include "tests/integration/freshness_model.h"
#include "vtpm/boot/acceptance.h"

namespace tests::freshness {

using vtpm::boot::Anchor;
using vtpm::boot::Record;

inline constexpr std::size_t kMostBoots = 5;
inline constexpr std::size_t kMostSlots = 3;
inline constexpr std::size_t kMostStates = 12;

// A store as it is on disk: the state, and what matters of its RECORD.
struct Store {
  Point at;
  Point acked;
  Point pending;
  Small offline_boots = 0;
  Small writer = 0;  // which boot, where stores are opened anew
};

enum class Phase : Small {
  kNone,
  kWaiting,   // for the answer to M1
  kAdmitted,  // its first commit is next
  kEarly,     // a mutant's: M2 is out, its commit is not
  kBooted,    // M2 is next
  kNoting,    // M2 is out
  kServing,
  kGone,
};

struct Instance {
  Phase phase = Phase::kNone;
  Small slot = 0;
  Small epoch = 0;
  Small again = 0;    // M1 was begun anew
  Small offline = 0;  // served without the broker
  Small used_restore = 0;
  Small failed = 0;  // a commit did, and what the store holds is not known
  Point last;        // that it has opened or seen stored, where stores are opened anew
  Point noted;       // what it knows that the broker has
  Store opened;
  Store next;  // what the next commit carries
};

enum class Sent : Small { kNo, kOnItsWay, kAtReplica, kGranted };

// What one boot has said, for as long as the network may still deliver it, and what came of it.
struct Said {
  Sent claim = Sent::kNo;
  Small seen = 0;          // by the replica that has M1 in hand
  BrokerRow answer;        // to M1
  Small epochs_held = 0;   // a bit for each that was acknowledged to this boot
  Sent boot = Sent::kNo;   // M2
  Sent close = Sent::kNo;  // M4
  Small used_restore = 0;
  Point boot_point;
  Point close_point;
  Point served_from;  // the boot's first state, once its guest has met its TPM
};

struct World {
  BrokerRow row;
  std::array<Store, kMostSlots> slots;
  std::array<Instance, kMostBoots> boots;
  std::array<Said, kMostBoots> said;
  std::array<Small, kMostStates> parent{};
  Small started = 0;
  Small states = 0;
  Small attacked = 0;  // a copy was put in the place of the VM's store, or started
  Small allowed_restores = 0;
  Small restored_in = 0;  // the epoch whose boot came back to an older state, as allowed
};

static_assert(std::is_trivially_copyable_v<World> && alignof(World) == 1, "told apart by bytes");

inline bool descends(const World& world, Small state, Small from) {
  while (state != 0 && state != from) {
    state = world.parent[state];
  }
  return state == from;
}

inline Small new_state(World& world, Small parent) {
  ++world.states;
  world.parent[world.states] = parent;
  return world.states;
}

inline bool is_unused(const Store& store) { return !store.acked.is_there(); }

// Whether a store has the record that its instance would have it carry.
inline bool has_record_of(const Store& store, const Store& next) {
  return store.acked.state == next.acked.state && store.pending.state == next.pending.state &&
         store.offline_boots == next.offline_boots;
}

inline Anchor anchor_of(const Point& point, Mutant mutant) {
  Anchor anchor{.epoch = point.epoch, .sequence = point.sequence};
  anchor.digest[0] = std::byte{mutant == Mutant::kSequenceWithoutDigest ? Small{0} : point.state};
  return anchor;
}

inline std::optional<Anchor> maybe_anchor_of(const Point& point, Mutant mutant) {
  return point.is_there() ? std::optional(anchor_of(point, mutant)) : std::nullopt;
}

inline Point point_of(const std::optional<Anchor>& anchor) {
  return anchor ? Point{static_cast<Small>(anchor->epoch), static_cast<Small>(anchor->sequence),
                        static_cast<Small>(anchor->digest[0])}
                : Point{};
}

inline Record record_of(const Store& store, Mutant mutant) {
  Record record;
  record.acked = maybe_anchor_of(store.acked, mutant);
  record.pending = maybe_anchor_of(store.pending, mutant);
  record.offline_boots = store.offline_boots;
  return record;
}

inline void carry(Store& store, const Record& record) {
  store.acked = point_of(record.acked);
  store.pending = point_of(record.pending);
  store.offline_boots = static_cast<Small>(record.offline_boots);
}

inline bool is_live(const Instance& boot) {
  return boot.phase != Phase::kNone && boot.phase != Phase::kGone;
}

struct Fingerprint {
  std::uint64_t one = 0;
  std::uint64_t other = 0;

  friend bool operator==(const Fingerprint&, const Fingerprint&) = default;
};

// 128 bits of a world (two rounds of multiply and fold with different constants).
inline Fingerprint fingerprint_of(const World& world) {
  std::array<std::uint64_t, (sizeof(World) + 7) / 8> words{};
  std::memcpy(words.data(), &world, sizeof(World));
  Fingerprint print{0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F};
  const auto mix = [](std::uint64_t sum, std::uint64_t factor) {
    sum ^= sum >> 29;
    sum *= factor;
    return sum ^ (sum >> 32);
  };
  for (const auto word : words) {
    print.one = mix(print.one ^ word, 0xBF58476D1CE4E5B9) + 0x632BE59BD9B4E019;
    print.other = mix(print.other + word, 0x94D049BB133111EB) ^ 0xA0761D6478BD642F;
  }
  return print;
}

struct FingerprintHash {
  std::size_t operator()(const Fingerprint& print) const { return print.one; }
};

}  // namespace tests::freshness
