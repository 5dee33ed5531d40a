// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/seeded_random.h"

#include <random>

#include "vmgs/crypto/random.h"

namespace {

std::mt19937_64& generator() {
  static std::mt19937_64 the_generator;
  return the_generator;
}

}  // namespace

namespace tests::crash {

void seed_random(std::uint64_t seed) { generator().seed(seed); }

}  // namespace tests::crash

namespace vmgs::crypto {

base::Result<void> random_bytes(std::span<std::byte> out) {
  for (auto& byte : out) {
    byte = std::byte(static_cast<unsigned char>(generator()()));
  }
  return {};
}

}  // namespace vmgs::crypto
