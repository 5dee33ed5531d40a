// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "keybroker/broker/cluster_secret.h"

namespace tests::fuzz {

// The secret of the seeds' challenges, which end in 2096.
inline const keybroker::broker::ClusterSecrets& secrets() {
  using keybroker::broker::ClusterSecrets;
  static const auto made = [] {
    std::array<std::byte, 32> bytes{};
    bytes.fill(std::byte{0x42});
    std::vector<ClusterSecrets::Version> versions;
    versions.push_back({1, base::Secret<32>::copy_of(bytes)});
    return *ClusterSecrets::with(std::move(versions));
  }();
  return made;
}

}  // namespace tests::fuzz
