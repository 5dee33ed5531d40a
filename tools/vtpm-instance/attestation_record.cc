// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/attestation_record.h"

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "keybroker/protocol/readiness.h"

namespace tools::vtpm_instance {

namespace {

namespace instance = strongroom::instance::v1;
using base::ErrorCode;
using keybroker::protocol::Readiness;
using vtpm::provision::IndexPassword;
using vtpm::provision::Provisioned;
using vtpm::provision::PublicKey;

constexpr std::size_t kPasswordBytes = 32;

void put(const PublicKey& key, instance::PublicKey& out) {
  out.set_area(key.area.data(), key.area.size());
  out.set_name(key.name.data(), key.name.size());
}

PublicKey key_of(const instance::PublicKey& in) {
  return {.area = base::copy_of(base::bytes_of(in.area())),
          .name = base::copy_of(base::bytes_of(in.name()))};
}

std::chrono::sys_seconds at(std::int64_t seconds) {
  return std::chrono::sys_seconds(std::chrono::seconds(seconds));
}

std::shared_ptr<const IndexPassword> password_of(const base::SecretBytes& bytes) {
  if (bytes.size() != kPasswordBytes) {
    return nullptr;
  }
  return std::make_shared<const IndexPassword>(
      IndexPassword{base::Secret<kPasswordBytes>::copy_of(bytes.expose().first<kPasswordBytes>())});
}

// Of the codes that a certifier gives, with what each does to the next request.
ErrorCode code_of(const std::string& word) {
  for (const auto code : {ErrorCode::kDenied, ErrorCode::kNotFound}) {
    if (base::name(code) == word) {
      return code;
    }
  }
  return ErrorCode::kUnavailable;
}

}  // namespace

instance::Attestation record_of(const AttestationUpkeep::Begun& begun) {
  instance::Attestation record;
  record.set_readiness(std::string(name(begun.readiness.readiness)));
  record.set_reason(begun.readiness.reason);
  if (begun.keys) {
    put(begun.keys->rsa_ak, *record.mutable_rsa_ak());
    put(begun.keys->rsa_ek, *record.mutable_rsa_ek());
    if (begun.keys->ecc_ak) {
      put(*begun.keys->ecc_ak, *record.mutable_ecc_ak());
    }
    if (begun.keys->ecc_ek) {
      put(*begun.keys->ecc_ek, *record.mutable_ecc_ek());
    }
  }
  if (begun.renew_at) {
    record.set_renew_at(begun.renew_at->time_since_epoch().count());
  }
  if (begun.ends_at) {
    record.set_ends_at(begun.ends_at->time_since_epoch().count());
  }
  if (begun.uncertified) {
    record.set_uncertified_code(std::string(base::name(begun.uncertified->code)));
    record.set_uncertified(begun.uncertified->message);
  }
  record.set_is_proven(begun.is_proven);
  record.set_aks_may_be_gone(begun.aks_may_be_gone);
  return record;
}

AttestationUpkeep::Begun begun_of(const instance::Attestation& record,
                                  const base::SecretBytes& index_password) {
  AttestationUpkeep::Begun begun;
  const auto readiness = keybroker::protocol::parse_readiness(record.readiness());
  begun.readiness = {readiness ? *readiness : Readiness::kReportMissing, record.reason()};
  if (record.has_rsa_ak() && record.has_rsa_ek()) {
    begun.keys.emplace(vtpm::provision::ClaimedKeys{.rsa_ak = key_of(record.rsa_ak()),
                                                    .rsa_ek = key_of(record.rsa_ek()),
                                                    .ecc_ak = std::nullopt,
                                                    .ecc_ek = std::nullopt});
    if (record.has_ecc_ak()) {
      begun.keys->ecc_ak = key_of(record.ecc_ak());
    }
    if (record.has_ecc_ek()) {
      begun.keys->ecc_ek = key_of(record.ecc_ek());
    }
  }
  begun.password = password_of(index_password);
  if (record.has_renew_at()) {
    begun.renew_at = at(record.renew_at());
  }
  if (record.has_ends_at()) {
    begun.ends_at = at(record.ends_at());
  }
  if (!record.uncertified().empty()) {
    begun.uncertified = base::Error{code_of(record.uncertified_code()), record.uncertified()};
  }
  begun.is_proven = record.is_proven();
  begun.aks_may_be_gone = record.aks_may_be_gone();
  return begun;
}

base::Result<Provisioned> provisioned_of(const instance::Attestation& record,
                                         const base::SecretBytes& index_password) {
  auto begun = begun_of(record, index_password);
  if (!begun.keys || !begun.is_proven || begun.password == nullptr) {
    return base::fail(ErrorCode::kUnavailable,
                      "the TPM gave no reports in the process before; restart the VM");
  }
  Provisioned provisioned;
  provisioned.rsa_ak = begun.keys->rsa_ak;
  provisioned.rsa_ek = begun.keys->rsa_ek;
  provisioned.ecc_ak = begun.keys->ecc_ak;
  provisioned.ecc_ek = begun.keys->ecc_ek;
  provisioned.index_password = std::move(begun.password);
  provisioned.renew_at = begun.renew_at;
  provisioned.ends_at = begun.ends_at;
  provisioned.uncertified = std::move(begun.uncertified);
  return provisioned;
}

}  // namespace tools::vtpm_instance
