// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/link_certifier.h"

#include <string.h>

#include <string>
#include <utility>

namespace tools::vtpm_instance {

namespace {

namespace instance = strongroom::instance::v1;
using base::ErrorCode;
using instance::CertificationAnswer;
using instance::CertificationRequest;
using vtpm::provision::Certificates;

std::string text_of(base::ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

base::Bytes bytes_of(const std::string& field) { return base::copy_of(base::bytes_of(field)); }

base::Result<Certificates> certificates_of(const CertificationAnswer& answer) {
  if (answer.has_refusal()) {
    const auto& refusal = answer.refusal();
    const auto code = refusal.not_offered() ? ErrorCode::kNotFound
                      : refusal.may_pass()  ? ErrorCode::kUnavailable
                                            : ErrorCode::kDenied;
    return base::fail(code, "vtpmd: " + refusal.reason());
  }
  if (!answer.has_certificates()) {
    return base::fail(ErrorCode::kUnavailable, "vtpmd answered a request with something else");
  }
  const auto& given = answer.certificates();
  return Certificates{.ak = bytes_of(given.ak()),
                      .ak_chain = bytes_of(given.ak_chain()),
                      .rsa_ek = bytes_of(given.rsa_ek()),
                      .ecc_ek = bytes_of(given.ecc_ek())};
}

}  // namespace

// The next vtpmd has no link to an instance that is there already.
LinkCertifier::LinkCertifier(LinkEnds link)
    : exchange_(std::move(link), kPatience, "the request for a certificate",
                {ErrorCode::kDenied,
                 "the vtpmd of this start has gone; the VM's next start asks again"}) {}

base::Result<CertificationAnswer> LinkCertifier::ask(CertificationRequest& request,
                                                     const std::stop_token& stop) {
  // A request may hold a secret, which its owner wipes: it is lent, not copied.
  instance::FromInstance message;
  auto& lent = *message.mutable_certification_request();
  lent.Swap(&request);
  auto answer = exchange_.ask(
      message, [&](std::uint64_t serial) { lent.set_serial(serial); }, stop);
  lent.Swap(&request);
  return answer;
}

base::Result<Certificates> LinkCertifier::certify(
    const vtpm::provision::CertificationOfEvidence& request, const std::stop_token& stop) {
  CertificationRequest message;
  auto& asked = *message.mutable_confidential();
  asked.set_report(text_of(request.bound.evidence.report));
  asked.set_certificate_table(text_of(request.bound.evidence.certificates));
  asked.set_hcl_report(text_of(request.bound.report.hcl));
  asked.set_extended_claims(request.bound.report.extended_claims);
  asked.set_rsa_ek(text_of(request.rsa_ek));
  asked.set_ecc_ek(text_of(request.ecc_ek));
  TRY_ASSIGN(answer, ask(message, stop));
  return certificates_of(answer);
}

base::Result<Certificates> LinkCertifier::certify(
    const vtpm::provision::CertificationOfHost& request,
    const vtpm::provision::AnswerChallenge& answer_challenge, const std::stop_token& stop) {
  CertificationRequest message;
  auto& asked = *message.mutable_host();
  asked.set_ak(text_of(request.ak));
  asked.set_rsa_ek(text_of(request.rsa_ek));
  asked.set_ecc_ek(text_of(request.ecc_ek));
  asked.set_new_seeds(request.new_seeds);
  asked.set_wants_ek_certificates(request.wants_ek_certificates);
  asked.set_claims_digest(text_of(request.claims_digest));
  TRY_ASSIGN(answer, ask(message, stop));
  if (!answer.has_challenge()) {
    return certificates_of(answer);
  }
  const auto& challenge = answer.challenge();
  TRY_ASSIGN(secret,
             answer_challenge({.credential_blob = bytes_of(challenge.credential_blob()),
                               .encrypted_secret = bytes_of(challenge.encrypted_secret())}));
  CertificationRequest proof;
  proof.mutable_host_proof()->set_challenge(challenge.id());
  auto& field = *proof.mutable_host_proof()->mutable_secret();
  field = text_of(secret.expose());
  const auto answered = ask(proof, stop);
  ::explicit_bzero(field.data(), field.size());
  TRY_ASSIGN(last, answered);
  return certificates_of(last);
}

}  // namespace tools::vtpm_instance
