// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "keybroker/broker/anchor_request.h"

namespace broker = keybroker::broker;

namespace {

const broker::ClusterSecrets& secrets() {
  static const auto made = [] {
    std::array<std::byte, 32> bytes{};
    bytes.fill(std::byte{0x42});
    std::vector<broker::ClusterSecrets::Version> versions;
    versions.push_back({1, base::Secret<32>::copy_of(bytes)});
    return *broker::ClusterSecrets::with(std::move(versions));
  }();
  return made;
}

}  // namespace

// All that is done with an anchor before a record is read. A renewal moves nothing, and an anchor
// has a sequence.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto message = broker::decode_anchor_request(std::as_bytes(std::span(data, size)));
  if (!message) {
    return 0;
  }
  const bool renewal = message->step == broker::AnchorStep::kRenewal;
  if (renewal != (message->state.sequence == 0) || message->mac.size() != 32) {
    __builtin_trap();
  }
  (void)broker::judge_mac(*message, secrets());
  return 0;
}
