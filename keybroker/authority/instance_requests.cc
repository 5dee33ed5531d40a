// SPDX-License-Identifier: Apache-2.0
#include "keybroker/authority/instance_requests.h"

#include <algorithm>

#include "keybroker/evidence/snp_chain.h"
#include "keybroker/protocol/extended_claims.h"

namespace keybroker::authority {

namespace {

namespace instance = strongroom::instance::v1;
using base::ErrorCode;
using protocol::TeeFamily;

constexpr std::size_t kSnpLaunchBytes = 32;

base::Bytes bytes_in(const std::string& field) { return base::copy_of(base::bytes_of(field)); }

std::string field_of(base::ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

auto denied(const std::string& why) {
  return base::fail(ErrorCode::kDenied, "no AK certificate: " + why);
}

base::Result<evidence::Evidence> evidence_in(const RegisteredVm& vm,
                                             const instance::ConfidentialCertification& asked) {
  evidence::Evidence shown;
  shown.hcl_report = bytes_in(asked.hcl_report());
  shown.extended_claims = asked.extended_claims();
  if (!asked.report().empty()) {
    (vm.tee == TeeFamily::kSevSnp ? shown.snp_report : shown.td_quote) = bytes_in(asked.report());
  }
  if (!asked.certificate_table().empty()) {
    TRY_ASSIGN(certificates,
               evidence::certificates_of_table(base::bytes_of(asked.certificate_table())));
    shown.snp_certificates = std::move(certificates);
  }
  return shown;
}

// The owner's policy, and that the evidence is of this very VM. The report was asked for by the
// VM's own instance, over a link that only it has, so there is no nonce of ours in it.
evidence::Policy policy_for(const RegisteredVm& vm, const evidence::Policy& given) {
  auto policy = given;
  policy.tees = {vm.tee};
  policy.nonce = evidence::Expectation::any();
  policy.hcl.vm_id = vm.vm_id;
  const auto launch = evidence::Expectation::one_of({vm.launch});
  policy.snp.host_data = launch;
  policy.tdx.mr_config_id = launch;
  return policy;
}

// What the evidence calls itself chooses by which roots it is judged, and so its class, but not
// whether it is believed: claims that say otherwise than the roots are refused by those.
bool calls_itself_simulated(const instance::ConfidentialCertification& asked) {
  const auto claims = protocol::decode_extended_claims(asked.extended_claims());
  return claims && claims->tee_simulated;
}

void fill_in(instance::Certificates& out, const Certified& certified) {
  out.set_ak(field_of(certified.certificate.der()));
  for (const auto& issuer : certified.chain) {
    out.mutable_ak_chain()->append(field_of(issuer.der()));
  }
  if (certified.rsa_ek) {
    out.set_rsa_ek(field_of(certified.rsa_ek->der()));
  }
  if (certified.ecc_ek) {
    out.set_ecc_ek(field_of(certified.ecc_ek->der()));
  }
}

HostStatement statement_for(const RegisteredVm& vm, const protocol::ClaimsDigest& claims) {
  HostStatement said;
  said.vm_id = vm.vm_id;
  said.launch = vm.launch;
  said.protection = vm.protection;
  said.lifetime = vm.lifetime;
  said.claims_digest = claims;
  return said;
}

base::Result<protocol::ClaimsDigest> claims_digest_in(const std::string& field) {
  protocol::ClaimsDigest digest{};
  if (!field.empty() && field.size() != digest.size()) {
    return denied("the digest of the claims has " + std::to_string(field.size()) + " bytes");
  }
  std::ranges::copy(base::bytes_of(field), digest.begin());
  return digest;
}

}  // namespace

base::Result<RegisteredVm> registered_vm(base::ByteView launch_document) {
  TRY_ASSIGN(document, protocol::decode_launch_document(launch_document));
  RegisteredVm vm;
  vm.vm_id = document.vm_id;
  vm.tee = document.tee_family;
  vm.launch = base::copy_of(protocol::launch_digest(launch_document, vm.tee).bytes);
  if (vm.tee == TeeFamily::kSevSnp) {
    vm.launch.resize(kSnpLaunchBytes);
  }
  vm.protection = document.protection;
  vm.lifetime = document.lifetime;
  return vm;
}

instance::CertificationAnswer InstanceRequests::answer(
    const RegisteredVm& vm, const instance::CertificationRequest& request, crypto::Time now) {
  instance::CertificationAnswer answer;
  const auto step = [&]() -> base::Result<void> {
    switch (request.step_case()) {
      case instance::CertificationRequest::kConfidential:
        return confidential(vm, request.confidential(), now, answer);
      case instance::CertificationRequest::kHost:
        return host(vm, request.host(), now, answer);
      case instance::CertificationRequest::kHostProof:
        return host_proof(vm, request.host_proof(), now, answer);
      case instance::CertificationRequest::STEP_NOT_SET:
        break;
    }
    return denied("the request asks for nothing that is known here");
  };
  if (const auto done = step(); !done) {
    const auto code = done.error().code;
    auto& refusal = *answer.mutable_refusal();
    refusal.set_reason(done.error().message);
    refusal.set_may_pass(code == ErrorCode::kUnavailable || code == ErrorCode::kIo);
  }
  answer.set_serial(request.serial());
  return answer;
}

base::Result<bool> InstanceRequests::is_certified(const protocol::Uuid& vm_id, crypto::Time now) {
  TRY_ASSIGN(issued, records_.of_vm(vm_id));
  return std::ranges::any_of(issued, [now](const CertificateRecord& record) {
    return record.certified == CertifiedKey::kAk && record.is_good(now);
  });
}

base::Result<void> InstanceRequests::revoke(const protocol::Uuid& vm_id, crypto::Time now) {
  auto revoked = authority_.revoke(vm_id, now);
  return !revoked && revoked.error().code == ErrorCode::kNotFound ? base::Result<void>()
                                                                  : std::move(revoked);
}

base::Result<void> InstanceRequests::confidential(const RegisteredVm& vm,
                                                  const instance::ConfidentialCertification& asked,
                                                  crypto::Time now, Answer& answer) {
  if (vm.tee == TeeFamily::kNone) {
    return denied("this VM is an ordinary one, whose AK its host vouches for");
  }
  TRY_ASSIGN(shown, evidence_in(vm, asked));
  TRY_ASSIGN(collateral, rules_.collateral(shown));
  const bool simulated = calls_itself_simulated(asked);
  if (!rules_.policy || (simulated && !rules_.simulated)) {
    answer.mutable_refusal()->set_not_offered(true);
    return denied(rules_.policy ? "the evidence is a simulator's, and this host believes none"
                                : "this host has no policy for the evidence of confidential VMs");
  }
  const auto& store = simulated ? *rules_.simulated : evidence::TrustStore::production();
  const auto policy = policy_for(vm, *rules_.policy);
  TRY_ASSIGN(certified,
             authority_.certify_confidential(shown, {policy, collateral, store, now, vm.epoch},
                                             {bytes_in(asked.rsa_ek()), bytes_in(asked.ecc_ek())}));
  fill_in(*answer.mutable_certificates(), certified);
  return {};
}

base::Result<void> InstanceRequests::register_ek(const RegisteredVm& vm, base::ByteView ek,
                                                 bool new_seeds, crypto::Time now) {
  TRY_ASSIGN(decoded, evidence::decode_tpm_public(ek));
  auto known = records_.ek_of(vm.vm_id);
  if (known && !std::ranges::equal(*known, ek)) {
    if (!new_seeds) {
      return denied("another EK than " + base::to_hex(decoded.name) +
                    " is registered for this VM. If its TPM was replaced on purpose, have vtpmd "
                    "forget the old one: vtpmctl revoke");
    }
    TRY(authority_.forget(vm.vm_id, now));
  }
  return records_.register_ek(vm.vm_id, ek);
}

base::Result<void> InstanceRequests::host(const RegisteredVm& vm,
                                          const instance::HostCertification& asked,
                                          crypto::Time now, Answer& answer) {
  if (vm.tee != TeeFamily::kNone) {
    return denied("this VM is a confidential one: its AK is certified by evidence");
  }
  TRY_ASSIGN(claims, claims_digest_in(asked.claims_digest()));
  const auto said = statement_for(vm, claims);
  const auto ak = base::bytes_of(asked.ak());
  const auto ek = base::bytes_of(asked.rsa_ek());
  TRY(register_ek(vm, ek, asked.new_seeds(), now));
  EkAreas eks;
  if (asked.wants_ek_certificates()) {
    eks = {bytes_in(asked.rsa_ek()), bytes_in(asked.ecc_ek())};
  }
  TRY_ASSIGN(renewed, authority_.renew_host(said, ak, ek, eks, now));
  if (renewed) {
    fill_in(*answer.mutable_certificates(), *renewed);
    return {};
  }
  TRY_ASSIGN(challenge, authority_.begin_host(said, ak, now, std::move(eks)));
  auto& out = *answer.mutable_challenge();
  out.set_id(field_of(challenge.id));
  out.set_credential_blob(field_of(challenge.credential.id_object));
  out.set_encrypted_secret(field_of(challenge.credential.encrypted_secret));
  return {};
}

base::Result<void> InstanceRequests::host_proof(const RegisteredVm& vm,
                                                const instance::HostProof& proof, crypto::Time now,
                                                Answer& answer) {
  const auto secret = base::SecretBytes::taking(bytes_in(proof.secret()));
  TRY_ASSIGN(certified,
             authority_.finish_host(vm.vm_id, base::bytes_of(proof.challenge()), secret, now));
  fill_in(*answer.mutable_certificates(), certified);
  return {};
}

}  // namespace keybroker::authority
