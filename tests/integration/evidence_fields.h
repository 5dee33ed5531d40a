// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <stdexcept>
#include <string>

#include "keybroker/evidence/snp_endorsement.h"
#include "keybroker/evidence/verify.h"
#include "tests/integration/evidence_item.h"
#include "vmgs/base/layout.h"

// The fields of captured evidence as a manifest names them.
namespace tests::integration {

// What a manifest says as text under dotted names: numbers in decimal digits, text in lower case.
using Flat = std::map<std::string, std::string>;

inline void flatten(const json::value& value, const std::string& name, Flat& out) {
  if (value.is_object()) {
    for (const auto& member : value.get_object()) {
      flatten(member.value(), (name.empty() ? "" : name + ".") + std::string(member.key()), out);
    }
  } else if (value.is_array()) {
    for (std::size_t i = 0; i < value.get_array().size(); ++i) {
      flatten(value.get_array()[i], name + "." + std::to_string(i), out);
    }
  } else if (value.is_string()) {
    auto text = std::string(value.get_string());
    std::ranges::transform(text, text.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    out[name] = text;
  } else if (!value.is_null()) {
    out[name] = json::serialize(value);
  }
}

// Told collects the same of what was decoded.
class Told {
 public:
  explicit Told(std::string prefix = "") : prefix_(std::move(prefix)) {}

  template <typename T>
  void hex(const std::string& name, const T& bytes) {
    flat[prefix_ + name] = base::to_hex(bytes);
  }

  void number(const std::string& name, std::uint64_t number) {
    flat[prefix_ + name] = std::to_string(number);
  }

  void hex_number(const std::string& name, std::uint64_t number) {
    base::U64Be bytes;
    bytes = number;
    const auto digits = base::to_hex(base::view(bytes));
    const auto first = std::min(digits.find_first_not_of('0'), digits.size() - 1);
    flat[prefix_ + name] = "0x" + digits.substr(first);
  }

  void flag(const std::string& name, bool flag) { flat[prefix_ + name] = flag ? "true" : "false"; }

  void text(const std::string& name, const std::string& text) {
    Flat lower;
    flatten(json::value(text), prefix_ + name, lower);
    flat.merge(lower);
  }

  Flat flat;

 private:
  std::string prefix_;
};

inline void tell_tcb(Told& told, const std::string& name, const RawTcb& raw, TcbForm form) {
  const auto tcb = decode_tcb(raw, form);
  told.hex(name + ".raw_le_hex", raw);
  told.hex(name + "_le_hex", raw);
  told.number(name + ".bootloader", tcb.boot_loader);
  told.number(name + ".tee", tcb.tee);
  told.number(name + ".snp", tcb.snp);
  told.number(name + ".microcode", tcb.microcode);
}

inline Flat tell_snp(base::ByteView bytes, const std::string& prefix) {
  const auto report = must(decode_snp_report(bytes));
  Told told(prefix);
  told.number("version", report.version);
  told.number("guest_svn", report.guest_svn);
  told.hex_number("policy", report.policy);
  told.number("policy_decoded.abi_minor", report.policy & 0xFF);
  told.flag("policy_decoded.smt", (report.policy & kSnpPolicySmt) != 0);
  told.flag("policy_decoded.migrate_ma", (report.policy & kSnpPolicyMigrationAgent) != 0);
  told.flag("policy_decoded.debug", report.debug());
  told.number("vmpl", report.vmpl);
  told.hex_number("platform_info", report.platform_info);
  told.hex_number("key_info", (report.author_key_enabled ? 1U : 0U) |
                                  (report.chip_key_masked ? 2U : 0U) |
                                  static_cast<unsigned>(report.signing_key) << 2U);
  told.hex("family_id", report.family_id);
  told.hex("image_id", report.image_id);
  told.hex("report_data", report.report_data);
  told.hex("measurement", report.measurement);
  told.hex("host_data", report.host_data);
  told.hex("id_key_digest", report.id_key_digest);
  told.hex("author_key_digest", report.author_key_digest);
  told.hex("report_id", report.report_id);
  told.hex("report_id_ma", report.report_id_ma);
  told.hex("chip_id", report.chip_id);
  const auto cpu = report.cpu.value_or(SnpCpu{});
  const std::array fms{std::byte{cpu.family}, std::byte{cpu.model}, std::byte{cpu.stepping}};
  told.hex("cpuid_family_model_stepping", fms);
  told.hex("cpuid_fms", fms);
  const auto form = report.tcb_form();
  tell_tcb(told, "reported_tcb", report.reported_tcb, form);
  tell_tcb(told, "current_tcb", report.current_tcb, form);
  tell_tcb(told, "committed_tcb", report.committed_tcb, form);
  tell_tcb(told, "launch_tcb", report.launch_tcb, form);
  base::U64Le mitigations;
  mitigations = report.launch_mitigations;
  told.hex("launch_mit_vector", base::view(mitigations));
  mitigations = report.current_mitigations;
  told.hex("current_mit_vector", base::view(mitigations));
  return told.flat;
}

inline SnpProduct product_of(const Item& item) {
  return parse_snp_product(item.text("product")).value_or(SnpProduct::kTurin);
}

inline Flat tell_endorsement(const Item& item, const Certificate& leaf, const std::string& prefix) {
  const auto product = product_of(item);
  Told told(prefix);
  if (const auto tcb = decode_endorsed_tcb(leaf, product)) {
    for (const char* group : {"", "cert_tcb."}) {
      told.number(std::string(group) + "bootloader", tcb->tcb.boot_loader);
      told.number(std::string(group) + "tee", tcb->tcb.tee);
      told.number(std::string(group) + "snp", tcb->tcb.snp);
      told.number(std::string(group) + "microcode", tcb->tcb.microcode);
    }
    told.number("fmc", tcb->tcb.fmc);
    told.number("struct_version", static_cast<std::uint64_t>(tcb->structure_version));
    told.text("product_name", tcb->product_name);
    told.text("cert_product_name", tcb->product_name);
  }
  const auto kind = endorsement_kind(leaf);
  if (const auto identity = kind ? decode_endorsed_identity(leaf, product, *kind)
                                 : base::Result<SnpEndorsedIdentity>(SnpEndorsedIdentity{})) {
    if (identity->hwid) {
      told.hex("hwid", *identity->hwid);
      told.hex("cert_hwid", *identity->hwid);
    }
    told.text("cert_csp_id", identity->csp.value_or(""));
  }
  return told.flat;
}

inline Flat tell_quote(base::ByteView bytes) {
  const auto read = read_td_quote(bytes);
  if (!read.quote) {
    throw std::runtime_error("the quote cannot be read");
  }
  const auto& quote = *read.quote;
  const auto& body = quote.body;
  Told told;
  told.number("version", quote.form == TdQuoteForm::kV4 ? 4 : 5);
  told.number("att_key_type", 2);
  told.hex_number("tee_type", 0x81);
  told.hex("user_data", quote.user_data);
  told.hex("tee_tcb_svn", body.tee_tcb_svn);
  told.hex("mr_seam", body.mr_seam);
  told.hex("mrsigner_seam", body.mr_signer_seam);
  told.hex("seam_attributes", base::view(body.seam_attributes));
  told.hex("td_attributes", base::view(body.attributes));
  told.hex("xfam", base::view(body.xfam));
  told.hex("mr_td", body.mr_td);
  told.hex("mr_config_id", body.mr_config_id);
  told.hex("mr_owner", body.mr_owner);
  told.hex("mr_owner_config", body.mr_owner_config);
  for (std::size_t i = 0; i < body.rtmr.size(); ++i) {
    told.hex("rtmr" + std::to_string(i), body.rtmr.at(i));
  }
  told.hex("report_data", body.report_data);
  told.flag("debug", (body.attributes.value() & kTdAttributeDebug) != 0);
  told.flag("sept_ve_disable", (body.attributes.value() & 1U << 28U) != 0);
  told.number("signed_bytes", quote.signed_bytes());
  told.number("trailing_bytes_after_signature_data", bytes.size() - encode(quote).size());
  told.flag("trailing_all_zero", base::is_all_zero(bytes.subspan(encode(quote).size())));
  told.flag("pem_chain_ends_with_nul", quote.pck_chain.ends_with('\0'));
  if (quote.body_15) {
    told.number("body_type", 3);
    told.number("body_size", 648);
    told.hex("tee_tcb_svn2", quote.body_15->tee_tcb_svn2);
    told.hex("mr_servicetd", quote.body_15->mr_service_td);
  }
  const auto& qe = quote.qe_report;
  told.hex("qe.cpu_svn", qe.cpu_svn);
  told.hex("qe.misc", base::view(qe.misc_select));
  told.hex("qe.attributes", qe.attributes);
  told.hex("qe.mrenclave", qe.mr_enclave);
  told.hex("qe.mrsigner", qe.mr_signer);
  told.number("qe.prodid", qe.isv_prod_id.value());
  told.number("qe.svn", qe.isv_svn.value());
  told.hex("qe.report_data", qe.report_data);
  return told.flat;
}

// What only verifying a quote finds out.
inline Flat tell_tdx_claims(const TdxClaims& claims) {
  Told told;
  if (claims.platform) {
    const auto& platform = *claims.platform;
    told.hex("pck.fmspc", platform.fmspc);
    told.hex("pck.pceid", platform.pce_id);
    told.hex("pck.ppid", platform.ppid);
    told.number("pck.sgx_type", static_cast<std::uint64_t>(platform.type));
    told.number("pck.pcesvn", platform.tcb.pce_svn);
    told.hex("pck.cpusvn", platform.tcb.cpu_svn);
    for (std::size_t i = 0; i < platform.tcb.components.size(); ++i) {
      told.number("pck.tcb_components." + std::to_string(i), platform.tcb.components.at(i));
    }
  }
  if (claims.evaluation_number) {
    told.number("collateral.tcb_evaluation_data_number", *claims.evaluation_number);
  }
  if (claims.platform_status) {
    told.text("collateral.platform_tcb_level.status", std::string(name(*claims.platform_status)));
  }
  if (claims.module_status) {
    told.text("collateral.tdx_module_level.1", std::string(name(*claims.module_status)));
  }
  if (claims.qe_status) {
    told.text("collateral.qe_tcb_status.0", std::string(name(*claims.qe_status)));
  }
  return told.flat;
}

inline Flat tell_hcl(base::ByteView bytes, const std::string& prefix) {
  const auto hcl = must(decode_hcl_report(bytes));
  const auto claims = must(keybroker::protocol::decode_runtime_claims(hcl.claims));
  Told told(prefix);
  told.number("hcl_version", hcl.version);
  told.number("hcl_report_size", kHclClaimsOffset + hcl.claims.size());
  told.number("request_type", hcl.request_type);
  told.number("report_type", static_cast<std::uint64_t>(hcl.type));
  told.number("hash_type", 1);
  told.number("runtime_claims_len", hcl.claims.size());
  told.text("vm_unique_id", claims.vm.vm_unique_id);
  told.text("vm_configuration.vmUniqueId", claims.vm.vm_unique_id);
  told.flag("secure_boot", claims.vm.secure_boot.value_or(false));
  told.flag("vm_configuration.secure-boot", claims.vm.secure_boot.value_or(false));
  told.flag("vm_configuration.tpm-enabled", claims.vm.tpm_enabled.value_or(false));
  told.flag("vm_configuration.tpm-persisted", claims.vm.tpm_persisted.value_or(false));
  told.flag("vm_configuration.console-enabled", claims.vm.console_enabled.value_or(false));
  for (std::size_t i = 0; i < claims.keys.size(); ++i) {
    told.text("runtime_claims_key_ids." + std::to_string(i), claims.keys[i].kid);
  }
  if (claims.user_data) {
    told.hex("user_data", *claims.user_data);
  }
  return told.flat;
}

// What a quote says, whatever becomes of it.
inline std::optional<QuoteClaims> read_quote(const QuoteEvidence& evidence) {
  const auto read = read_tpm_quote(evidence.attest);
  if (!read.quote || read.quote->selections.size() != 1) {
    return std::nullopt;
  }
  const auto& selection = read.quote->selections.front();
  const auto bank = hash_of_tpm(selection.bank);
  if (!bank || bank == keybroker::crypto::Hash::kSha1) {
    return std::nullopt;
  }
  QuoteClaims claims;
  claims.quote = *read.quote;
  claims.bank = *bank;
  claims.pcrs = evidence.pcrs;
  if (claims.pcrs.empty() && evidence.listed_pcrs.size() == selection.pcrs.size()) {
    auto value = evidence.listed_pcrs.begin();
    for (const auto pcr : selection.pcrs) {
      claims.pcrs[pcr] = *value++;
    }
  }
  return claims;
}

inline Flat tell_tpm_quote(const QuoteClaims& claims, const std::string& prefix) {
  const auto& quote = claims.quote;
  Told told(prefix);
  told.hex("extra_data_hex", quote.extra_data);
  told.hex("nonce_hex", quote.extra_data);
  told.hex("pcr_digest", quote.pcr_digest);
  told.hex("qualified_signer", quote.qualified_signer);
  told.number("clock", quote.clock.clock);
  told.number("reset_count", quote.clock.reset_count);
  told.number("restart_count", quote.clock.restart_count);
  told.number("safe", quote.clock.safe ? 1 : 0);
  told.hex_number("firmware_version", quote.firmware_version);
  told.hex_number("pcr_selection.0.0", tpm_of_hash(claims.bank));
  std::size_t place = 0;
  for (const auto& [index, value] : claims.pcrs) {
    told.hex("pcr" + std::to_string(index), value);
    told.number("pcr_selection.0.1." + std::to_string(place++), index);
  }
  return told.flat;
}

inline std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// expect_fields() compares each field that both know, and that these are enough to be a comparison.
inline void expect_fields(const Item& item, const Flat& told, std::size_t least) {
  Flat wanted;
  flatten(item.fields(), "", wanted);
  std::size_t compared = 0;
  for (const auto& [name, value] : wanted) {
    if (const auto found = told.find(name); found != told.end()) {
      EXPECT_EQ(found->second, value) << name;
      ++compared;
    }
  }
  EXPECT_GE(compared, least);
}

// The date of the whole is that of its oldest part, and the platform is one of them.
inline void expect_date(const Item& item, const TdxClaims& claims) {
  Flat wanted;
  flatten(item.fields(), "", wanted);
  const auto date = wanted.find("collateral.platform_tcb_level.date");
  if (claims.tcb && date != wanted.end()) {
    EXPECT_LE(lower(keybroker::crypto::to_text(claims.tcb->date)), date->second);
  }
}

inline std::string describe(const Verdict& verdict) {
  std::string text = verdict.accepted ? "accepted" : "refused";
  for (const auto& check : verdict.checks) {
    if (check.outcome == Outcome::kFail || check.outcome == Outcome::kNotRun) {
      text += "\n  " + check.name + " " + std::string(name(check.outcome)) + " " +
              (check.reason ? std::string(card(*check.reason).code) : "") + ": " + check.detail;
    }
  }
  return text;
}

inline bool has_failure(const Verdict& verdict, Reason reason) {
  return std::ranges::any_of(verdict.checks,
                             [&](const Check& check) { return check.reason == reason; });
}

}  // namespace tests::integration
