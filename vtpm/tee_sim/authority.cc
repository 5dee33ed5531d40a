// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/authority.h"

#include <algorithm>
#include <string_view>

namespace vtpm::tee_sim {

namespace {

constexpr std::string_view kBegin = "-----BEGIN ";

std::string_view text_of(base::ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "keys of the simulated machine: " + why);
}

// blocks_of() cuts the text in front of each BEGIN line. The views end with `bundle`.
std::vector<base::ByteView> blocks_of(base::ByteView bundle) {
  const auto text = text_of(bundle);
  std::vector<base::ByteView> blocks;
  for (std::size_t begin = 0; begin < text.size();) {
    const auto next = std::min(text.find(kBegin, begin + 1), text.size());
    blocks.push_back(bundle.subspan(begin, next - begin));
    begin = next;
  }
  return blocks;
}

}  // namespace

base::Result<Authority> certify(const keybroker::crypto::CertificateSpec& spec,
                                const keybroker::crypto::PrivateKey& key,
                                const keybroker::crypto::PrivateKey& issuer) {
  TRY_ASSIGN(certificate, issue(spec, key.public_key(), issuer));
  return Authority{key, std::move(certificate)};
}

base::Result<base::SecretBytes> encode_bundle(const std::vector<const Authority*>& authorities) {
  std::vector<base::SecretBytes> keys;
  std::vector<std::string> certificates;
  std::size_t size = 0;
  for (const auto* authority : authorities) {
    TRY_ASSIGN(key, authority->key.to_pem());
    keys.push_back(std::move(key));
    certificates.push_back(authority->certificate.pem());
    size += keys.back().size() + certificates.back().size();
  }
  base::SecretBytes bundle(size);
  auto out = bundle.fill().begin();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    out = std::ranges::copy(keys[i].expose(), out).out;
    out = std::ranges::copy(base::bytes_of(certificates[i]), out).out;
  }
  return bundle;
}

base::Result<std::vector<Authority>> decode_bundle(base::ByteView bundle, std::size_t count) {
  const auto blocks = blocks_of(bundle);
  if (blocks.size() != 2 * count) {
    return corrupt("expected " + std::to_string(count) + " keys with their certificates");
  }
  std::vector<Authority> authorities;
  for (std::size_t i = 0; i < count; ++i) {
    TRY_ASSIGN(key, keybroker::crypto::PrivateKey::from_pem(blocks[2 * i]));
    TRY_ASSIGN(certificates,
               keybroker::crypto::decode_pem_certificates(text_of(blocks[2 * i + 1]), 1));
    if (certificates[0].public_key() != key.public_key()) {
      return corrupt("certificate " + std::to_string(i) + " is not for the key in front of it");
    }
    authorities.push_back({std::move(key), std::move(certificates[0])});
  }
  return authorities;
}

}  // namespace vtpm::tee_sim
