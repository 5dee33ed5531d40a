// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/certification.h"

#include <utility>

namespace vtpm::provision {

namespace {

base::Bytes area_of(const std::optional<PublicKey>& key) { return key ? key->area : base::Bytes(); }

base::Result<Certificates> ask(const Vouching& vouching, const ClaimedKeys& keys,
                               const WantedCertificates& wanted, const AnswerChallenge& answer,
                               const std::stop_token& stop) {
  if (vouching.tee != nullptr) {
    CertificationOfEvidence request;
    TRY_ASSIGN(bound, make_bound_report(vouching.statement, keys, *vouching.tee));
    request.bound = std::move(bound);
    request.rsa_ek = wanted.rsa_ek ? keys.rsa_ek.area : base::Bytes();
    request.ecc_ek = wanted.ecc_ek ? area_of(keys.ecc_ek) : base::Bytes();
    return vouching.certifier.certify(request, stop);
  }
  CertificationOfHost request;
  request.ak = keys.rsa_ak.area;
  request.rsa_ek = keys.rsa_ek.area;
  request.ecc_ek = area_of(keys.ecc_ek);
  request.new_seeds = wanted.new_seeds;
  request.wants_ek_certificates = wanted.rsa_ek || wanted.ecc_ek;
  TRY_ASSIGN(digest, runtime_claims_digest(vouching.statement, keys));
  request.claims_digest = std::move(digest);
  return vouching.certifier.certify(request, answer, stop);
}

}  // namespace

base::Result<Certificates> ask_for_certificates(const Vouching& vouching, const ClaimedKeys& keys,
                                                const WantedCertificates& wanted,
                                                const AnswerChallenge& answer,
                                                const std::stop_token& stop) {
  TRY_ASSIGN(given, ask(vouching, keys, wanted, answer, stop));
  return expect_fitting(std::move(given), keys.rsa_ak, keys.rsa_ek, keys.ecc_ek);
}

}  // namespace vtpm::provision
