// SPDX-License-Identifier: Apache-2.0
#include <string_view>

#include "keybroker/evidence/policy_json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static_cast<void>(keybroker::evidence::decode_policy(
      std::string_view(reinterpret_cast<const char*>(data), size)));
  return 0;
}
