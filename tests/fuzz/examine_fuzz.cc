// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <map>

#include "vmgs/repair/examine.h"
#include "vmgs/repair/plan.h"
#include "vmgs/repair/salvage.h"
#include "vmgs/storage/memory.h"
#include "vmgs/volume/volume.h"

// The input is a store, which the seeds encrypt under a key of 32 times 0x5A. A store that a check
// calls clean must open. A repair ends, leaves nothing to repair, and loses no file that reads.
namespace {

using namespace vmgs;

std::map<format::FileId, base::Bytes> contents(storage::BlockDevice& device,
                                               const volume::DatastoreKey* key) {
  std::map<format::FileId, base::Bytes> result;
  auto opened = volume::Volume::open(device, format::HeaderSpacing::k512);
  if (!opened) {
    return result;
  }
  if (opened->encrypted() && key != nullptr) {
    (void)opened->unlock(volume::fixed_key(key->clone())).has_value();
  }
  for (const auto& file : opened->files()) {
    if (const auto content = opened->read(file.id)) {
      result[file.id] = base::copy_of(content->expose());
    }
  }
  return result;
}

void repair_in_memory(const base::Bytes& input, const volume::DatastoreKey* key) {
  storage::MemoryDevice device(input);
  repair::Patient patient;
  patient.spacing = format::HeaderSpacing::k512;
  const auto plan = repair::plan_repair(device, patient, key, {});
  if (!plan || device.contents() != input) {
    std::abort();
  }
  const auto before = contents(device, key);
  bool newer_state = false;
  for (const auto& step : plan->steps) {
    // These lead to a state that opens beyond doubt and is newer than the one that opened before.
    newer_state = newer_state || step.code == "bad-header" || step.code == "wrong-spacing" ||
                  step.code == "bad-extended-entry";
    if (!repair::apply(device, step)) {
      std::abort();
    }
  }
  const auto after = contents(device, key);
  for (const auto& [id, content] : before) {
    const auto found = after.find(id);
    if (!newer_state && (found == after.end() || found->second != content)) {
      std::abort();
    }
  }
  const auto again = repair::plan_repair(device, patient, key, {});
  if (!again || !again->steps.empty()) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 64 * 1024) {
    return 0;
  }
  storage::MemoryDevice device(base::copy_of(std::as_bytes(std::span(data, size))));
  volume::DatastoreKey key{base::Secret<32>::zero()};
  std::ranges::fill(key.bytes.fill(), std::byte{0x5A});
  for (const auto* with :
       {static_cast<const volume::DatastoreKey*>(nullptr), &std::as_const(key)}) {
    repair_in_memory(device.contents(), with);
    const auto salvaged =
        repair::salvage(device, with, [](const repair::Salvaged&) { return base::Result<void>(); });
    if (!salvaged && salvaged.error().code != base::ErrorCode::kCorrupt) {
      std::abort();
    }
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
