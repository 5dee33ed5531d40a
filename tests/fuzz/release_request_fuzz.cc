// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdint>
#include <span>

#include "keybroker/broker/release_key.h"
#include "keybroker/broker/release_request.h"
#include "tests/fuzz/cluster_secret.h"

namespace broker = keybroker::broker;

// All that is done with a request before a record is read: a request that is admitted has a key
// that a secret can be sealed to, and sealing never fails for the key's sake.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto request = broker::decode_release_request(bytes);
  if (!request) {
    return 0;
  }
  static const auto now = *keybroker::crypto::parse_time("2026-11-22T07:00:00Z");
  const auto admitted = broker::admit(*request, tests::fuzz::secrets(), now);
  if (admitted) {
    const std::array<std::byte, 64> keys{};
    if (!keybroker::crypto::seal_to(admitted->transfer_key, admitted->algorithm, {}, keys)) {
      __builtin_trap();
    }
  }
  return 0;
}
