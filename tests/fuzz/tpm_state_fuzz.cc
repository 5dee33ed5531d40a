// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "vmgs/format/tpm_state.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vmgs::format;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto state = decode_tpm_state(bytes);
  if (state && !std::ranges::equal(encode_tpm_state(*state).expose(), bytes)) {
    std::abort();
  }
  // An envelope around the input always opens: so the fuzzer gets past the digest, too.
  const auto wrapped = encode_tpm_state({.blob = bytes});
  if (!decode_tpm_state(wrapped.expose())) {
    std::abort();
  }
  return 0;
}
