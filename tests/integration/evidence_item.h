// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <boost/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "keybroker/evidence/foreign_evidence.h"
#include "keybroker/evidence/verify.h"
#include "keybroker/protocol/uuid.h"
#include "tests/support/evidence_vectors.h"

// The items of a manifest of captured evidence, and what they are judged by.
namespace tests::integration {

namespace json = boost::json;
using keybroker::crypto::Certificate;
using namespace keybroker::evidence;
using support::read_evidence_vector;

// must() is the value of what an item has to hold. What it throws is one item's failure.
template <typename T>
T must(base::Result<T> result) {
  if (!result) {
    throw std::runtime_error(result.error().message);
  }
  return *std::move(result);
}

inline std::string text_of(const base::Bytes& bytes) {
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
        return Expectation::one_of({must(base::from_hex(digits))});
      }
    }
    const auto* plain = fields().if_contains("nonce_hex");
    return plain == nullptr ? Expectation{}
                            : Expectation::one_of({must(base::from_hex(plain->as_string()))});
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

inline void add_pem(std::vector<Certificate>& to, const std::string& pem) {
  const auto certificates = must(keybroker::crypto::decode_pem_certificates(pem, 4));
  to.insert(to.end(), certificates.begin(), certificates.end());
}

// AMD's authorities of all lines lie beside the items, whether they name them or not.
inline Collateral collateral_of(const Item& item) {
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
    tdx.tcb_infos = {must(signed_document(field("tcb_info"), field("tcb_info_signature")))};
    tdx.qe_identities = {
        must(signed_document(field("qe_identity"), field("qe_identity_signature")))};
    for (const char* chain : {"tcb_info_issuer_chain", "qe_identity_issuer_chain"}) {
      add_pem(tdx.signers, field(chain));
    }
    for (const char* crl : {"root_ca_crl", "pck_crl"}) {
      tdx.crls.push_back(must(keybroker::crypto::Crl::decode(*base::from_hex(field(crl)))));
    }
  }
  if (item.has_file("tcb_info")) {
    tdx.tcb_infos = {must(decode_signed_document(text_of(item.file("tcb_info")), "tcbInfo"))};
    tdx.qe_identities = {
        must(decode_signed_document(text_of(item.file("qe_identity")), "enclaveIdentity"))};
    for (const char* chain : {"tcb_signing_chain", "qe_identity_chain"}) {
      add_pem(tdx.signers, text_of(item.file(chain)));
    }
    for (const char* crl : {"root_crl", "pck_crl"}) {
      tdx.crls.push_back(must(keybroker::crypto::Crl::decode(item.file(crl))));
    }
  }
  return collateral;
}

inline Evidence evidence_of(const Item& item) {
  Evidence evidence;
  if (item.has_file("evidence")) {
    evidence = must(decode_foreign_json(text_of(item.file("evidence"))));
  }
  if (item.has_file("report")) {
    evidence.snp_report = item.file("report");
  }
  if (item.has_file("hcl_report")) {
    evidence.hcl_report = item.file("hcl_report");
  }
  if (item.has_file("endorsement_key_cert")) {
    evidence.snp_certificates = {must(Certificate::decode(item.file("endorsement_key_cert")))};
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
    evidence.quotes = {must(decode_bincode_quote(item.file("quote")))};
  }
  if (item.has_file("tpm_quote")) {
    evidence.quotes = must(decode_foreign_json(text_of(item.file("tpm_quote")))).quotes;
  }
  if (item.has_file("quotes")) {
    evidence = must(decode_foreign_json(text_of(item.file("quotes"))));
  }
  if (item.has_file("ak_public")) {
    evidence.ak.bare_key =
        must(keybroker::crypto::PublicKey::from_pem(text_of(item.file("ak_public"))));
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

inline void collect_texts(const json::value& value, std::vector<std::string>& to) {
  if (value.is_string()) {
    to.emplace_back(value.get_string());
  } else if (value.is_array()) {
    for (const auto& each : value.get_array()) {
      collect_texts(each, to);
    }
  } else if (value.is_object()) {
    for (const auto& member : value.get_object()) {
      collect_texts(member.value(), to);
    }
  }
}

// What an owner of exactly this VM would ask for, as far as the manifest tells.
inline Policy policy_of(const Item& item, const Evidence& evidence) {
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
      expectation = Expectation::one_of({must(base::from_hex(value->as_string()))});
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
    policy.hcl.vm_id = must(keybroker::protocol::parse_uuid(vm_id->as_string()));
  }
  if (evidence.hcl_report) {
    pin(claims, "user_data", policy.hcl.user_data);
  }
  // A TPM without a TEE: its AK is one that the owner knows.
  if (evidence.ak.bare_key) {
    policy.ak.keys = Expectation::one_of({keybroker::crypto::digest(
        keybroker::crypto::Hash::kSha256, evidence.ak.bare_key->spki())});
  } else if (evidence.ak.public_area) {
    policy.ak.names = Expectation::one_of({must(decode_tpm_public(*evidence.ak.public_area)).name});
  } else if (!evidence.ak.certificates.empty() && item.passes()) {
    const auto key = must(Certificate::decode(evidence.ak.certificates.front())).public_key();
    policy.ak.keys = Expectation::one_of(
        {keybroker::crypto::digest(keybroker::crypto::Hash::kSha256, key.value().spki())});
  }
  // Where the manifest passes a platform of another status, its owner takes that one.
  std::vector<std::string> statuses;
  const auto* collateral = fields.if_contains("collateral");
  for (const char* name : {"platform_tcb_level", "tdx_module_level", "qe_tcb_status"}) {
    if (item.passes() && collateral != nullptr && collateral->as_object().contains(name)) {
      collect_texts(collateral->at(name), statuses);
    }
  }
  for (const auto& word : statuses) {
    if (const auto status = parse_tcb_status(word); status && status != TcbStatus::kUpToDate) {
      policy.tdx.statuses.push_back(*status);
      policy.tdx.advisories.reset();
    }
  }
  return policy;
}

}  // namespace tests::integration
