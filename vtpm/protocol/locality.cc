// SPDX-License-Identifier: Apache-2.0
#include "vtpm/protocol/locality.h"

#include <string>

namespace vtpm::protocol {

base::Result<Locality> Locality::of(std::uint8_t number) {
  if (number > 4) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "locality " + std::to_string(number) + " does not exist; use 0 to 4");
  }
  return Locality(number);
}

}  // namespace vtpm::protocol
