// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/report.h"

#include <algorithm>
#include <utility>

#include "keybroker/evidence/hcl_report.h"
#include "keybroker/evidence/tpm_public.h"
#include "keybroker/protocol/uuid.h"
#include "vmgs/crypto/digest.h"

namespace vtpm::provision {

namespace {

namespace evidence = keybroker::evidence;
namespace protocol = keybroker::protocol;

base::Result<protocol::RsaJwk> ak_jwk(const PublicKey& ak) {
  TRY_ASSIGN(area, evidence::decode_tpm_public(ak.area));
  auto numbers = area.key.rsa_numbers();
  if (!numbers) {
    return base::fail(base::ErrorCode::kInvalidArgument, "the AK of claims is an RSA key");
  }
  return protocol::RsaJwk{.kid = std::string(protocol::kAkKeyId),
                          .key_ops = {"sign"},
                          .modulus = std::move(numbers->modulus),
                          .exponent = std::move(numbers->exponent)};
}

base::Result<std::string> extended_claims(const Statement& statement, const ClaimedKeys& keys) {
  protocol::ExtendedClaims claims;
  claims.purpose = "report";
  claims.vm_id = statement.vm_id;
  claims.boot_id = statement.boot_id;
  claims.launch = statement.launch;
  claims.home = statement.home;
  claims.origin = statement.origin;
  claims.lifetime = statement.lifetime;
  claims.state_protection = statement.state_protection;
  claims.ek_name = keys.rsa_ek.name;
  claims.ak_name = keys.rsa_ak.name;
  if (keys.ecc_ak) {
    claims.ecc_ak_name = keys.ecc_ak->name;
  }
  claims.tee_simulated = statement.tee_simulated;
  return encode(claims);
}

base::Result<std::string> runtime_claims(const Statement& statement, const PublicKey& ak,
                                         const UserData& user_data, std::string_view extended) {
  protocol::RuntimeClaims claims;
  TRY_ASSIGN(jwk, ak_jwk(ak));
  claims.keys.push_back(std::move(jwk));
  claims.vm.secure_boot = statement.secure_boot;
  claims.vm.tpm_enabled = true;
  claims.vm.tpm_persisted = statement.lifetime == protocol::Lifetime::kPersistent;
  claims.vm.vm_unique_id = protocol::uuid_text(statement.vm_id);
  claims.vm.hardware_sealing_policy =
      statement.state_protection.mode == protocol::Protection::kHardware ? "hash" : "none";
  claims.user_data = user_data;
  claims.extended_digest = vmgs::crypto::sha256(base::bytes_of(extended));
  return encode(claims);
}

evidence::HclReportType type_of(const tee::OwnReport& own) {
  return own.family == tee::TeeFamily::kSevSnp ? evidence::HclReportType::kSnp
                                               : evidence::HclReportType::kTdx;
}

}  // namespace

base::Result<Report> make_report(const Statement& statement, const ClaimedKeys& keys, tee::Tee* tee,
                                 const UserData& user_data) {
  Report report;
  TRY_ASSIGN(extended, extended_claims(statement, keys));
  report.extended_claims = std::move(extended);
  evidence::HclReport hcl;
  TRY_ASSIGN(claims, runtime_claims(statement, keys.rsa_ak, user_data, report.extended_claims));
  hcl.claims = std::move(claims);
  if (tee != nullptr) {
    tee::ReportData report_data{};
    std::ranges::copy(vmgs::crypto::sha256(base::bytes_of(hcl.claims)), report_data.begin());
    TRY_ASSIGN(own, tee->own_report());
    TRY_ASSIGN(hardware_report, tee->hardware_report(report_data));
    hcl.type = type_of(own);
    hcl.hardware_report = std::move(hardware_report);
  }
  TRY_ASSIGN(bytes, encode(hcl));
  report.hcl = std::move(bytes);
  return report;
}

}  // namespace vtpm::provision
