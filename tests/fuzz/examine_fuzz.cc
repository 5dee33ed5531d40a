// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "vmgs/repair/examine.h"
#include "vmgs/storage/memory.h"
#include "vmgs/volume/volume.h"

// The input is a store, which the seeds encrypt under a key of 32 times 0x5A. A store that a check
// calls clean must open.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vmgs;
  if (size > 64 * 1024) {
    return 0;
  }
  storage::MemoryDevice device(base::copy_of(std::as_bytes(std::span(data, size))));
  volume::DatastoreKey key{base::Secret<32>::zero()};
  std::ranges::fill(key.bytes.fill(), std::byte{0x5A});
  for (const auto* with :
       {static_cast<const volume::DatastoreKey*>(nullptr), &std::as_const(key)}) {
    const auto examination = repair::examine(device, format::HeaderSpacing::k512, with);
    if (!examination) {
      std::abort();
    }
    if (!examination->clean()) {
      continue;
    }
    auto opened = volume::Volume::open(device, format::HeaderSpacing::k512);
    if (!opened || (with != nullptr && !opened->unlock(volume::fixed_key(with->clone())))) {
      std::abort();
    }
  }
  return 0;
}
