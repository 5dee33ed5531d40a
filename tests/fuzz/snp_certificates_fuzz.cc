// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "keybroker/evidence/snp_certificates.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::evidence;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto certificates = decode_snp_certificates(bytes);
  // Where the objects lie is free, so the bytes need not come back; what they say must.
  if (certificates &&
      *decode_snp_certificates(encode_snp_certificates(*certificates)) != *certificates) {
    std::abort();
  }
  return 0;
}
