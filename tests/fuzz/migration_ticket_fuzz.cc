// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <span>

#include "vtpm/handover/ticket.h"

// The input is the ticket of a host that awaits a TPM. What decodes must encode to the same bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vtpm::handover;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto ticket = decode_ticket(bytes);
  if (ticket && base::copy_of(encode_ticket(*ticket).expose()) != base::copy_of(bytes)) {
    std::abort();
  }
  return 0;
}
