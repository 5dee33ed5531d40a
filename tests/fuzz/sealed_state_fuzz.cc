// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>

#include "vtpm/handover/sealed_state.h"

namespace {

// One claim for all inputs; it needs its files no more once it is held.
const vtpm::handover::Claim& claim() {
  static const auto made = [] {
    auto folder = (std::filesystem::temp_directory_path() / "claim-XXXXXX").string();
    if (::mkdtemp(folder.data()) == nullptr) {
      std::abort();
    }
    auto claimed = vtpm::handover::Claim::make(std::filesystem::path(folder) / "ticket", {});
    std::filesystem::remove_all(folder);
    return claimed;
  }();
  return *made;
}

}  // namespace

// The input is TPM state that came through two hypervisors, but for the ticket's id, which nobody
// draws. Nobody seals without the ticket's key, so that nothing opens.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kIdAt = 20;
  auto bytes = base::copy_of(std::as_bytes(std::span(data, size)));
  const auto& id = claim().ticket().id;
  if (bytes.size() >= kIdAt + id.size()) {
    std::copy(id.begin(), id.end(), bytes.begin() + kIdAt);
  }
  if (vtpm::handover::open_state(claim(), bytes)) {
    std::abort();
  }
  // And what is sealed opens.
  const auto sealed = vtpm::handover::seal_state(claim().ticket(), {.epoch = 1}, bytes);
  const auto opened =
      sealed ? vtpm::handover::open_state(claim(), *sealed) : base::fail(sealed.error());
  if (sealed.has_value() == bytes.empty() ||
      (opened && base::copy_of(opened->state.expose()) != bytes) ||
      opened.has_value() != sealed.has_value()) {
    std::abort();
  }
  return 0;
}
