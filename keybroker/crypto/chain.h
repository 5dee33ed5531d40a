// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/time.h"

namespace keybroker::crypto {

// Why a path from a leaf to a root is none.
enum class PathFault : std::uint8_t {
  kNone,
  kSignature,   // a certificate is not signed by the next one
  kIssuer,      // names do not meet, or the root is another one
  kConstraint,  // CA flags, path length, key usage, an unknown critical extension
};

// Whether the moment lies in the window of every certificate of a path.
enum class TimeFault : std::uint8_t { kNone, kNotYetValid, kExpired };

// PathVerdict is what is wrong with a path, each kind by itself: a path that has expired may be
// right in everything else, and who reads the verdict has to know.
struct PathVerdict {
  PathFault path = PathFault::kNone;
  TimeFault time = TimeFault::kNone;
  std::string path_detail;  // empty without a fault
  std::string time_detail;

  [[nodiscard]] bool good() const { return path == PathFault::kNone && time == TimeFault::kNone; }
};

// What a path may end in.
enum class Anchor : std::uint8_t {
  kRoot,       // a certificate that signed itself
  kAuthority,  // any authority that the caller names, an intermediate included
};

// verify_path() builds the path leaf, intermediates, root with OpenSSL at the time `now` and
// accepts it only if it has exactly these certificates in this order (RFC 5280, 6.1). The root is
// trusted because the caller says so: compare its fingerprint with a pin before. No key usage of
// the leaf is asked for, and no revocation: AMD's leaves have neither usage nor CRL.
PathVerdict verify_path(const Certificate& leaf, std::span<const Certificate> intermediates,
                        const Certificate& root, Time now, Anchor anchor = Anchor::kRoot);

// Validity is when something may be used: from the latest beginning to the earliest end.
struct Validity {
  Time from = Time::min();
  Time until = Time::max();

  // narrow() leaves what both allow.
  void narrow(const Validity& other);

  [[nodiscard]] bool contains(Time time) const { return from <= time && time <= until; }
};

// validity_of() is the window that all of them share.
Validity validity_of(std::span<const Certificate> certificates);

}  // namespace keybroker::crypto
