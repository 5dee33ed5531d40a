// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "keybroker/evidence/tpm_public.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::evidence;
  constexpr std::size_t kMostBytes = 4096;
  const auto area = decode_tpm_public(std::as_bytes(std::span(data, std::min(size, kMostBytes))));
  if (area && (area->name.size() < 2 + 32 || endorsement_qualified_name(area->name).empty())) {
    std::abort();
  }
  return 0;
}
