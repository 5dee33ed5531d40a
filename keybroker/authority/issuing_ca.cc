// SPDX-License-Identifier: Apache-2.0
#include "keybroker/authority/issuing_ca.h"

#include <array>

#include "keybroker/evidence/trust_store.h"
#include "vmgs/crypto/random.h"

namespace keybroker::authority {

namespace {

constexpr auto kLife = std::chrono::days(3652);

crypto::DistinguishedName root_name(AkClass ak_class) {
  return {{"O", "Strongroom"}, {"CN", "AK root (" + std::string(name(ak_class)) + ")"}};
}

base::Result<crypto::CertificateSpec> authority_spec(AkClass ak_class, crypto::Time now) {
  // 64 random bits and more (CA/Browser Forum Baseline Requirements, 7.1); the first bit is clear,
  // the second set, so that the number has always 16 bytes.
  std::array<std::byte, 16> serial{};
  TRY(vmgs::crypto::random_bytes(serial));
  serial[0] = (serial[0] & std::byte{0x3F}) | std::byte{0x40};
  crypto::CertificateSpec spec;
  spec.serial = base::copy_of(serial);
  spec.issuer = root_name(ak_class);
  spec.not_before = now;
  spec.not_after = now + kLife;
  spec.key_identifiers = true;
  if (ak_class == AkClass::kSimulated) {
    constexpr std::array kNull{std::byte{0x05}, std::byte{0x00}};
    spec.extensions = {{std::string(evidence::kSimulatedMarkerOid), false, base::copy_of(kNull)}};
  }
  return spec;
}

}  // namespace

crypto::DistinguishedName ca_name(AkClass ak_class) {
  return {{"O", "Strongroom"}, {"CN", "AK CA (" + std::string(name(ak_class)) + ")"}};
}

base::Result<IssuingCa> make_issuing_ca(AkClass ak_class, crypto::Time now) {
  TRY_ASSIGN(root_key, crypto::PrivateKey::generate_ec(crypto::Curve::kP384));
  TRY_ASSIGN(root_spec, authority_spec(ak_class, now));
  root_spec.subject = root_name(ak_class);
  root_spec.authority = crypto::AuthorityConstraints{std::nullopt, true};
  TRY_ASSIGN(root, crypto::issue(root_spec, root_key.public_key(), root_key));
  TRY_ASSIGN(key, crypto::PrivateKey::generate_ec(crypto::Curve::kP384));
  TRY_ASSIGN(spec, authority_spec(ak_class, now));
  spec.subject = ca_name(ak_class);
  spec.authority = crypto::AuthorityConstraints{0, true};
  TRY_ASSIGN(certificate, crypto::issue(spec, key.public_key(), root_key));
  return IssuingCa{std::move(key), std::move(certificate), std::move(root)};
}

}  // namespace keybroker::authority
