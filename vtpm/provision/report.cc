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
  if (keys.ecc_ek) {
    claims.ecc_ek_name = keys.ecc_ek->name;
  }
  claims.tee_simulated = statement.tee_simulated;
  if (statement.freshness) {
    claims.freshness = to_json(*statement.freshness);
  }
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

// The claims, and the data that binds a hardware report to them.
struct Bound {
  std::string extended;
  std::string runtime;
  tee::ReportData report_data{};
};

base::Result<Bound> bound_claims(const Statement& statement, const ClaimedKeys& keys,
                                 const UserData& user_data) {
  Bound bound;
  TRY_ASSIGN(extended, extended_claims(statement, keys));
  TRY_ASSIGN(runtime, runtime_claims(statement, keys.rsa_ak, user_data, extended));
  bound.extended = std::move(extended);
  bound.runtime = std::move(runtime);
  std::ranges::copy(vmgs::crypto::sha256(base::bytes_of(bound.runtime)), bound.report_data.begin());
  return bound;
}

base::Result<Report> report_of(Bound bound, evidence::HclReportType type,
                               base::Bytes hardware_report) {
  evidence::HclReport hcl;
  hcl.type = type;
  hcl.claims = std::move(bound.runtime);
  hcl.hardware_report = std::move(hardware_report);
  TRY_ASSIGN(bytes, encode(hcl));
  return Report{.hcl = std::move(bytes), .extended_claims = std::move(bound.extended)};
}

evidence::HclReportType type_of(const tee::OwnReport& own) {
  return own.family == tee::TeeFamily::kSevSnp ? evidence::HclReportType::kSnp
                                               : evidence::HclReportType::kTdx;
}

}  // namespace

base::Result<Report> make_report(const Statement& statement, const ClaimedKeys& keys, tee::Tee* tee,
                                 const UserData& user_data) {
  TRY_ASSIGN(bound, bound_claims(statement, keys, user_data));
  if (tee == nullptr) {
    return report_of(std::move(bound), evidence::HclReportType::kTrustedVm, {});
  }
  TRY_ASSIGN(own, tee->own_report());
  TRY_ASSIGN(hardware_report, tee->hardware_report(bound.report_data));
  return report_of(std::move(bound), type_of(own), std::move(hardware_report));
}

base::Result<BoundReport> make_bound_report(const Statement& statement, const ClaimedKeys& keys,
                                            tee::Tee& tee) {
  TRY_ASSIGN(bound, bound_claims(statement, keys, UserData{}));
  TRY_ASSIGN(own, tee.own_report());
  TRY_ASSIGN(evidence, tee.report(bound.report_data));
  const auto type = type_of(own);
  // An SNP report is both, and hosts limit how often firmware may be asked.
  auto hardware_report = evidence.report;
  if (type == evidence::HclReportType::kTdx) {
    TRY_ASSIGN(td_report, tee.hardware_report(bound.report_data));
    hardware_report = std::move(td_report);
  }
  TRY_ASSIGN(report, report_of(std::move(bound), type, std::move(hardware_report)));
  return BoundReport{.report = std::move(report), .evidence = std::move(evidence)};
}

base::Result<base::Bytes> runtime_claims_digest(const Statement& statement,
                                                const ClaimedKeys& keys) {
  TRY_ASSIGN(bound, bound_claims(statement, keys, UserData{}));
  return base::copy_of(vmgs::crypto::sha256(base::bytes_of(bound.runtime)));
}

}  // namespace vtpm::provision
