// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <string_view>

#include "keybroker/evidence/bundle.h"
#include "keybroker/evidence/foreign_evidence.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::evidence;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto judged = [](const Evidence& evidence) {
    const auto verdict = verify(evidence, Policy(), Collateral(), TrustStore::production(),
                                keybroker::crypto::Time());
    if (verdict.accepted) {
      std::abort();
    }
  };
  if (const auto evidence = decode_bundle(text)) {
    const auto written = encode_bundle(*evidence);
    if (!written || *encode_bundle(*decode_bundle(*written)) != *written) {
      std::abort();
    }
    judged(*evidence);
  }
  if (const auto evidence = decode_foreign_json(text)) {
    judged(*evidence);
  }
  static_cast<void>(decode_bincode_quote(std::as_bytes(std::span(data, size))));
  return 0;
}
