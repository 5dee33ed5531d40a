// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "keybroker/evidence/snp_report.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::evidence;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto report = decode_snp_report(bytes);
  if (report &&
      (report->cpu.has_value() != (report->version >= 3) || bytes[0x4C] != std::byte{0})) {
    std::abort();
  }
  return 0;
}
