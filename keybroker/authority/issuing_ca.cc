// SPDX-License-Identifier: Apache-2.0
#include "keybroker/authority/issuing_ca.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

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
  spec.pkcs1 = true;
  if (ak_class == AkClass::kSimulated) {
    constexpr std::array kNull{std::byte{0x05}, std::byte{0x00}};
    spec.extensions = {{std::string(evidence::kSimulatedMarkerOid), false, base::copy_of(kNull)}};
  }
  return spec;
}

constexpr std::string_view kBeginCertificate = "-----BEGIN CERTIFICATE-----";

base::Result<crypto::PrivateKey> draw(CaKey kind) {
  return kind == CaKey::kP384 ? crypto::PrivateKey::generate_ec(crypto::Curve::kP384)
                              : crypto::PrivateKey::generate_rsa(3072);
}

auto damaged(const std::string& why) { return base::fail(base::ErrorCode::kCorrupt, why); }

std::string common_name(const crypto::DistinguishedName& name) { return name.back().second; }

// A file has a key's public half beside the private one, and only a signature tells whether the two
// belong together.
bool signs_for(const crypto::PrivateKey& key, const crypto::PublicKey& expected) {
  crypto::CrlSpec trial;
  trial.issuer = {{"CN", "a trial"}};
  const auto list = crypto::issue_crl(trial, key);
  return list && list->verify(expected);
}

// What makes a key and two certificates the CA of a class.
base::Result<void> examine(const IssuingCa& ca, AkClass ak_class) {
  const auto& certificate = ca.certificate;
  if (certificate.subject_common_name() != common_name(ca_name(ak_class)) ||
      ca.root.subject_common_name() != common_name(root_name(ak_class))) {
    return damaged("it is the CA '" + certificate.subject() + "', not that of class " +
                   std::string(name(ak_class)));
  }
  if (!certificate.public_key() || !signs_for(ca.key, *certificate.public_key())) {
    return damaged("its private key is not that of its certificate");
  }
  if (!certificate.is_ca() || !ca.root.is_ca() || !ca.root.public_key() ||
      !crypto::verify_issued(ca.root, *ca.root.public_key()) ||
      !crypto::verify_issued(certificate, *ca.root.public_key())) {
    return damaged("its certificate was not issued by its root");
  }
  const bool simulated = ak_class == AkClass::kSimulated;
  if (evidence::carries_simulated_marker(ca.root) != simulated ||
      evidence::carries_simulated_marker(certificate) != simulated) {
    return damaged("the mark of a simulator is missing, or out of place");
  }
  return {};
}

}  // namespace

crypto::DistinguishedName ca_name(AkClass ak_class) {
  return {{"O", "Strongroom"}, {"CN", "AK CA (" + std::string(name(ak_class)) + ")"}};
}

base::Result<IssuingCa> make_issuing_ca(AkClass ak_class, crypto::Time now, CaKey kind) {
  TRY_ASSIGN(root_key, draw(kind));
  TRY_ASSIGN(root_spec, authority_spec(ak_class, now));
  root_spec.subject = root_name(ak_class);
  root_spec.authority = crypto::AuthorityConstraints{std::nullopt, true};
  TRY_ASSIGN(root, crypto::issue(root_spec, root_key.public_key(), root_key));
  TRY_ASSIGN(key, draw(kind));
  TRY_ASSIGN(spec, authority_spec(ak_class, now));
  spec.subject = ca_name(ak_class);
  spec.authority = crypto::AuthorityConstraints{0, true};
  TRY_ASSIGN(certificate, crypto::issue(spec, key.public_key(), root_key));
  return IssuingCa{std::move(key), std::move(certificate), std::move(root)};
}

base::Result<base::SecretBytes> encode(const IssuingCa& ca) {
  TRY_ASSIGN(key, ca.key.to_pem());
  const auto certificates = ca.certificate.pem() + ca.root.pem();
  base::SecretBytes pem(key.size() + certificates.size());
  const auto out = pem.fill();
  const auto secret = key.expose();
  std::copy(secret.begin(), secret.end(), out.begin());
  const auto open = base::bytes_of(certificates);
  std::copy(open.begin(), open.end(), out.begin() + static_cast<std::ptrdiff_t>(secret.size()));
  return pem;
}

base::Result<IssuingCa> decode_issuing_ca(AkClass ak_class, const base::SecretBytes& pem) {
  const std::string_view text(reinterpret_cast<const char*>(pem.expose().data()), pem.size());
  const auto certificates_begin = text.find(kBeginCertificate);
  if (certificates_begin == std::string_view::npos || pem.size() > kMaxIssuingCaBytes) {
    return damaged("it is not a private key and two certificates in PEM");
  }
  auto key = crypto::PrivateKey::from_pem(pem.expose().first(certificates_begin));
  if (!key) {
    return damaged(key.error().message);
  }
  auto certificates = crypto::decode_pem_certificates(text.substr(certificates_begin), 2);
  if (!certificates || certificates->size() != 2) {
    return damaged(certificates ? "one of its two certificates is missing"
                                : certificates.error().message);
  }
  IssuingCa ca{*std::move(key), certificates->at(0), certificates->at(1)};
  TRY(examine(ca, ak_class));
  return ca;
}

}  // namespace keybroker::authority
