// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "keybroker/authority/authority.h"
#include "keybroker/authority/endorsement_key.h"
#include "keybroker/authority/strength.h"
#include "keybroker/evidence/tpm_public.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/crypto/random.h"

// Class `host`: no hardware says anything, so the host is believed about the VM; that the AK is in
// the VM's TPM is proved by the TPM itself.
namespace keybroker::authority {

namespace {

constexpr std::size_t kMostChallenges = 4096;
constexpr auto kChallengeLife = std::chrono::minutes(5);

auto denied(const std::string& why) {
  return base::fail(base::ErrorCode::kDenied, "no AK certificate: " + why);
}

AkStatement statement_for(const HostStatement& said, const evidence::TpmPublic& ak,
                          const evidence::TpmPublic& ek) {
  AkStatement statement;
  statement.ak_class = AkClass::kHost;
  statement.vm_id = said.vm_id;
  statement.launch = said.launch;
  statement.protection = said.protection;
  statement.lifetime = said.lifetime;
  statement.origin = said.origin;
  statement.epoch = said.epoch;
  statement.ak_name = ak.name;
  statement.ek_name = ek.name;
  statement.claims_digest = said.claims_digest;
  return statement;
}

}  // namespace

base::Result<void> Authority::admit_host(const HostStatement& said) {
  if (said.protection == protocol::Protection::kHardware) {
    return denied("what hardware protects, hardware must vouch for");
  }
  TRY_ASSIGN(earlier, records_.of_vm(said.vm_id));
  if (std::ranges::any_of(earlier, [](const CertificateRecord& record) {
        return record.statement.ak_class != AkClass::kHost;
      })) {
    return denied("this VM's AK is certified by evidence; a host's word does not replace it");
  }
  return {};
}

base::Result<std::optional<Certified>> Authority::renew_host(const HostStatement& said,
                                                             base::ByteView ak_public_area,
                                                             base::ByteView ek_public_area,
                                                             const EkAreas& eks, crypto::Time now) {
  TRY(admit_host(said));
  TRY_ASSIGN(ak, evidence::decode_tpm_public(ak_public_area));
  TRY_ASSIGN(ek, evidence::decode_tpm_public(ek_public_area));
  const auto statement = statement_for(said, ak, ek);
  TRY_ASSIGN(earlier, records_.of_vm(said.vm_id));
  const bool is_known = std::ranges::any_of(earlier, [&](const CertificateRecord& record) {
    return record.certified == CertifiedKey::kAk && record.is_good(now) &&
           record.statement.ak_class == AkClass::kHost && record.statement.ak_name == ak.name &&
           record.statement.ek_name == ek.name &&
           strength(said.protection) >= strength(record.statement.protection);
  });
  if (!is_known) {
    return std::optional<Certified>();
  }
  TRY_ASSIGN(certified, certify(statement, ak.key, eks, now));
  return std::optional(std::move(certified));
}

base::Result<HostChallenge> Authority::begin_host(const HostStatement& said,
                                                  base::ByteView ak_public_area, crypto::Time now,
                                                  EkAreas eks) {
  TRY(admit_host(said));
  TRY_ASSIGN(ek_area, records_.ek_of(said.vm_id));
  TRY_ASSIGN(ek, evidence::decode_tpm_public(ek_area));
  TRY_ASSIGN(ak, evidence::decode_tpm_public(ak_public_area));
  if (!is_endorsement_key(ek) || !ek.key.is_rsa()) {
    return denied("what is registered for this VM is no RSA endorsement key");
  }
  if (!ak.can_attest()) {
    return denied("this key is not a restricted signing key that never left its TPM");
  }
  std::erase_if(challenges_, [&](const auto& open) {
    return open.second.until < now || open.second.statement.vm_id == said.vm_id;
  });
  if (challenges_.size() >= kMostChallenges) {
    return base::fail(base::ErrorCode::kUnavailable, "too many challenges are open; try again");
  }
  TRY_ASSIGN(secret, vmgs::crypto::random_secret<32>());
  base::Bytes id(16);
  TRY(vmgs::crypto::random_bytes(id));
  TRY_ASSIGN(credential, crypto::make_credential(ek.key, ak.name, secret.expose()));
  if (!std::ranges::equal(eks.rsa, ek_area)) {
    eks.rsa.clear();
  }
  challenges_.emplace(id, OpenChallenge{statement_for(said, ak, ek), ak.key, std::move(eks),
                                        std::move(secret), now + kChallengeLife});
  return HostChallenge{std::move(id), std::move(credential)};
}

base::Result<Certified> Authority::finish_host(const protocol::Uuid& vm_id,
                                               base::ByteView challenge,
                                               const base::SecretBytes& secret, crypto::Time now) {
  // Taken out before anything is compared: nobody guesses twice.
  auto open = challenges_.extract(base::copy_of(challenge));
  if (open.empty() || open.mapped().until < now || open.mapped().statement.vm_id != vm_id) {
    return denied("this challenge was never given, was answered before or is too old");
  }
  const auto& asked = open.mapped();
  if (!vmgs::crypto::equal_in_constant_time(asked.secret.expose(), secret.expose())) {
    return denied("the TPM that answered is not the one that is registered for this VM");
  }
  return certify(asked.statement, asked.ak, asked.eks, now);
}

}  // namespace keybroker::authority
