// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <map>

#include "keybroker/evidence/foreign_evidence.h"
#include "keybroker/evidence/snp_endorsement.h"
#include "keybroker/evidence/verify.h"
#include "keybroker/protocol/uuid.h"
#include "tests/support/evidence_vectors.h"
#include "vmgs/base/layout.h"

// Every captured piece of evidence gets the verdict, the reason and the fields of its manifest. The
// manifest is read for what it says, not for its ids, so another set of the same kinds runs as
// well.
namespace tests::integration {
namespace {

namespace json = boost::json;
using keybroker::crypto::Certificate;
using namespace keybroker::evidence;
using tests::support::read_evidence_vector;

std::string text_of(const base::Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// One item of the manifest.
class Item {
 public:
  explicit Item(const json::object& object) : object_(object) {}

  [[nodiscard]] std::string text(const char* name) const {
    const auto* value = object_.if_contains(name);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
  }

  [[nodiscard]] bool has_file(const char* role) const {
    const auto* files = object_.if_contains("files");
    return files != nullptr && files->as_object().contains(role);
  }

  [[nodiscard]] base::Bytes file(const char* role) const {
    return read_evidence_vector(std::string(object_.at("files").at(role).as_string()));
  }

  [[nodiscard]] const json::object& fields() const {
    static const json::object none;
    const auto* fields = object_.if_contains("expected_fields");
    return fields != nullptr && fields->is_object() ? fields->get_object() : none;
  }

  [[nodiscard]] bool passes() const { return text("expected_verdict").starts_with("PASS"); }

  // The nonce that the verdict is for: a word in quotes, or hexadecimal digits.
  [[nodiscard]] Expectation nonce() const {
    constexpr std::string_view kBefore = "nonce ";
    const auto verdict = text("expected_verdict");
    if (const auto at = verdict.find(kBefore); at != std::string::npos) {
      const auto told = verdict.substr(at + kBefore.size());
      if (told.starts_with('"')) {
        const auto word = told.substr(1, told.find('"', 1) - 1);
        return Expectation::one_of({base::copy_of(base::bytes_of(word))});
      }
      const auto digits = told.substr(0, told.find_first_not_of("0123456789abcdef"));
      if (!digits.empty()) {
        return Expectation::one_of({*base::from_hex(digits)});
      }
    }
    const auto* plain = fields().if_contains("nonce_hex");
    return plain == nullptr ? Expectation{}
                            : Expectation::one_of({*base::from_hex(plain->as_string())});
  }

  [[nodiscard]] bool says(std::string_view words) const {
    return text("expected_verdict").find(words) != std::string::npos ||
           text("reject_reason").find(words) != std::string::npos;
  }

  [[nodiscard]] bool flag(const char* name) const {
    const auto* value = object_.if_contains(name);
    return value != nullptr && value->is_bool() && value->get_bool();
  }

  [[nodiscard]] keybroker::crypto::Time time() const {
    const auto time = keybroker::crypto::parse_time(text("check_time"));
    return time ? *time : *keybroker::crypto::parse_time("2026-11-21T00:00:00Z");
  }

 private:
  const json::object& object_;
};

void add_pem(std::vector<Certificate>& to, const std::string& pem) {
  const auto certificates = keybroker::crypto::decode_pem_certificates(pem, 4);
  to.insert(to.end(), certificates->begin(), certificates->end());
}

// AMD's authorities of all lines lie beside the items, whether they name them or not.
Collateral collateral_of(const Item& item) {
  Collateral collateral;
  for (const char* line : {"milan", "genoa", "turin"}) {
    for (const char* kind : {"-ask-ark.pem", "-asvk-ark.pem"}) {
      add_pem(collateral.snp_authorities,
              text_of(read_evidence_vector("roots/amd/" + std::string(line) + kind)));
    }
  }
  auto& tdx = collateral.tdx;
  if (item.has_file("collateral")) {
    const auto document = json::parse(text_of(item.file("collateral")));
    const auto field = [&](const char* name) { return std::string(document.at(name).as_string()); };
    tdx.tcb_infos = {*signed_document(field("tcb_info"), field("tcb_info_signature"))};
    tdx.qe_identities = {*signed_document(field("qe_identity"), field("qe_identity_signature"))};
    for (const char* chain : {"tcb_info_issuer_chain", "qe_identity_issuer_chain"}) {
      add_pem(tdx.signers, field(chain));
    }
    for (const char* crl : {"root_ca_crl", "pck_crl"}) {
      tdx.crls.push_back(*keybroker::crypto::Crl::decode(*base::from_hex(field(crl))));
    }
  }
  if (item.has_file("tcb_info")) {
    tdx.tcb_infos = {*decode_signed_document(text_of(item.file("tcb_info")), "tcbInfo")};
    tdx.qe_identities = {
        *decode_signed_document(text_of(item.file("qe_identity")), "enclaveIdentity")};
    for (const char* chain : {"tcb_signing_chain", "qe_identity_chain"}) {
      add_pem(tdx.signers, text_of(item.file(chain)));
    }
    for (const char* crl : {"root_crl", "pck_crl"}) {
      tdx.crls.push_back(*keybroker::crypto::Crl::decode(item.file(crl)));
    }
  }
  return collateral;
}

Evidence evidence_of(const Item& item) {
  Evidence evidence;
  if (item.has_file("evidence")) {
    evidence = *decode_foreign_json(text_of(item.file("evidence")));
  }
  if (item.has_file("report")) {
    evidence.snp_report = item.file("report");
  }
  if (item.has_file("hcl_report")) {
    evidence.hcl_report = item.file("hcl_report");
  }
  if (item.has_file("endorsement_key_cert")) {
    evidence.snp_certificates = {*Certificate::decode(item.file("endorsement_key_cert"))};
  }
  for (const char* role : {"certs", "intermediate_and_root"}) {
    if (item.has_file(role)) {
      add_pem(evidence.snp_certificates, text_of(item.file(role)));
    }
  }
  if (item.has_file("quote") && item.text("tee") == "tdx") {
    evidence.td_quote = item.file("quote");
  }
  if (item.has_file("quote") && item.text("tee") == "vtpm") {
    evidence.quotes = {*decode_bincode_quote(item.file("quote"))};
  }
  if (item.has_file("tpm_quote")) {
    evidence.quotes = decode_foreign_json(text_of(item.file("tpm_quote")))->quotes;
  }
  if (item.has_file("quotes")) {
    evidence = *decode_foreign_json(text_of(item.file("quotes")));
  }
  if (item.has_file("ak_public")) {
    evidence.ak.bare_key = *keybroker::crypto::PublicKey::from_pem(text_of(item.file("ak_public")));
  }
  if (item.has_file("ak_cert")) {
    evidence.ak.certificates = {item.file("ak_cert")};
  }
  if (item.has_file("tdreport")) {
    evidence.td_report = item.file("tdreport");
  }
  if (item.has_file("event_log")) {
    evidence.event_log = item.file("event_log");
  }
  if (item.has_file("cc_event_log")) {
    evidence.cc_event_log = item.file("cc_event_log");
  }
  return evidence;
}

// What an owner of exactly this VM would ask for, as far as the manifest tells.
Policy policy_of(const Item& item, const Evidence& evidence) {
  Policy policy;
  policy.tees.insert(keybroker::protocol::TeeFamily::kNone);
  policy.nonce = item.nonce();
  policy.snp.crl = CrlRule::kOff;
  policy.snp.measurements = policy.tdx.mr_td = policy.report_data = Expectation::any();
  const auto& fields = item.fields();
  const auto* hcl = fields.if_contains("hcl");
  const auto& claims = hcl == nullptr ? fields : hcl->as_object();
  const auto& snp =
      fields.contains("snp") ? fields.at("snp").as_object() : fields;  // of an HCL report
  const auto pin = [](const json::object& object, const char* name, Expectation& expectation) {
    if (const auto* value = object.if_contains(name); value != nullptr && value->is_string()) {
      expectation = Expectation::one_of({*base::from_hex(value->as_string())});
    }
  };
  pin(snp, "measurement", policy.snp.measurements);
  pin(snp, "id_key_digest", policy.snp.id_key_digests);
  pin(snp, "host_data", policy.snp.host_data);
  pin(snp, "chip_id", policy.snp.chip_ids);
  pin(fields, "mr_td", policy.tdx.mr_td);
  pin(fields, "mr_seam", policy.tdx.mr_seam);
  pin(fields, "report_data", policy.report_data);
  for (std::size_t i = 0; i < 4; ++i) {
    pin(fields, ("rtmr" + std::to_string(i)).c_str(), policy.tdx.rtmr.at(i));
  }
  if (const auto* vmpl = snp.if_contains("vmpl")) {
    policy.snp.vmpls = {vmpl->to_number<std::uint32_t>()};
  }
  policy.snp.signers = {item.text("signing_key") == "VLEK" ? SnpSigningKey::kVlek
                                                           : SnpSigningKey::kVcek};
  const auto* vm_id = claims.if_contains("vm_unique_id");
  if (const auto* vm = claims.if_contains("vm_configuration")) {
    vm_id = vm->as_object().if_contains("vmUniqueId");
  }
  if (vm_id != nullptr) {
    policy.hcl.vm_id = *keybroker::protocol::parse_uuid(vm_id->as_string());
  }
  if (evidence.hcl_report) {
    pin(claims, "user_data", policy.hcl.user_data);
  }
  // A TPM without a TEE: its AK is one that the owner knows.
  if (evidence.ak.bare_key) {
    policy.ak.keys = Expectation::one_of({keybroker::crypto::digest(
        keybroker::crypto::Hash::kSha256, evidence.ak.bare_key->spki())});
  } else if (evidence.ak.public_area) {
    policy.ak.names = Expectation::one_of({decode_tpm_public(*evidence.ak.public_area)->name});
  }
  return policy;
}

// What a manifest says as text under dotted names: numbers in decimal digits, text in lower case.
using Flat = std::map<std::string, std::string>;

void flatten(const json::value& value, const std::string& name, Flat& out) {
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

void tell_tcb(Told& told, const std::string& name, const RawTcb& raw, TcbForm form) {
  const auto tcb = decode_tcb(raw, form);
  told.hex(name + ".raw_le_hex", raw);
  told.hex(name + "_le_hex", raw);
  told.number(name + ".bootloader", tcb.boot_loader);
  told.number(name + ".tee", tcb.tee);
  told.number(name + ".snp", tcb.snp);
  told.number(name + ".microcode", tcb.microcode);
}

Flat tell_snp(base::ByteView bytes, const std::string& prefix) {
  const auto report = *decode_snp_report(bytes);
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

SnpProduct product_of(const Item& item) {
  return parse_snp_product(item.text("product")).value_or(SnpProduct::kTurin);
}

Flat tell_endorsement(const Item& item, const Certificate& leaf, const std::string& prefix) {
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

Flat tell_quote(base::ByteView bytes) {
  const auto read = read_td_quote(bytes);
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
Flat tell_tdx_claims(const TdxClaims& claims) {
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
  if (claims.tcb) {
    told.text("collateral.platform_tcb_level.date", keybroker::crypto::to_text(claims.tcb->date));
  }
  if (claims.module_status) {
    told.text("collateral.tdx_module_level.1", std::string(name(*claims.module_status)));
  }
  if (claims.qe_status) {
    told.text("collateral.qe_tcb_status.0", std::string(name(*claims.qe_status)));
  }
  return told.flat;
}

Flat tell_hcl(base::ByteView bytes, const std::string& prefix) {
  const auto hcl = *decode_hcl_report(bytes);
  const auto claims = *keybroker::protocol::decode_runtime_claims(hcl.claims);
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

Flat tell_tpm_quote(const QuoteClaims& claims, const std::string& prefix) {
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

// expect_fields() compares each field that both know, and that these are enough to be a comparison.
void expect_fields(const Item& item, const Flat& told, std::size_t least) {
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

std::string describe(const Verdict& verdict) {
  std::string text = verdict.accepted ? "accepted" : "refused";
  for (const auto& check : verdict.checks) {
    if (check.outcome == Outcome::kFail || check.outcome == Outcome::kNotRun) {
      text += "\n  " + check.name + " " + std::string(name(check.outcome)) + " " +
              (check.reason ? std::string(card(*check.reason).code) : "") + ": " + check.detail;
    }
  }
  return text;
}

bool has_failure(const Verdict& verdict, Reason reason) {
  return std::ranges::any_of(verdict.checks,
                             [&](const Check& check) { return check.reason == reason; });
}

// The reasons that the words of a manifest stand for.
std::vector<Reason> reasons_of(const Item& item) {
  constexpr std::array kWords{
      std::pair("DEBUG", Reason::kSnpDebugAllowed),
      std::pair("HWID in the VCEK differs", Reason::kSnpChipMismatch),
      std::pair("report signature does not verify", Reason::kSnpSignatureInvalid),
      std::pair("certificate signature does not verify", Reason::kSnpChainBroken),
      std::pair("the TCB is not supported", Reason::kTdxTcbUnsupported),
      std::pair("extraData is empty", Reason::kNonceEmpty),
      std::pair("empty extraData", Reason::kNonceEmpty),
      std::pair("MIGRAT", Reason::kSnpMigrationAllowed),
      std::pair("intermediate is revoked", Reason::kSnpIntermediateRevoked),
      std::pair("PCK certificate is revoked", Reason::kTdxPckRevoked)};
  std::vector<Reason> reasons;
  for (const auto& [words, reason] : kWords) {
    if (item.says(words)) {
      reasons.push_back(reason);
    }
  }
  return reasons;
}

class EvidenceVectorsTest : public tests::support::EvidenceVectors {
 protected:
  void SetUp() override {
    EvidenceVectors::SetUp();
    if (!IsSkipped() && !HasFatalFailure()) {
      manifest_ = json::parse(text_of(read_evidence_vector("manifest.json"))).as_object();
    }
  }

  // for_each() runs a test on the items of some kinds, and expects that there are any.
  template <typename Run>
  void for_each(const std::vector<std::string>& kinds, Run run) const {
    std::size_t count = 0;
    for (const auto& object : manifest_.at("items").as_array()) {
      const std::string kind(object.at("kind").as_string());
      if (std::ranges::find(kinds, kind) != kinds.end()) {
        const Item item(object.as_object());
        SCOPED_TRACE(item.text("id"));
        run(item);
        ++count;
      }
    }
    EXPECT_GE(count, kinds.size());
  }

  static Verdict judge(const Item& item, const Evidence& evidence, const Policy& policy,
                       keybroker::crypto::Time now) {
    return verify(evidence, policy, collateral_of(item), TrustStore::production(), now);
  }

  json::object manifest_;
};

const std::vector<std::string> kVerified{"report", "azure-hcl", "tpm-quote", "quote"};

// What no test looks at would pass whatever it is.
TEST_F(EvidenceVectorsTest, AreAllOfAKindThatIsTested) {
  for (const auto& item : manifest_.at("items").as_array()) {
    auto known = kVerified;
    known.insert(known.end(), {"tdreport", "certificate", "collateral", "event-log"});
    const std::string kind(item.at("kind").as_string());
    EXPECT_NE(std::ranges::find(known, kind), known.end()) << kind << " of " << item.at("id");
  }
}

TEST_F(EvidenceVectorsTest, GetTheVerdictOfTheirManifest) {
  for_each(kVerified, [](const Item& item) {
    const auto evidence = evidence_of(item);
    const auto verdict = judge(item, evidence, policy_of(item, evidence), item.time());
    if (!item.passes()) {
      EXPECT_FALSE(verdict.accepted);
      for (const auto reason : reasons_of(item)) {
        EXPECT_TRUE(has_failure(verdict, reason)) << card(reason).code << describe(verdict);
      }
    } else if (item.says("no collateral")) {
      // All that is left to decide needs what is not in the set.
      EXPECT_FALSE(verdict.accepted);
      for (const auto& check : verdict.checks) {
        EXPECT_TRUE(check.outcome != Outcome::kFail || check.reason == Reason::kTdxTcbInfoMissing ||
                    check.reason == Reason::kTdxQeIdentityMissing ||
                    check.reason == Reason::kTdxCrlMissing)
            << describe(verdict);
      }
    } else {
      EXPECT_TRUE(verdict.accepted) << describe(verdict);
    }
  });
}

TEST_F(EvidenceVectorsTest, GiveTheFieldsOfTheirManifest) {
  for_each(kVerified, [](const Item& item) {
    const auto evidence = evidence_of(item);
    auto policy = policy_of(item, evidence);
    const auto verdict = judge(item, evidence, policy, item.time());
    Flat told;
    std::size_t least = 3;
    if (evidence.snp_report) {
      told.merge(tell_snp(*evidence.snp_report, ""));
      told.merge(tell_endorsement(item, evidence.snp_certificates.front(), ""));
      least = 25;
    }
    if (evidence.td_quote) {
      told.merge(tell_quote(*evidence.td_quote));
      least = 30;
    }
    if (evidence.hcl_report) {
      const auto hcl = decode_hcl_report(*evidence.hcl_report);
      const bool nested = item.fields().contains("hcl");
      told.merge(tell_hcl(*evidence.hcl_report, nested ? "hcl." : ""));
      if (hcl->type == HclReportType::kSnp) {
        told.merge(tell_snp(hcl->hardware_report, "snp."));
      }
      least = 15;
    }
    if (verdict.claims) {
      if (verdict.claims->tdx) {
        told.merge(tell_tdx_claims(*verdict.claims->tdx));
      }
      for (const auto& quote : verdict.claims->quotes) {
        if (quote.decides) {
          for (const char* prefix : {"", "tpm_quote.", "hcl.tpm_quote."}) {
            told.merge(tell_tpm_quote(quote, prefix));
          }
        }
      }
    }
    expect_fields(item, told, least);
  });
}

// A verdict is of its time: what has run out since is stale, and nothing else is wrong with it.
TEST_F(EvidenceVectorsTest, AreStaleOnceTheirCertificatesOrCollateralAre) {
  const auto later = *keybroker::crypto::parse_time("2026-11-21T00:00:00Z");
  for_each(kVerified, [&](const Item& item) {
    if (!item.passes() ||
        (!item.flag("expired_on_2026_11_21") && !item.flag("collateral_expired_on_2026_11_21"))) {
      return;
    }
    const auto evidence = evidence_of(item);
    const auto verdict = judge(item, evidence, policy_of(item, evidence), later);
    EXPECT_FALSE(verdict.accepted);
    for (const auto& check : verdict.checks) {
      EXPECT_TRUE(check.outcome != Outcome::kFail || card(*check.reason).stage == Stage::kStale)
          << describe(verdict);
    }
  });
}

// Section 5.1 of everybody's list: no nonce, another one, and a prefix of the right one.
TEST_F(EvidenceVectorsTest, AreRefusedForAnotherNonce) {
  for_each({"tpm-quote"}, [](const Item& item) {
    const auto evidence = evidence_of(item);
    auto policy = policy_of(item, evidence);
    auto cut = policy.nonce.values.front();
    cut.pop_back();
    auto longer = policy.nonce.values.front();
    longer.push_back(std::byte{0});
    for (const auto& nonce : {base::Bytes(), cut, longer}) {
      policy.nonce = Expectation::one_of({nonce});
      EXPECT_EQ(judge(item, evidence, policy, item.time()).reason, Reason::kNonceMismatch);
    }
    policy.nonce = {};
    EXPECT_EQ(judge(item, evidence, policy, item.time()).reason, Reason::kNonceUnpinned);
  });
}

// What a manifest says beside its first verdict.
TEST_F(EvidenceVectorsTest, AreRefusedByThePoliciesThatTheManifestNames) {
  for_each({"report", "quote"}, [](const Item& item) {
    const auto evidence = evidence_of(item);
    auto policy = policy_of(item, evidence);
    const auto reason = [&](const Policy& asked) {
      return judge(item, evidence, asked, item.time()).reason;
    };
    if (item.says("committed TCB == current TCB must REJECT")) {
      auto strict = policy;
      strict.snp.require_committed_equals_current = true;
      EXPECT_EQ(reason(strict), Reason::kSnpCommittedBehind);
    }
    if (item.says("REJECT when the policy requires a VCEK or VMPL 0")) {
      auto strict = policy;
      strict.snp.signers = {SnpSigningKey::kVcek};
      EXPECT_EQ(reason(strict), Reason::kSnpSignerRefused);
      strict = policy;
      strict.snp.vmpls = {0};
      EXPECT_EQ(reason(strict), Reason::kSnpVmplRefused);
    }
    if (item.has_file("cc_event_log")) {
      policy.boot.emplace().require_secure_boot = true;
      EXPECT_TRUE(
          has_failure(judge(item, evidence, policy, item.time()), Reason::kBootSecureBootOff));
    }
  });
}

TEST_F(EvidenceVectorsTest, ABareTdReportIsNoEvidence) {
  for_each({"tdreport"}, [](const Item& item) {
    const auto evidence = evidence_of(item);
    const auto verdict = judge(item, evidence, policy_of(item, evidence), item.time());
    EXPECT_EQ(verdict.reason, Reason::kTdReportIsNoEvidence) << describe(verdict);
    const auto report = decode_td_report(*evidence.td_report);
    ASSERT_TRUE(report) << report.error().message;
    Told told;
    told.hex("cpusvn", report->cpu_svn);
    told.hex("report_data", report->report_data);
    told.hex("tee_tcb_svn", report->tee_tcb_svn);
    told.hex("mr_seam", report->mr_seam);
    told.hex("mr_td", report->mr_td);
    told.hex("mr_config_id", report->mr_config_id);
    told.hex("mr_owner", report->mr_owner);
    told.hex("mr_owner_config", report->mr_owner_config);
    for (std::size_t i = 0; i < report->rtmr.size(); ++i) {
      told.hex("rtmr" + std::to_string(i), report->rtmr.at(i));
    }
    expect_fields(item, told.flat, 10);
  });
}

TEST_F(EvidenceVectorsTest, CertificatesGetTheVerdictOfTheirManifest) {
  for_each({"certificate"}, [](const Item& item) {
    const auto evidence = evidence_of(item);
    const auto collateral = collateral_of(item);
    if (!evidence.snp_certificates.empty()) {
      const auto chain = judge_snp_chain(
          evidence.snp_certificates,
          {TrustStore::production(), collateral.snp_crls, CrlRule::kOff, item.time()});
      EXPECT_EQ(chain.trusted(), item.passes());
      for (const auto reason : reasons_of(item)) {
        EXPECT_TRUE(std::ranges::any_of(chain.checks, [&](const Check& check) {
          return check.reason == reason;
        })) << card(reason).code;
      }
      expect_fields(item, tell_endorsement(item, evidence.snp_certificates.front(), ""), 1);
      return;
    }
    // The authority that is in the set stands for the root that is not.
    AkAuthorities authorities;
    if (item.has_file("intermediate")) {
      authorities.roots = {*Certificate::decode(item.file("intermediate"))};
    }
    AkPolicy policy;
    policy.purposes.clear();
    const auto checks_at = [&](keybroker::crypto::Time now) {
      Checklist list;
      judge_ak(evidence.ak, {}, authorities, policy, now, list);
      std::map<std::string, Outcome> outcomes;
      for (const auto& check : list.checks()) {
        outcomes[check.name] = check.outcome;
      }
      return outcomes;
    };
    auto outcomes = checks_at(item.time());
    EXPECT_EQ(outcomes["ak.certificate"], Outcome::kPass);
    EXPECT_EQ(outcomes["ak.certificate.time"], Outcome::kPass);
    EXPECT_EQ(outcomes["ak.certificate.path"],
              item.has_file("intermediate") ? Outcome::kPass : Outcome::kNotAsked);
    outcomes = checks_at(*keybroker::crypto::parse_time("2026-11-21T00:00:00Z"));
    EXPECT_EQ(outcomes["ak.certificate.time"],
              item.flag("expired_on_2026_11_21") || item.says("expired") ? Outcome::kFail
                                                                         : Outcome::kPass);
  });
}

TEST_F(EvidenceVectorsTest, RevocationListsSayWhatTheirManifestSays) {
  for_each({"collateral"}, [](const Item& item) {
    ASSERT_TRUE(item.has_file("crl") && item.has_file("issuer")) << "collateral of a new form";
    const auto crl = keybroker::crypto::Crl::decode(item.file("crl"));
    ASSERT_TRUE(crl) << crl.error().message;
    std::vector<Certificate> authorities;
    add_pem(authorities, text_of(item.file("issuer")));
    const auto& root = authorities.back();
    EXPECT_TRUE(crl->verify(*root.public_key()));
    EXPECT_FALSE(authorities.size() > 1 && crl->verify(*authorities.front().public_key()));
    const bool revoked = item.says("is revoked");
    EXPECT_EQ(crl->revokes(authorities.front()), revoked);
    const auto& fields = item.fields();
    if (const auto* entries = fields.if_contains("revoked")) {
      ASSERT_EQ(crl->entries().size(), entries->as_array().size());
      for (const auto& entry : entries->as_array()) {
        const std::string serial(entry.at(0).as_string());
        EXPECT_TRUE(std::ranges::any_of(crl->entries(), [&](const auto& listed) {
          const auto digits = base::to_hex(listed.serial);
          return "0x" + digits.substr(digits.find_first_not_of('0')) == serial;
        })) << serial;
      }
    }
    // The manifest writes an offset where we write Z.
    const auto expect_time = [&](const char* name, keybroker::crypto::Time time) {
      if (const auto* told = fields.if_contains(name)) {
        EXPECT_EQ(keybroker::crypto::to_text(time).substr(0, 19),
                  std::string(told->as_string()).substr(0, 19));
      }
    };
    expect_time("this_update", crl->this_update());
    expect_time("next_update", crl->next_update());
  });
}

// With the lists that the manifest has, and the time that it has them for.
TEST_F(EvidenceVectorsTest, ReportsAreRefusedWithoutAFreshListWhereOneIsRequired) {
  std::vector<keybroker::crypto::Crl> crls;
  for_each({"collateral"}, [&](const Item& item) {
    if (item.text("tee") == "snp") {
      crls.push_back(*keybroker::crypto::Crl::decode(item.file("crl")));
    }
  });
  const auto within = *keybroker::crypto::parse_time("2025-06-15T00:00:00Z");
  for_each({"report"}, [&](const Item& item) {
    if (!item.passes()) {
      return;
    }
    const auto evidence = evidence_of(item);
    auto policy = policy_of(item, evidence);
    policy.snp.crl = CrlRule::kRequired;
    auto collateral = collateral_of(item);
    EXPECT_EQ(verify(evidence, policy, collateral, TrustStore::production(), within).accepted,
              false);
    collateral.snp_crls = crls;
    const bool young = within < evidence.snp_certificates.front().not_before();
    const auto now = young ? item.time() : within;
    const auto verdict = verify(evidence, policy, collateral, TrustStore::production(), now);
    EXPECT_EQ(verdict.accepted, !young) << describe(verdict);
    if (young) {
      EXPECT_EQ(verdict.reason, Reason::kSnpCrlStale) << describe(verdict);
    }
  });
}

// The boot that a log tells of. Nothing vouches for these logs but the values of the manifest.
TEST_F(EvidenceVectorsTest, EventLogsTellOfSecureBoot) {
  for_each({"event-log"}, [](const Item& item) {
    const auto log = decode_event_log(item.file("event_log"));
    ASSERT_TRUE(log) << log.error().message;
    const auto state = read_secure_boot(*log, keybroker::crypto::Hash::kSha256, Registers::kPcrs);
    const bool on = item.fields().at("secure_boot_variable").as_string() == "01";
    EXPECT_EQ(state.enabled, on);
    EXPECT_FALSE(state.data);
    EXPECT_EQ(state.authorities.size(),
              item.fields().at("authority_events").to_number<std::size_t>());
    BootPolicy policy;
    policy.require_secure_boot = true;
    Checklist list;
    judge_boot(state, policy, list);
    EXPECT_EQ(list.accepted(), on);
    if (!on) {
      EXPECT_EQ(list.first_failure()->reason, Reason::kBootSecureBootOff);
    }
  });
}

}  // namespace
}  // namespace tests::integration
