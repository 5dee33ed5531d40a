// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "keybroker/evidence/hcl_report.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::evidence;
  const auto bytes = std::as_bytes(std::span(data, std::min(size, kMaxHclReportBytes + 1)));
  const auto report = decode_hcl_report(bytes);
  if (!report) {
    return 0;
  }
  // What has our own form is written again as it was, but for the zero behind it.
  const auto again = encode(*report);
  if (again && has_own_form(bytes) != std::ranges::equal(*again, bytes.first(again->size()))) {
    std::abort();
  }
  if (again && *decode_hcl_report(*again) != *report) {
    std::abort();
  }
  return 0;
}
