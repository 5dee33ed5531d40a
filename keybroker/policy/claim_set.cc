// SPDX-License-Identifier: Apache-2.0
#include "keybroker/policy/claim_set.h"

#include <boost/json/array.hpp>

#include "keybroker/crypto/time.h"
#include "keybroker/policy/claim_names.h"
#include "keybroker/protocol/uuid.h"
#include "vmgs/base/bytes.h"
#include "vmgs/crypto/base64.h"

namespace keybroker::policy {

namespace {

namespace json = boost::json;
using protocol::TeeFamily;

template <typename T>
std::string hex(const T& bytes) {
  return base::to_hex(bytes);
}

// The bytes of a number as the report has them, least significant first: so MAA prints bit fields.
std::string hex_le(std::uint64_t number) {
  base::U64Le bytes;
  bytes = number;
  return base::to_hex(base::view(bytes));
}

json::object bits_json(std::uint64_t value, std::span<const evidence::NamedBit> bits) {
  json::object object;
  for (const auto& bit : bits) {
    object[bit.name] = (value & bit.mask) != 0;
  }
  return object;
}

bool td_bit(std::uint64_t attributes, unsigned bit) { return ((attributes >> bit) & 1U) != 0; }

// MAA's names for an SNP report.
void put_maa_snp(json::object& set, const evidence::SnpClaims& claims) {
  const auto& report = claims.report;
  const auto tcb = claims.tcb(report.reported_tcb);
  const auto put = [&](std::string_view suffix, const auto& value) {
    set["x-ms-sevsnpvm-" + std::string(suffix)] = value;
  };
  set["x-ms-attestation-type"] = "sevsnpvm";
  put("authorkeydigest", hex(report.author_key_digest));
  put("bootloader-svn", tcb.boot_loader);
  put("familyId", hex(report.family_id));
  put("guestsvn", report.guest_svn);
  put("hostdata", hex(report.host_data));
  put("idkeydigest", hex(report.id_key_digest));
  put("imageId", hex(report.image_id));
  put("is-debuggable", report.debug());
  put("launchmeasurement", hex(report.measurement));
  put("microcode-svn", tcb.microcode);
  put("migration-allowed", (report.policy & evidence::kSnpPolicyMigrationAgent) != 0);
  put("reportdata", hex(report.report_data));
  put("reportid", hex(report.report_id));
  put("smt-allowed", (report.policy & evidence::kSnpPolicySmt) != 0);
  put("snpfw-svn", tcb.snp);
  put("tee-svn", tcb.tee);
  put("vmpl", report.vmpl);
}

// MAA's names for a TDX quote, and Intel's for the same.
void put_maa_tdx(json::object& set, const evidence::TdxClaims& claims) {
  const auto& body = claims.quote.body;
  const auto attributes = body.attributes.value();
  const bool debug = (attributes & evidence::kTdAttributeDebug) != 0;
  set["x-ms-attestation-type"] = "tdxvm";
  if (claims.tcb) {
    set["attester_tcb_status"] = evidence::name(claims.tcb->status);
  }
  set["dbgstat"] = debug ? "enabled" : "disabled";
  set["tdx_mrconfigid"] = hex(body.mr_config_id);
  set["tdx_mrowner"] = hex(body.mr_owner);
  set["tdx_mrownerconfig"] = hex(body.mr_owner_config);
  set["tdx_mrseam"] = hex(body.mr_seam);
  set["tdx_mrsignerseam"] = hex(body.mr_signer_seam);
  set["tdx_mrtd"] = hex(body.mr_td);
  set["tdx_report_data"] = hex(body.report_data);
  for (std::size_t i = 0; i < body.rtmr.size(); ++i) {
    set["tdx_rtmr" + std::to_string(i)] = hex(body.rtmr.at(i));
  }
  set["tdx_seam_attributes"] = hex_le(body.seam_attributes.value());
  // The first two bytes of TEE_TCB_SVN as one number, the module's version above its SVN: a module
  // 1.5 with SVN 13 is 269.
  set["tdx_seamsvn"] = std::to_integer<std::uint32_t>(body.tee_tcb_svn[0]) |
                       std::to_integer<std::uint32_t>(body.tee_tcb_svn[1]) << 8U;
  set["tdx_td_attributes"] = hex_le(attributes);
  set["tdx_td_attributes_debug"] = debug;
  // Intel TDX module ABI, ATTRIBUTES.
  set["tdx_td_attributes_septve_disable"] = td_bit(attributes, 28);
  set["tdx_td_attributes_protection_keys"] = td_bit(attributes, 30);
  set["tdx_td_attributes_key_locker"] = td_bit(attributes, 31);
  set["tdx_td_attributes_perfmon"] = td_bit(attributes, 63);
  set["tdx_tee_tcb_svn"] = hex(body.tee_tcb_svn);
  set["tdx_xfam"] = hex_le(body.xfam.value());
}

void put_flag(json::object& object, std::string_view name, const std::optional<bool>& flag) {
  if (flag) {
    object[name] = *flag;
  }
}

json::object runtime_json(const protocol::RuntimeClaims& runtime) {
  json::array keys;
  for (const auto& key : runtime.keys) {
    json::array operations;
    for (const auto& operation : key.key_ops) {
      operations.emplace_back(operation);
    }
    using vmgs::crypto::Base64;
    keys.push_back({{"kid", key.kid},
                    {"key_ops", std::move(operations)},
                    {"kty", "RSA"},
                    {"e", vmgs::crypto::encode_base64(key.exponent, Base64::kUrl)},
                    {"n", vmgs::crypto::encode_base64(key.modulus, Base64::kUrl)}});
  }
  json::object vm{{"vmUniqueId", runtime.vm.vm_unique_id}};
  put_flag(vm, "secure-boot", runtime.vm.secure_boot);
  put_flag(vm, "tpm-enabled", runtime.vm.tpm_enabled);
  put_flag(vm, "tpm-persisted", runtime.vm.tpm_persisted);
  put_flag(vm, "console-enabled", runtime.vm.console_enabled);
  if (runtime.vm.hardware_sealing_policy) {
    vm["hardware-sealing-policy"] = *runtime.vm.hardware_sealing_policy;
  }
  json::object object{{"keys", std::move(keys)}, {"vm-configuration", std::move(vm)}};
  if (runtime.user_data) {
    object["user-data"] = hex(*runtime.user_data);
  }
  return object;
}

json::object tcb_json(const evidence::TcbVersion& tcb, evidence::TcbForm form) {
  json::object object;
  if (form == evidence::TcbForm::kTurin) {
    object["fmc"] = tcb.fmc;
  }
  object["boot_loader"] = tcb.boot_loader;
  object["tee"] = tcb.tee;
  object["snp"] = tcb.snp;
  object["microcode"] = tcb.microcode;
  return object;
}

void put_own_snp(json::object& set, const evidence::SnpClaims& claims) {
  const auto& report = claims.report;
  const auto form = claims.product ? evidence::tcb_form(*claims.product) : report.tcb_form();
  const auto tcb = [&](const evidence::RawTcb& raw) { return tcb_json(claims.tcb(raw), form); };
  set[kDebugClaim] = report.debug();
  set["strongroom-migratable"] = (report.policy & evidence::kSnpPolicyMigrationAgent) != 0;
  set[kMeasurementClaim] = hex(report.measurement);
  set[kLaunchDigestClaim] = hex(report.host_data);
  if (!claims.chip_masked()) {
    set["strongroom-chip-id"] = hex(report.chip_id);
  }
  if (claims.product) {
    set[kSnpProductClaim] = evidence::name(*claims.product);
  }
  if (claims.signer) {
    set["strongroom-snp-signer"] =
        *claims.signer == evidence::SnpSigningKey::kVlek ? "vlek" : "vcek";
  }
  if (claims.csp) {
    set["strongroom-snp-csp"] = *claims.csp;
  }
  set[kSnpTcbClaim] = json::object{{"reported", tcb(report.reported_tcb)},
                                   {"committed", tcb(report.committed_tcb)},
                                   {"current", tcb(report.current_tcb)},
                                   {"launch", tcb(report.launch_tcb)}};
  set["strongroom-snp-policy"] = bits_json(report.policy, evidence::snp_policy_bits());
  set["strongroom-snp-platform"] = bits_json(report.platform_info, evidence::snp_platform_bits());
}

json::object tdx_tcb_json(const evidence::TdxClaims& claims) {
  json::object object;
  const auto put = [&](std::string_view name, const std::optional<evidence::TcbStatus>& status) {
    if (status) {
      object[name] = evidence::name(*status);
    }
  };
  if (claims.tcb) {
    json::array advisories;
    for (const auto& advisory : claims.tcb->advisories) {
      advisories.emplace_back(advisory);
    }
    put("status", claims.tcb->status);
    object["date"] = crypto::to_text(claims.tcb->date);
    object["advisories"] = std::move(advisories);
  }
  put("platform_status", claims.platform_status);
  put("module_status", claims.module_status);
  put("qe_status", claims.qe_status);
  if (claims.evaluation_number) {
    object["evaluation_number"] = *claims.evaluation_number;
  }
  return object;
}

void put_own_tdx(json::object& set, const evidence::TdxClaims& claims) {
  const auto& body = claims.quote.body;
  const auto attributes = body.attributes.value();
  const auto bits = bits_json(attributes, evidence::td_attribute_bits());
  set[kDebugClaim] = (attributes & evidence::kTdAttributeDebug) != 0;
  if (const auto* migratable = bits.if_contains("migratable")) {
    set["strongroom-migratable"] = *migratable;
  }
  set[kMeasurementClaim] = hex(body.mr_td);
  set[kLaunchDigestClaim] = hex(body.mr_config_id);
  if (claims.platform) {
    set["strongroom-chip-id"] = hex(claims.platform->ppid);
    set["strongroom-tdx-fmspc"] = hex(claims.platform->fmspc);
  }
  set["strongroom-tdx-module"] =
      json::object{{"version", std::to_integer<unsigned>(body.tee_tcb_svn[1])},
                   {"svn", std::to_integer<unsigned>(body.tee_tcb_svn[0])}};
  set[kTdxTcbClaim] = tdx_tcb_json(claims);
  set["strongroom-tdx-attributes"] = bits;
}

void put_launch(json::object& set, const protocol::LaunchDocument& launch) {
  set["strongroom-protection"] = protocol::name(launch.protection);
  set["strongroom-lifetime"] = protocol::name(launch.lifetime);
  set["strongroom-offline"] = protocol::name(launch.offline_rule);
  set["strongroom-anchor"] = protocol::name(launch.anchor_class);
}

void put_facts(json::object& set, const BrokerFacts& facts) {
  if (facts.vm_id) {
    set["strongroom-vm-id"] = protocol::uuid_text(*facts.vm_id);
  }
  if (facts.tenant) {
    set["strongroom-tenant"] = protocol::uuid_text(*facts.tenant);
  }
  if (!facts.region.empty()) {
    set["strongroom-region"] = facts.region;
  }
  if (facts.launch) {
    put_launch(set, *facts.launch);
  }
  if (facts.execution_policy_digest) {
    set["strongroom-execution-policy-digest"] = hex(*facts.execution_policy_digest);
  }
  if (facts.freshness) {
    set["strongroom-freshness"] = name(*facts.freshness);
  }
  if (facts.epoch) {
    set["strongroom-epoch"] = *facts.epoch;
  }
  if (facts.restores) {
    set["strongroom-restores"] = *facts.restores;
  }
}

}  // namespace

std::string_view name(Freshness freshness) {
  switch (freshness) {
    case Freshness::kFresh:
      return "fresh";
    case Freshness::kOffline:
      return "offline";
    case Freshness::kUnanchored:
      break;
  }
  return "unanchored";
}

const json::value* ClaimSet::find(std::string_view path) const {
  const auto* object = &json;
  for (;;) {
    const auto dot = path.find('.');
    const auto* value = object->if_contains(path.substr(0, dot));
    if (value == nullptr || dot == std::string_view::npos) {
      return value;
    }
    if (!value->is_object()) {
      return nullptr;
    }
    object = &value->get_object();
    path.remove_prefix(dot + 1);
  }
}

ClaimSet claim_set(const evidence::Claims& claims, const BrokerFacts& facts) {
  ClaimSet set;
  json::object tee;
  if (claims.snp) {
    put_maa_snp(tee, *claims.snp);
    put_own_snp(set.json, *claims.snp);
  }
  if (claims.tdx) {
    put_maa_tdx(tee, *claims.tdx);
    put_own_tdx(set.json, *claims.tdx);
  }
  if (claims.runtime && claims.claims_bound) {
    tee["x-ms-runtime"] = runtime_json(*claims.runtime);
  }
  // A guest that is known by quotes of its TPM is another thing than the TEE around it, and MAA
  // keeps them apart: a policy for bare reports does not meet a guest by accident.
  if (claims.quotes.empty()) {
    set.json.insert(tee.begin(), tee.end());
  } else if (!tee.empty()) {
    set.json[kIsolationTeeClaim] = std::move(tee);
  }
  set.json["x-ms-ver"] = "1.0";
  if (claims.secure_boot && claims.secure_boot->enabled) {
    set.json["secureboot"] = *claims.secure_boot->enabled;
  }
  set.json[kRootClassClaim] = evidence::name(claims.root_class);
  set.json[kTeeClaim] = protocol::name(claims.tee);
  set.json["strongroom-verified-at"] = crypto::to_text(claims.verified_at);
  if (claims.ak_name) {
    set.json["strongroom-ak-name"] = hex(*claims.ak_name);
  }
  if (claims.ak_statement) {
    set.json["strongroom-ak-class"] = evidence::name(claims.ak_statement->ak_class);
  }
  if (claims.extended && claims.claims_bound) {
    set.json["strongroom-seed-origin"] = protocol::name(claims.extended->origin);
  }
  put_facts(set.json, facts);
  return set;
}

}  // namespace keybroker::policy
