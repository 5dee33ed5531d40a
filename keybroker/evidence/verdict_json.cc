// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/verdict_json.h"

#include <array>

#include "keybroker/protocol/uuid.h"

namespace keybroker::evidence {

namespace {

namespace json = boost::json;

template <typename T>
std::string hex(const T& bytes) {
  return base::to_hex(bytes);
}

std::string hex_number(std::uint64_t number) {
  base::U64Be bytes;
  bytes = number;
  return base::to_hex(base::view(bytes));
}

json::object tcb_json(const TcbVersion& tcb, TcbForm form) {
  json::object object;
  if (form == TcbForm::kTurin) {
    object["fmc"] = tcb.fmc;
  }
  object["boot_loader"] = tcb.boot_loader;
  object["tee"] = tcb.tee;
  object["snp"] = tcb.snp;
  object["microcode"] = tcb.microcode;
  return object;
}

json::object bits_json(std::uint64_t value, std::span<const NamedBit> bits) {
  json::object object;
  for (const auto& bit : bits) {
    object[bit.name] = (value & bit.mask) != 0;
  }
  return object;
}

void put_unless_zero(json::object& object, std::string_view name, base::ByteView bytes) {
  if (!base::is_all_zero(bytes)) {
    object[name] = base::to_hex(bytes);
  }
}

void put_status(json::object& object, std::string_view name,
                const std::optional<TcbStatus>& status) {
  if (status) {
    object[name] = json::object{{"status", evidence::name(*status)}};
  }
}

json::object vm_json(const Claims& claims) {
  const auto& runtime = *claims.runtime;
  json::object object{{"bound", claims.claims_bound}, {"vm_id", runtime.vm.vm_unique_id}};
  const auto flag = [&](std::string_view name, const std::optional<bool>& value) {
    if (value) {
      object[name] = *value;
    }
  };
  flag("secure_boot", runtime.vm.secure_boot);
  flag("tpm_enabled", runtime.vm.tpm_enabled);
  flag("tpm_persisted", runtime.vm.tpm_persisted);
  flag("console_enabled", runtime.vm.console_enabled);
  if (runtime.vm.hardware_sealing_policy) {
    object["hardware_sealing_policy"] = *runtime.vm.hardware_sealing_policy;
  }
  json::array kids;
  for (const auto& key : runtime.keys) {
    kids.emplace_back(key.kid);
  }
  object["keys"] = std::move(kids);
  if (runtime.user_data) {
    object["user_data"] = hex(*runtime.user_data);
  }
  return object;
}

json::object extended_json(const protocol::ExtendedClaims& claims) {
  json::object object{{"purpose", claims.purpose},
                      {"vm_id", protocol::uuid_text(claims.vm_id)},
                      {"boot_id", hex(claims.boot_id)},
                      {"launch", hex(claims.launch)},
                      {"home", protocol::name(claims.home)},
                      {"origin", protocol::name(claims.origin)},
                      {"lifetime", protocol::name(claims.lifetime)},
                      {"state_protection",
                       {{"mode", protocol::name(claims.state_protection.mode)},
                        {"kek", claims.state_protection.kek},
                        {"tcb", claims.state_protection.tcb}}},
                      {"ek_name", hex(claims.ek_name)},
                      {"ak_name", hex(claims.ak_name)},
                      {"tee_simulated", claims.tee_simulated}};
  if (claims.ecc_ak_name) {
    object["ecc_ak_name"] = hex(*claims.ecc_ak_name);
  }
  if (claims.ecc_ek_name) {
    object["ecc_ek_name"] = hex(*claims.ecc_ek_name);
  }
  if (claims.freshness) {
    object["freshness"] = *claims.freshness;
  }
  return object;
}

json::object ak_json(const Claims& claims) {
  json::object object{
      {"key", claims.ak->describe()},
      {"spki_sha256", hex(crypto::digest(crypto::Hash::kSha256, claims.ak->spki()))}};
  if (claims.ak_name) {
    object["name"] = hex(*claims.ak_name);
  }
  if (claims.ak_statement) {
    const auto& said = *claims.ak_statement;
    object["certificate"] = json::object{{"class", name(said.ak_class)},
                                         {"vm_id", protocol::uuid_text(said.vm_id)},
                                         {"tee", protocol::name(said.tee)},
                                         {"measurement", hex(said.measurement)},
                                         {"launch", hex(said.launch)},
                                         {"protection", protocol::name(said.protection)},
                                         {"lifetime", protocol::name(said.lifetime)},
                                         {"origin", protocol::name(said.origin)},
                                         {"epoch", said.epoch}};
  }
  if (claims.ak_certificate_until) {
    object["certificate_until"] = crypto::to_text(*claims.ak_certificate_until);
  }
  return object;
}

json::object database_json(const MeasuredDatabase& database) {
  json::array certificates;
  std::size_t hashes = 0;
  for (const auto& entry : database.entries) {
    if (entry.is_certificate()) {
      certificates.emplace_back(hex(crypto::digest(crypto::Hash::kSha256, entry.content)));
    } else {
      ++hashes;
    }
  }
  return {{"event", database.event},
          {"certificates_sha256", std::move(certificates)},
          {"other_entries", hashes}};
}

// Until when the verdict could be repeated with what it rests on.
void put_until(json::object& object, const std::optional<crypto::Time>& until) {
  if (until) {
    object["collateral"] = json::object{{"until", crypto::to_text(*until)}};
  }
}

}  // namespace

json::object to_json(const SnpClaims& claims) {
  const auto& report = claims.report;
  const auto form = claims.product ? tcb_form(*claims.product) : report.tcb_form();
  const auto tcb = [&](const RawTcb& raw) { return tcb_json(claims.tcb(raw), form); };
  json::object object{{"version", report.version},
                      {"measurement", hex(report.measurement)},
                      {"host_data", hex(report.host_data)},
                      {"report_data", hex(report.report_data)},
                      {"report_id", hex(report.report_id)},
                      {"guest_svn", report.guest_svn},
                      {"family_id", hex(report.family_id)},
                      {"image_id", hex(report.image_id)},
                      {"vmpl", report.vmpl},
                      {"policy", hex_number(report.policy)},
                      {"platform", bits_json(report.platform_info, snp_platform_bits())},
                      {"tcb",
                       {{"reported", tcb(report.reported_tcb)},
                        {"current", tcb(report.current_tcb)},
                        {"committed", tcb(report.committed_tcb)},
                        {"launch", tcb(report.launch_tcb)}}}};
  for (const auto& bit : snp_policy_bits()) {
    object[bit.name] = (report.policy & bit.mask) != 0;
  }
  if (claims.product) {
    object["product"] = name(*claims.product);
  }
  put_unless_zero(object, "id_key_digest", report.id_key_digest);
  put_unless_zero(object, "author_key_digest", report.author_key_digest);
  put_unless_zero(object, "chip_id", report.chip_id);
  if (report.version >= 5) {
    object["mit"] = json::object{{"launch", hex_number(report.launch_mitigations)},
                                 {"current", hex_number(report.current_mitigations)}};
  }
  if (claims.signer) {
    object["signer"] = *claims.signer == SnpSigningKey::kVlek ? "vlek" : "vcek";
  }
  if (claims.csp) {
    object["csp"] = *claims.csp;
  }
  put_until(object, claims.collateral_until);
  return object;
}

json::object to_json(const TdxClaims& claims, Identifiers identifiers) {
  const auto& body = claims.quote.body;
  json::object object{{"mrtd", hex(body.mr_td)},
                      {"mr_config_id", hex(body.mr_config_id)},
                      {"mr_owner", hex(body.mr_owner)},
                      {"mr_owner_config", hex(body.mr_owner_config)},
                      {"report_data", hex(body.report_data)},
                      {"td", bits_json(body.attributes.value(), td_attribute_bits())},
                      {"xfam", hex_number(body.xfam.value())},
                      {"mrseam", hex(body.mr_seam)},
                      {"tee_tcb_svn", hex(body.tee_tcb_svn)}};
  for (std::size_t i = 0; i < body.rtmr.size(); ++i) {
    object["rtmr" + std::to_string(i)] = hex(body.rtmr.at(i));
  }
  if (claims.quote.body_15) {
    object["tee_tcb_svn2"] = hex(claims.quote.body_15->tee_tcb_svn2);
    object["mr_servicetd"] = hex(claims.quote.body_15->mr_service_td);
  }
  if (claims.tcb) {
    json::array advisories;
    for (const auto& advisory : claims.tcb->advisories) {
      advisories.emplace_back(advisory);
    }
    object["tcb"] = json::object{{"status", name(claims.tcb->status)},
                                 {"date", crypto::to_text(claims.tcb->date)},
                                 {"advisories", std::move(advisories)}};
    if (claims.evaluation_number) {
      object["tcb"].as_object()["eval_number"] = *claims.evaluation_number;
    }
  }
  put_status(object, "platform", claims.platform_status);
  put_status(object, "qe", claims.qe_status);
  put_status(object, "module", claims.module_status);
  if (claims.platform) {
    object["fmspc"] = hex(claims.platform->fmspc);
    object["pceid"] = hex(claims.platform->pce_id);
    if (identifiers == Identifiers::kInclude) {
      object["ppid"] = hex(claims.platform->ppid);
    }
  }
  put_until(object, claims.collateral_until);
  return object;
}

json::object to_json(const QuoteClaims& claims) {
  const auto& quote = claims.quote;
  json::object pcrs;
  for (const auto& [index, value] : claims.pcrs) {
    pcrs[std::to_string(index)] = hex(value);
  }
  return {{"bank", bank_name(claims.bank)},
          {"decides", claims.decides},
          {"nonce", hex(quote.extra_data)},
          {"qualified_signer", hex(quote.qualified_signer)},
          {"pcr_digest", hex(quote.pcr_digest)},
          {"clock", quote.clock.clock},
          {"reset_count", quote.clock.reset_count},
          {"restart_count", quote.clock.restart_count},
          {"safe", quote.clock.safe},
          {"firmware_version", hex_number(quote.firmware_version)},
          {"pcrs", std::move(pcrs)}};
}

json::object to_json(const SecureBootState& state) {
  json::object object{{"debug_mode", state.debug_mode},
                      {"dma_protection_disabled", state.dma_protection_disabled}};
  if (state.enabled) {
    object["secure_boot"] = *state.enabled;
    object["secure_boot_event"] = state.enabled_event;
  }
  for (const auto& [name, database] :
       std::array{std::pair("pk", &state.pk), std::pair("kek", &state.kek),
                  std::pair("db", &state.db), std::pair("dbx", &state.dbx)}) {
    if (*database) {
      object[name] = database_json(**database);
    }
  }
  json::array authorities;
  for (const auto& authority : state.authorities) {
    authorities.push_back({{"event", authority.event},
                           {"variable", authority.variable},
                           {"sha256", hex(authority.digest)},
                           {"certificate", authority.is_certificate}});
  }
  object["authorities"] = std::move(authorities);
  return object;
}

json::object to_json(const Claims& claims, Identifiers identifiers) {
  json::object object{{"root_class", name(claims.root_class)},
                      {"tee", protocol::name(claims.tee)},
                      {"verified_at", crypto::to_text(claims.verified_at)}};
  if (claims.snp) {
    object["snp"] = to_json(*claims.snp);
  }
  if (claims.tdx) {
    object["tdx"] = to_json(*claims.tdx, identifiers);
  }
  if (claims.runtime) {
    object["vm"] = vm_json(claims);
  }
  if (claims.extended) {
    object["extended"] = extended_json(*claims.extended);
  }
  if (claims.ak) {
    object["ak"] = ak_json(claims);
  }
  if (!claims.quotes.empty()) {
    json::array quotes;
    for (const auto& quote : claims.quotes) {
      quotes.push_back(to_json(quote));
    }
    object["quotes"] = std::move(quotes);
  }
  if (claims.secure_boot) {
    object["boot"] = to_json(*claims.secure_boot);
  }
  return object;
}

json::array to_json(const std::vector<Check>& checks) {
  json::array array;
  for (const auto& check : checks) {
    json::object object{{"name", check.name}, {"outcome", name(check.outcome)}};
    if (check.reason) {
      object["reason"] = card(*check.reason).code;
      object["stage"] = name(card(*check.reason).stage);
    }
    if (!check.detail.empty()) {
      object["detail"] = check.detail;
    }
    array.push_back(std::move(object));
  }
  return array;
}

json::object to_json(const Verdict& verdict, Identifiers identifiers) {
  json::object object{{"accepted", verdict.accepted}};
  if (verdict.reason) {
    const auto& known = card(*verdict.reason);
    object["reason"] = known.code;
    object["stage"] = name(known.stage);
    object["detail"] = verdict.detail;
  }
  object["checks"] = to_json(verdict.checks);
  if (verdict.claims) {
    object["claims"] = to_json(*verdict.claims, identifiers);
  }
  return object;
}

}  // namespace keybroker::evidence
