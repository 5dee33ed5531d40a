// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <utility>

#include "vmgs/inspect/explanation.h"
#include "vmgs/inspect/ownership.h"
#include "vmgs/storage/memory.h"

// Whatever the bytes are: each block is somebody's or nobody's, and something is said of them.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace inspect = vmgs::inspect;
  constexpr std::size_t kMostBytes = 1 << 17;
  if (size > kMostBytes) {
    return 0;
  }
  const auto bytes = std::as_bytes(std::span(data, size));
  if (inspect::explain_file(inspect::recognise_file(bytes), "FILE").next.empty()) {
    std::abort();
  }
  // Whole blocks, with room for a few files behind the input.
  base::Bytes image(std::max<std::size_t>((size + 4095) / 4096, 8) * 4096);
  std::copy(bytes.begin(), bytes.end(), image.begin());
  vmgs::storage::MemoryDevice device(std::move(image));
  vmgs::volume::DatastoreKey key{base::Secret<32>::zero()};
  std::fill(key.bytes.fill().begin(), key.bytes.fill().end(), std::byte{0x5A});
  for (const auto* given :
       {static_cast<const vmgs::volume::DatastoreKey*>(nullptr), &std::as_const(key)}) {
    const auto survey = inspect::survey(device, vmgs::format::HeaderSpacing::k512, given);
    const auto examination =
        vmgs::repair::examine(device, vmgs::format::HeaderSpacing::k512, given);
    if (!survey || !examination) {
      continue;
    }
    const auto provenance = inspect::tell_provenance(device, *survey);
    const auto told = inspect::explain_store(device, {"FILE", *survey, provenance, *examination});
    if (told.what.empty() || told.next.empty()) {
      std::abort();
    }
    if (survey->state() != nullptr) {
      const auto ownership =
          inspect::own(survey->capacity_blocks, *survey->state(), survey->previous());
      std::uint64_t next = 0;
      for (const auto& extent : ownership.extents) {
        if (extent.first_block != next || extent.blocks == 0) {
          std::abort();
        }
        next += extent.blocks;
      }
      if (next != survey->capacity_blocks) {
        std::abort();
      }
    }
  }
  return 0;
}
