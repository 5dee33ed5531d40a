// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/td_report.h"

// Its hashes keep random bytes out, so every input gets the right ones first.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::evidence;
  const auto bytes = std::as_bytes(std::span(data, size));
  if (size != kTdReportBytes || decode_td_report(bytes)) {
    return 0;
  }
  auto raw = base::load<TdReportLayout>(bytes.first<kTdReportBytes>());
  fill_inner_hashes(raw);
  static_cast<void>(decode_td_report(base::view(raw)));
  return 0;
}
