// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdlib>

#include "vmgs/base/cursor.h"
#include "vtpm/protocol/header.h"
#include "vtpm/provision/report_request.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > vtpm::protocol::kMaxCommandBytes) {
    return 0;
  }
  const auto command = std::as_bytes(std::span(data, size));
  if (!vtpm::provision::asks_for_report(command)) {
    return 0;
  }
  // A command that does is whole, and names one of the two indices as its second or third handle.
  base::Reader in(command);
  const auto begin = in.bytes(vtpm::protocol::kHeaderBytes + 4);
  const auto second = in.u32_be();
  const auto third = in.u32_be();
  const auto is_ours = [](const auto& handle) {
    return handle && (*handle == 0x01400001 || *handle == 0x01400003);
  };
  if (!begin || (!is_ours(second) && !is_ours(third))) {
    std::abort();
  }
  return 0;
}
