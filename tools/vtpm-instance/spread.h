// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <random>

namespace tools::vtpm_instance {

// spread() is a number from 0 to 1 (1 excluded) that keeps the VMs of a host from asking for
// something all at once. No secret.
inline double spread() {
  std::random_device source;
  return std::generate_canonical<double, 32>(source);
}

}  // namespace tools::vtpm_instance
