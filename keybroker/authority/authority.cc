// SPDX-License-Identifier: Apache-2.0
#include "keybroker/authority/authority.h"

#include <algorithm>
#include <array>

#include "keybroker/authority/strength.h"
#include "keybroker/crypto/der.h"
#include "keybroker/evidence/tpm_public.h"
#include "keybroker/protocol/uuid.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/crypto/random.h"

namespace keybroker::authority {

namespace {

using base::ErrorCode;

// id-ce-extKeyUsage with tcg-kp-AIKCertificate, 2.23.133.8.3 (TCG EK Credential Profile, 3.2.16).
crypto::Extension ak_purpose() {
  constexpr std::array<unsigned char, 9> kContent{0x30, 0x07, 0x06, 0x05, 0x67,
                                                  0x81, 0x05, 0x08, 0x03};
  return {"2.5.29.37", false, base::copy_of(std::as_bytes(std::span(kContent)))};
}

auto denied(const std::string& why) {
  return base::fail(ErrorCode::kDenied, "no AK certificate: " + why);
}

// What counts is the report, its claims and their freshness. There is no quote yet, and a key that
// stands beside the claims is nobody's business.
evidence::Evidence claims_only(const evidence::Evidence& given) {
  auto evidence = given;
  evidence.ak = {};
  evidence.quotes.clear();
  evidence.event_log.reset();
  evidence.cc_event_log.reset();
  return evidence;
}

evidence::Policy claims_policy(const evidence::Policy& given) {
  auto policy = given;
  policy.tees.erase(protocol::TeeFamily::kNone);
  policy.hcl.own_form = true;
  policy.ak = {};
  policy.quote = {};
  policy.log = {};
  policy.boot.reset();
  return policy;
}

// The AK of verified claims, if it is one that only the TPM of these claims can have.
base::Result<crypto::PublicKey> certifiable_ak(const evidence::Claims& claims) {
  const auto* jwk = claims.runtime ? claims.runtime->key(protocol::kAkKeyId) : nullptr;
  if (!claims.claims_bound || jwk == nullptr || !claims.extended) {
    return denied("no report-bound claims name an AK and its Name");
  }
  const crypto::RsaNumbers numbers{jwk->modulus, jwk->exponent};
  // The Name commits to the attributes: restricted, signing, never outside its TPM.
  const auto name = evidence::template_ak_name(numbers);
  if (!name || *name != claims.extended->ak_name) {
    return denied("the Name in the claims is not that of the AK template around their key");
  }
  if (claims.extended->origin != protocol::SeedOrigin::kOwn) {
    return denied("the TPM's seeds are " + std::string(protocol::name(claims.extended->origin)) +
                  ": somebody else may know them");
  }
  return crypto::PublicKey::rsa(numbers);
}

AkStatement statement_for(const evidence::Claims& claims, std::string_view claims_text,
                          std::uint64_t epoch) {
  AkStatement statement;
  statement.ak_class =
      claims.root_class == evidence::RootClass::kSimulated ? AkClass::kSimulated : AkClass::kCvm;
  const auto& extended = *claims.extended;
  statement.vm_id = extended.vm_id;
  statement.tee = claims.tee;
  statement.measurement = claims.snp ? base::copy_of(claims.snp->report.measurement)
                                     : base::copy_of(claims.tdx->quote.body.mr_td);
  statement.launch = extended.launch;
  statement.protection = extended.state_protection.mode;
  statement.lifetime = extended.lifetime;
  statement.origin = extended.origin;
  statement.epoch = epoch;
  statement.ak_name = extended.ak_name;
  statement.ek_name = extended.ek_name;
  statement.claims_digest = vmgs::crypto::sha256(base::bytes_of(claims_text));
  return statement;
}

// Whether `area` is the public area with that Name.
bool is_named(base::ByteView area, base::ByteView tpm_name) {
  if (area.empty()) {
    return false;
  }
  const auto decoded = evidence::decode_tpm_public(area);
  return decoded && std::ranges::equal(decoded->name, tpm_name);
}

base::Result<base::Bytes> new_serial() {
  std::array<std::byte, 16> serial{};
  TRY(vmgs::crypto::random_bytes(serial));
  // Always 16 bytes and positive.
  serial[0] = (serial[0] & std::byte{0x3F}) | std::byte{0x40};
  return base::copy_of(serial);
}

}  // namespace

base::Result<const IssuingCa*> Authority::ca_of(AkClass ak_class) const {
  const auto found = cas_.find(ak_class);
  if (found == cas_.end()) {
    return denied("this authority has no CA of class " + std::string(name(ak_class)));
  }
  return &found->second;
}

base::Result<Certified> Authority::certify_confidential(const evidence::Evidence& evidence,
                                                        const CertificationRules& rules,
                                                        const EkAreas& eks) {
  const auto verdict = evidence::verify(claims_only(evidence), claims_policy(rules.policy),
                                        rules.collateral, rules.store, rules.now);
  if (!verdict.accepted) {
    return denied(verdict.reason
                      ? std::string(evidence::card(*verdict.reason).code) + ": " + verdict.detail
                      : "the evidence could not be checked");
  }
  TRY_ASSIGN(ak, certifiable_ak(*verdict.claims));
  TRY_ASSIGN(hcl, evidence::decode_hcl_report(*evidence.hcl_report));
  const auto statement = statement_for(*verdict.claims, hcl.claims, rules.epoch);
  const auto& extended = *verdict.claims->extended;
  EkAreas vouched;
  if (is_named(eks.rsa, extended.ek_name)) {
    vouched.rsa = eks.rsa;
  }
  if (extended.ecc_ek_name && is_named(eks.ecc, *extended.ecc_ek_name)) {
    vouched.ecc = eks.ecc;
  }
  return certify(statement, ak, vouched, rules.now);
}

base::Result<Certified> Authority::certify(const AkStatement& statement,
                                           const crypto::PublicKey& ak, const EkAreas& eks,
                                           crypto::Time now) {
  TRY_ASSIGN(earlier, records_.of_vm(statement.vm_id));
  TRY(settle_earlier(statement, earlier, now));
  const auto unended = std::ranges::count_if(
      earlier, [now](const CertificateRecord& record) { return record.not_after >= now; });
  if (static_cast<std::size_t>(unended) >= rules_.most_unended) {
    return base::fail(ErrorCode::kUnavailable, "no AK certificate: this VM has had " +
                                                   std::to_string(unended) +
                                                   " that have not ended yet");
  }
  TRY_ASSIGN(ca, ca_of(statement.ak_class));
  TRY_ASSIGN(certificate, certify_ak(statement, ak, earlier, now));
  Certified certified{std::move(certificate), {ca->certificate}};
  TRY_ASSIGN(rsa_ek, certify_ek(statement, CertifiedKey::kRsaEk, eks.rsa, earlier, now));
  TRY_ASSIGN(ecc_ek, certify_ek(statement, CertifiedKey::kEccEk, eks.ecc, earlier, now));
  certified.rsa_ek = std::move(rsa_ek);
  certified.ecc_ek = std::move(ecc_ek);
  // The new one is on record; what another key of this VM had is worth nothing from now on.
  for (const auto& record : earlier) {
    const bool is_same = record.certified == CertifiedKey::kAk
                             ? record.statement.ak_name == statement.ak_name
                             : record.statement.ek_name == statement.ek_name;
    if (!is_same && !record.revoked) {
      TRY(records_.revoke(record.serial, now));
    }
  }
  return certified;
}

base::Result<void> Authority::settle_earlier(const AkStatement& statement, const Records& earlier,
                                             crypto::Time now) {
  bool weaker = false;
  for (const auto& record : earlier) {
    if (record.statement.ak_name == statement.ak_name &&
        strength(statement.protection) < strength(record.statement.protection)) {
      weaker = true;
      TRY(records_.revoke(record.serial, now));
    }
  }
  if (weaker) {
    return denied(
        "the VM's protection is weaker than when this AK was certified. A weaker "
        "protection needs new seeds");
  }
  return {};
}

// What `record` is, if that is a good certificate of the present CA for `key` that is not due to be
// renewed.
base::Result<std::optional<crypto::Certificate>> Authority::young(const CertificateRecord& record,
                                                                  const crypto::PublicKey& key,
                                                                  crypto::Time now) const {
  if (!record.is_good(now)) {
    return std::optional<crypto::Certificate>();
  }
  TRY_ASSIGN(ca, ca_of(record.statement.ak_class));
  TRY_ASSIGN(certificate, crypto::Certificate::decode(record.certificate));
  const bool is_young =
      certificate.public_key() && *certificate.public_key() == key &&
      certificate.renewal_time() > now && certificate.not_before() <= now &&
      crypto::verify_issued(certificate, *ca->certificate.public_key()).has_value();
  return is_young ? std::optional(std::move(certificate)) : std::nullopt;
}

base::Result<crypto::Certificate> Authority::certify_ak(const AkStatement& statement,
                                                        const crypto::PublicKey& ak,
                                                        const Records& earlier, crypto::Time now) {
  for (const auto& record : earlier) {
    if (record.certified == CertifiedKey::kAk && record.statement == statement) {
      TRY_ASSIGN(certificate, young(record, ak, now));
      if (certificate) {
        return *std::move(certificate);
      }
    }
  }
  crypto::CertificateSpec spec;
  spec.subject = {{"CN", protocol::uuid_text(statement.vm_id)}};
  spec.not_before = now;
  spec.not_after = now + rules_.certificate_life;
  spec.extensions = {
      ak_purpose(),
      {std::string(evidence::kAkStatementOid), false, crypto::encode_der_ia5(encode(statement))}};
  return issue_and_record(std::move(spec), ak, CertifiedKey::kAk, statement);
}

base::Result<crypto::Certificate> Authority::issue_and_record(crypto::CertificateSpec spec,
                                                              const crypto::PublicKey& key,
                                                              CertifiedKey which,
                                                              const AkStatement& statement) {
  TRY_ASSIGN(ca, ca_of(statement.ak_class));
  const auto ca_end = ca->certificate.not_after();
  if (spec.not_before >= ca_end) {
    return denied("the CA of class " + std::string(name(statement.ak_class)) + " ended on " +
                  crypto::to_text(ca_end));
  }
  TRY_ASSIGN(serial, new_serial());
  spec.serial = serial;
  spec.issuer = ca_name(statement.ak_class);
  spec.not_after = std::min(spec.not_after, ca_end);
  spec.end_entity = true;
  spec.key_identifiers = true;
  spec.pkcs1 = true;
  TRY_ASSIGN(certificate, crypto::issue(spec, key, ca->key));
  if (certificate.der().size() > rules_.most_certificate_bytes) {
    return base::fail(ErrorCode::kInvalidArgument, "the certificate has " +
                                                       std::to_string(certificate.der().size()) +
                                                       " bytes and does not fit its NV index");
  }
  TRY(records_.add({serial, which, statement, certificate.not_after(), certificate.der()}));
  return certificate;
}

base::Result<void> Authority::revoke(const protocol::Uuid& vm_id, crypto::Time now) {
  TRY_ASSIGN(records, records_.of_vm(vm_id));
  if (records.empty()) {
    return base::fail(ErrorCode::kNotFound,
                      "no AK of VM " + protocol::uuid_text(vm_id) + " was certified");
  }
  for (const auto& record : records) {
    if (!record.revoked) {
      TRY(records_.revoke(record.serial, now));
    }
  }
  return {};
}

base::Result<void> Authority::forget(const protocol::Uuid& vm_id, crypto::Time now) {
  std::erase_if(challenges_,
                [&](const auto& open) { return open.second.statement.vm_id == vm_id; });
  if (const auto revoked = revoke(vm_id, now);
      !revoked && revoked.error().code != ErrorCode::kNotFound) {
    return revoked;
  }
  return records_.forget_ek(vm_id);
}

base::Result<void> Authority::keep_house(crypto::Time now) {
  return records_.forget_ended(now - rules_.crl_life);
}

base::Result<crypto::Crl> Authority::crl(AkClass ak_class, crypto::Time now) {
  TRY_ASSIGN(ca, ca_of(ak_class));
  TRY_ASSIGN(number, records_.next_crl_number(ak_class));
  // A certificate that was revoked stays in one list more than it lives (RFC 5280, 3.3).
  TRY_ASSIGN(revoked, records_.revoked(ak_class, now - rules_.crl_life));
  return crypto::issue_crl({.issuer = ca_name(ak_class),
                            .this_update = now,
                            .next_update = now + rules_.crl_life,
                            .number = number,
                            .revoked = std::move(revoked),
                            .pkcs1 = true},
                           ca->key);
}

}  // namespace keybroker::authority
