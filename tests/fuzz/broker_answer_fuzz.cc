// SPDX-License-Identifier: Apache-2.0
#include <span>

#include "keybroker/client/answer.h"

// What a broker's road brings: as a signed message, and as the body that a broker has signed.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::client;
  const auto bytes = std::as_bytes(std::span(data, size));
  const Belief belief{.vm_id = {std::byte{'v'}, std::byte{'m'}}, .broker_roots = {{}}};
  (void)believe(bytes, {}, belief);
  (void)open_receipt(bytes, belief);
  (void)decode_answer(bytes, belief.vm_id);
  return 0;
}
