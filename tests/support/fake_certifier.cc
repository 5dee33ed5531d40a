// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_certifier.h"

#include <algorithm>
#include <utility>

#include "keybroker/crypto/credential.h"
#include "keybroker/crypto/der.h"
#include "keybroker/evidence/hcl_report.h"
#include "keybroker/evidence/tpm_public.h"
#include "keybroker/protocol/runtime_claims.h"
#include "vmgs/crypto/random.h"

namespace tests::support {

namespace crypto = keybroker::crypto;
namespace evidence = keybroker::evidence;
using vtpm::provision::Certificates;

namespace {

const crypto::DistinguishedName kName = {{"CN", "an authority of a test"}};

crypto::Certificate self_signed(const crypto::PrivateKey& key, std::chrono::sys_seconds now) {
  crypto::CertificateSpec spec;
  spec.serial = {std::byte{1}};
  spec.subject = spec.issuer = kName;
  spec.not_before = now;
  spec.not_after = now + std::chrono::hours(24 * 365);
  spec.authority = crypto::AuthorityConstraints{};
  return *crypto::issue(spec, key.public_key(), key);
}

}  // namespace

FakeCertifier::FakeCertifier()
    : key_(*crypto::PrivateKey::generate_ec(crypto::Curve::kP384)),
      certificate_(self_signed(key_, now)) {}

crypto::Certificate FakeCertifier::issue(base::ByteView area) const {
  return issue(evidence::decode_tpm_public(area)->key);
}

crypto::Certificate FakeCertifier::issue(const crypto::PublicKey& key) const {
  return issue_with(key, {});
}

crypto::Certificate FakeCertifier::issue_with(const crypto::PublicKey& key,
                                              std::vector<crypto::Extension> extensions) const {
  crypto::CertificateSpec spec;
  spec.extensions = std::move(extensions);
  spec.serial.resize(16);
  (void)vmgs::crypto::random_bytes(spec.serial);
  spec.serial[0] = std::byte{1};
  spec.subject = {{"CN", "a key of a TPM"}};
  spec.issuer = kName;
  spec.not_before = now;
  spec.not_after = now + life;
  return *crypto::issue(spec, key, key_);
}

Certificates FakeCertifier::given(const crypto::PublicKey& ak, base::ByteView rsa_ek,
                                  base::ByteView ecc_ek) const {
  Certificates certificates;
  std::vector<crypto::Extension> of_ak;
  if (states) {
    of_ak.push_back({.oid = std::string(evidence::kAkStatementOid),
                     .content = crypto::encode_der_ia5(evidence::encode(*states))});
  }
  certificates.ak = issue_with(ak, std::move(of_ak)).der();
  certificates.ak_chain = certificate_->der();
  certificates.rsa_ek = rsa_ek.empty() ? base::Bytes() : issue(rsa_ek).der();
  certificates.ecc_ek = ecc_ek.empty() ? base::Bytes() : issue(ecc_ek).der();
  if (spoils) {
    spoils(certificates);
  }
  return certificates;
}

base::Result<Certificates> FakeCertifier::certify(
    const vtpm::provision::CertificationOfEvidence& request, const std::stop_token&) {
  ++asked;
  of_evidence = request;
  if (refuses) {
    return base::fail(*refuses);
  }
  TRY_ASSIGN(hcl, evidence::decode_hcl_report(request.bound.report.hcl));
  TRY_ASSIGN(claims, keybroker::protocol::decode_runtime_claims(hcl.claims));
  TRY_ASSIGN(ak, crypto::PublicKey::rsa({.modulus = claims.keys.at(0).modulus,
                                         .exponent = claims.keys.at(0).exponent}));
  return given(ak, request.rsa_ek, request.ecc_ek);
}

base::Result<Certificates> FakeCertifier::certify(
    const vtpm::provision::CertificationOfHost& request,
    const vtpm::provision::AnswerChallenge& answer, const std::stop_token&) {
  ++asked;
  of_host = request;
  if (refuses) {
    return base::fail(*refuses);
  }
  TRY_ASSIGN(ak, evidence::decode_tpm_public(request.ak));
  if (!renews_without_proof) {
    TRY_ASSIGN(secret, vmgs::crypto::random_secret<32>());
    TRY_ASSIGN(ek, evidence::decode_tpm_public(request.rsa_ek));
    TRY_ASSIGN(credential, crypto::make_credential(ek.key, ak.name, secret.expose()));
    TRY_ASSIGN(unwrapped, answer({credential.id_object, credential.encrypted_secret}));
    if (!std::ranges::equal(unwrapped.expose(), secret.expose())) {
      return base::fail(base::ErrorCode::kDenied, "the TPM did not prove its AK");
    }
  }
  const base::Bytes none;
  return given(ak.key, request.wants_ek_certificates ? request.rsa_ek : none,
               request.wants_ek_certificates ? request.ecc_ek : none);
}

}  // namespace tests::support
