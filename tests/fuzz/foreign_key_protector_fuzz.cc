// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "tests/support/wrapping_vectors.h"
#include "vtpm/sealing/foreign_key_protector.h"
#include "vtpm/sealing/key_protector.h"

// The first byte picks the scheme and whether there is a DES key; the rest is the protector. The
// KEK is real, so that slots which open are found.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vtpm::sealing;
  namespace vectors = tests::support::wrapping_vectors;
  static const auto kek =
      *keybroker::crypto::PrivateKey::from_pkcs8(*base::from_hex(vectors::kRsa2048));
  static const auto des_key = *base::from_hex(vectors::kDesKeyByRsa);
  static const VmKey vm_key{base::Secret<32>::zero()};
  if (size == 0 || size > 2100) {
    return 0;
  }
  const auto protector = std::as_bytes(std::span(data, size)).subspan(1);
  ForeignSources sources;
  sources.kek = kek;
  if ((data[0] & 0x80) != 0) {
    sources.wrapped_des_key = des_key;
  }
  sources.host_seeds = {base::SecretBytes(32), base::SecretBytes(data[0] & 0x40)};
  sources.seed_by_id = base::SecretBytes(16);
  const auto keys = open_foreign(static_cast<ForeignScheme>(data[0] % 5), protector, sources);
  if (keys && (keys->empty() || keys->size() > 2)) {
    std::abort();
  }
  static_cast<void>(unwrap_dek(protector, vm_key).has_value());
  return 0;
}
