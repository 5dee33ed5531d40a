// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdlib>
#include <span>

#include "keybroker/crypto/key_transfer.h"
#include "tests/support/wrapping_vectors.h"

// The first byte chooses the algorithm. What opens is of the length that its sealed form says.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::crypto;
  namespace vectors = tests::support::wrapping_vectors;
  static const auto ecdh = *PrivateKey::from_pkcs8(*base::from_hex(vectors::kP384));
  static const auto rsa = *PrivateKey::from_pkcs8(*base::from_hex(vectors::kRsa3072));
  const auto bytes = std::as_bytes(std::span(data, size));
  if (bytes.empty()) {
    return 0;
  }
  const bool is_rsa = bytes[0] == std::byte{2};
  const auto algorithm =
      is_rsa ? TransferAlgorithm::kRsa3072OaepSha384 : TransferAlgorithm::kEcdhP384;
  static constexpr std::string_view kInfo = "the claims";
  const auto sealed = bytes.subspan(1);
  const auto opened =
      open_sealed_to(is_rsa ? rsa : ecdh, algorithm, std::as_bytes(std::span(kInfo)), sealed);
  if (opened && sealed_transfer_bytes(algorithm, opened->expose().size()) != sealed.size()) {
    std::abort();
  }
  return 0;
}
