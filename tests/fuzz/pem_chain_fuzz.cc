// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "keybroker/crypto/certificate.h"
#include "keybroker/evidence/snp_endorsement.h"

// Certificates of a chain that somebody sent: what decodes is written again and read the same, and
// what an endorsement says is read without trusting it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker;
  const auto chain =
      crypto::decode_pem_certificates({reinterpret_cast<const char*>(data), size}, 4);
  if (!chain) {
    return 0;
  }
  std::string pem;
  for (const auto& certificate : *chain) {
    pem += certificate.pem();
    for (const auto product : {evidence::SnpProduct::kMilan, evidence::SnpProduct::kTurin}) {
      if (const auto kind = evidence::endorsement_kind(certificate)) {
        static_cast<void>(evidence::decode_endorsed_tcb(certificate, product));
        static_cast<void>(evidence::decode_endorsed_identity(certificate, product, *kind));
      }
    }
  }
  const auto again = crypto::decode_pem_certificates(pem, 4);
  if (!again || again->size() != chain->size() || again->front().der() != chain->front().der()) {
    std::abort();
  }
  return 0;
}
