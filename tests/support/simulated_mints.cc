// SPDX-License-Identifier: Apache-2.0
#include "tests/support/simulated_mints.h"

#include <openssl/objects.h>
#include <openssl/x509.h>

#include <array>
#include <map>

namespace tests::support {

using vtpm::tee_sim::SnpMint;

keybroker::crypto::Time mint_begin() {
  return *keybroker::crypto::parse_time("2026-01-01T12:00:00Z");
}

const base::Secret<32>& mint_secret() {
  static const auto secret = [] {
    std::array<std::byte, 32> bytes{};
    bytes.fill(std::byte{0x5E});
    return base::Secret<32>::copy_of(bytes);
  }();
  return secret;
}

const SnpMint::Keys& snp_mint_keys() {
  static const auto keys = *SnpMint::Keys::generate();
  return keys;
}

const SnpMint& snp_mint(keybroker::evidence::SnpProduct product) {
  static std::map<keybroker::evidence::SnpProduct, SnpMint> mints;
  const auto found = mints.find(product);
  if (found != mints.end()) {
    return found->second;
  }
  return mints.emplace(product, *SnpMint::make(product, snp_mint_keys(), mint_begin()))
      .first->second;
}

const vtpm::tee_sim::TdxMint& tdx_mint() {
  static const auto mint = *vtpm::tee_sim::TdxMint::make(mint_begin());
  return mint;
}

std::vector<std::string> extension_oids(const keybroker::crypto::Certificate& certificate) {
  std::vector<std::string> oids;
  for (int i = 0; i < X509_get_ext_count(certificate.handle()); ++i) {
    std::array<char, 128> text{};
    const auto* object = X509_EXTENSION_get_object(X509_get_ext(certificate.handle(), i));
    OBJ_obj2txt(text.data(), static_cast<int>(text.size()), object, 1);
    oids.emplace_back(text.data());
  }
  return oids;
}

}  // namespace tests::support
