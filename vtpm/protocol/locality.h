// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "vmgs/base/result.h"

namespace vtpm::protocol {

// Locality is who on the platform speaks to the TPM, 0 to 4 (PC Client Platform TPM Profile, 6.2).
// The hypervisor vouches for it; the TPM believes it.
class Locality {
 public:
  constexpr Locality() = default;

  // of() accepts 0 to 4. kInvalidArgument otherwise.
  static base::Result<Locality> of(std::uint8_t number);

  [[nodiscard]] constexpr std::uint8_t number() const { return number_; }

  // may_reset_established() is true of the dynamic root of trust and its trusted operating system,
  // localities 3 and 4.
  [[nodiscard]] constexpr bool may_reset_established() const { return number_ >= 3; }

  friend constexpr bool operator==(Locality, Locality) = default;

 private:
  constexpr explicit Locality(std::uint8_t number) : number_(number) {}

  std::uint8_t number_ = 0;
};

}  // namespace vtpm::protocol
