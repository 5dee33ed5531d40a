// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <span>

#include "keybroker/broker/anchor_request.h"
#include "tests/fuzz/cluster_secret.h"

namespace broker = keybroker::broker;

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
  (void)broker::judge_mac(*message, tests::fuzz::secrets());
  return 0;
}
