// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace tests::crash {

// seed_random() makes vmgs::crypto::random_bytes() of this program give the same bytes again, so
// that a seed replays a run sector by sector. Only programs of this folder link it, in place of the
// kernel's generator.
void seed_random(std::uint64_t seed);

}  // namespace tests::crash
