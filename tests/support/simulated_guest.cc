// SPDX-License-Identifier: Apache-2.0
#include "tests/support/simulated_guest.h"

#include <algorithm>

#include "keybroker/crypto/issue.h"
#include "keybroker/evidence/signature_database.h"
#include "keybroker/evidence/tpm_public.h"
#include "keybroker/protocol/uuid.h"
#include "vmgs/base/cursor.h"
#include "vmgs/crypto/digest.h"

namespace tests::support {

namespace {

namespace evidence = keybroker::evidence;
namespace crypto = keybroker::crypto;
using evidence::EventType;

// EFI_CERT_X509_GUID as it lies in memory.
evidence::EfiGuid x509_guid() {
  evidence::EfiGuid guid{};
  std::ranges::copy(*base::from_hex("a159c0a5e494a74a87b5ab155c2bf072"), guid.begin());
  return guid;
}

const crypto::Certificate& vendor_certificate() {
  static const auto certificate = [] {
    const auto key = *crypto::PrivateKey::generate_ec(crypto::Curve::kP256);
    crypto::CertificateSpec spec;
    spec.serial = *base::from_hex("01");
    spec.subject = spec.issuer = {{"CN", "An operating system"}};
    spec.not_before = mint_begin();
    spec.not_after = mint_begin() + std::chrono::days(3650);
    return *crypto::issue(spec, key.public_key(), key);
  }();
  return certificate;
}

evidence::EfiSignature vendor_entry() { return {x509_guid(), {}, vendor_certificate().der()}; }

base::Bytes vendor_database() { return evidence::encode_signature_database({vendor_entry()}); }

base::Bytes header_data() {
  base::Writer out;
  out.bytes(base::bytes_of(std::string_view("Spec ID Event03\0", 16)));
  out.u32_le(0);
  out.u8(0);
  out.u8(2);
  out.u8(0);
  out.u8(2);
  out.u32_le(2);
  out.u16_le(evidence::kTpmSha256);
  out.u16_le(32);
  out.u16_le(evidence::kTpmSha384);
  out.u16_le(48);
  out.u8(0);
  return std::move(out).take();
}

std::array<std::byte, 48> measurement_of_paravisor() {
  return vmgs::crypto::sha384(base::bytes_of("a paravisor"));
}

constexpr evidence::TcbVersion kTcb{.boot_loader = 4, .tee = 1, .snp = 24, .microcode = 219};

}  // namespace

evidence::LogEvent log_event(std::uint32_t index, EventType type, base::ByteView data) {
  evidence::LogEvent event;
  event.index = index;
  event.type = type;
  event.data = base::copy_of(data);
  for (const auto hash : {crypto::Hash::kSha256, crypto::Hash::kSha384}) {
    event.digests.push_back({evidence::tpm_of_hash(hash), crypto::digest(hash, data)});
  }
  return event;
}

void renumber(evidence::EventLog& log) {
  for (std::size_t i = 0; i < log.events.size(); ++i) {
    log.events[i].number = i + 1;
  }
}

evidence::LogEvent variable_event(EventType type, const std::string& name, base::ByteView content) {
  evidence::EfiVariable variable;
  variable.name.assign(name.begin(), name.end());
  variable.content = base::copy_of(content);
  return log_event(7, type, evidence::encode(variable));
}

evidence::EventLog firmware_log(bool secure_boot) {
  evidence::EventLog log;
  log.header_data = header_data();
  log.algorithms = {{evidence::kTpmSha256, 32}, {evidence::kTpmSha384, 48}};
  const auto variable = [&](const std::string& name, base::ByteView content) {
    log.events.push_back(variable_event(EventType::kEfiVariableDriverConfig, name, content));
  };
  log.events.push_back(log_event(0, EventType::kScrtmVersion, base::bytes_of("firmware 1.0")));
  variable("SecureBoot", std::array{secure_boot ? std::byte{1} : std::byte{0}});
  for (const char* name : {"PK", "KEK", "db"}) {
    variable(name, vendor_database());
  }
  variable("dbx", {});
  for (std::uint32_t pcr = 0; pcr < 8; ++pcr) {
    log.events.push_back(log_event(pcr, EventType::kSeparator, base::Bytes(4)));
  }
  base::Writer authority;  // EFI_SIGNATURE_DATA
  authority.bytes(vendor_entry().owner);
  authority.bytes(vendor_entry().content);
  log.events.push_back(variable_event(EventType::kEfiVariableAuthority, "db", authority.written()));
  log.events.push_back(
      log_event(4, EventType::kEfiBootServicesApplication, base::bytes_of("a boot loader")));
  renumber(log);
  return log;
}

SimulatedGuest::SimulatedGuest(AttestingTpm& its_tpm, evidence::EventLog its_log)
    : tpm(&its_tpm), log(std::move(its_log)) {
  const auto tcb = encode_tcb(kTcb, tcb_form(product));
  report.version = 5;
  report.policy = 0x30000;
  report.signature_algorithm = evidence::kEcdsaP384Sha384;
  report.current_tcb = report.reported_tcb = report.committed_tcb = report.launch_tcb = tcb;
  report.cpuid_family = 0x19;
  report.cpuid_model = 0x11;
  report.chip_id.fill(std::byte{0x5A});
  report.report_id_ma.fill(std::byte{0xFF});
  report.measurement = measurement_of_paravisor();
  report.host_data.fill(std::byte{0x1D});

  const auto rsa = *evidence::decode_tpm_public(tpm->rsa_ak().public_area);
  const auto numbers = *rsa.key.rsa_numbers();
  runtime.keys = {
      {std::string(keybroker::protocol::kAkKeyId), {"sign"}, numbers.modulus, numbers.exponent}};
  runtime.vm = {.secure_boot = true,
                .tpm_enabled = true,
                .tpm_persisted = true,
                .console_enabled = std::nullopt,
                .vm_unique_id = "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
                .hardware_sealing_policy = "hash"};
  runtime.user_data.emplace();
  extended.purpose = "boot";
  extended.vm_id = *keybroker::protocol::parse_uuid(runtime.vm.vm_unique_id);
  extended.launch = base::copy_of(report.host_data);
  extended.home = keybroker::protocol::Home::kParavisor;
  extended.state_protection.mode = keybroker::protocol::Protection::kHardware;
  extended.ek_name = base::Bytes(34, std::byte{0x33});
  extended.ak_name = rsa.name;
  extended.ecc_ak_name = evidence::decode_tpm_public(tpm->ecc_ak().public_area)->name;
  extended.tee_simulated = true;
}

base::Bytes SimulatedGuest::signed_report() const {
  auto made = report;
  const auto key = *vtpm::tee_sim::vcek_key(mint_secret(), made.chip_id, made.reported_tcb);
  if (!vtpm::tee_sim::sign(made, key)) {
    std::abort();
  }
  return base::copy_of(base::view(made));
}

evidence::Evidence SimulatedGuest::evidence() const {
  evidence::Evidence made;
  made.extended_claims = *encode(extended);
  auto claims = runtime;
  claims.extended_digest = vmgs::crypto::sha256(base::bytes_of(*made.extended_claims));
  evidence::HclReport hcl;
  hcl.type = evidence::HclReportType::kSnp;
  hcl.claims = claims_text.empty() ? *encode(claims) : claims_text;
  auto bound = *this;
  std::ranges::copy(vmgs::crypto::sha256(base::bytes_of(hcl.claims)),
                    bound.report.report_data.begin());
  hcl.hardware_report = bound.signed_report();
  made.hcl_report = *encode(hcl);
  const auto& mint = snp_mint(product);
  const auto tcb = decode_tcb(report.reported_tcb, tcb_form(product));
  const auto key = *vtpm::tee_sim::vcek_key(mint_secret(), report.chip_id, report.reported_tcb);
  made.snp_certificates = {
      *mint.issue_by_ask(mint.vcek_spec(report.chip_id, tcb), key.public_key()), mint.ask(),
      mint.ark()};
  made.ak.public_area = tpm->rsa_ak().public_area;
  made.quotes = {tpm->quote(tpm->rsa_ak(), nonce, crypto::Hash::kSha256, {0, 1, 2, 3, 4, 5, 6, 7})};
  made.event_log = encode(log);
  return made;
}

evidence::Policy SimulatedGuest::policy() const {
  evidence::Policy policy;
  policy.nonce = evidence::Expectation::one_of({nonce});
  policy.snp.measurements =
      evidence::Expectation::one_of({base::copy_of(measurement_of_paravisor())});
  policy.hcl.own_form = true;
  policy.hcl.vm_id = extended.vm_id;
  policy.quote.required = true;
  policy.log.required = true;
  policy.boot.emplace().require_secure_boot = true;
  return policy;
}

evidence::Collateral SimulatedGuest::collateral() const {
  evidence::Collateral collateral;
  collateral.snp_crls = {
      *snp_mint(product).crl(mint_begin(), mint_begin() + std::chrono::days(365))};
  return collateral;
}

evidence::TrustStore SimulatedGuest::store() const {
  const std::array roots{
      evidence::SlottedRoot{evidence::root_slot(product), snp_mint(product).ark()}};
  return *evidence::TrustStore::simulated(roots);
}

evidence::Verdict SimulatedGuest::judge(const evidence::Evidence& evidence) const {
  return verify(evidence, policy(), collateral(), store(), mint_begin());
}

AttestingTpm& process_tpm() {
  static auto* tpm = new AttestingTpm();
  return *tpm;
}

SimulatedGuest booted(evidence::EventLog log) {
  static base::Bytes measured;
  renumber(log);
  if (const auto wanted = encode(log); wanted != measured) {
    if (!measured.empty()) {
      process_tpm().reset();
    }
    process_tpm().measure(log);
    measured = wanted;
  }
  return {process_tpm(), std::move(log)};
}

std::string reason(const evidence::Verdict& verdict) {
  if (verdict.reason) {
    return std::string(card(*verdict.reason).code);
  }
  return verdict.accepted ? "accepted" : "not everything could be checked";
}

std::string failures(const evidence::Verdict& verdict) {
  std::string text = reason(verdict);
  for (const auto& check : verdict.checks) {
    if (check.outcome == evidence::Outcome::kFail || check.outcome == evidence::Outcome::kNotRun) {
      text += "\n  " + check.name + " " + std::string(name(check.outcome)) + " " +
              (check.reason ? std::string(card(*check.reason).code) : "") + ": " + check.detail;
    }
  }
  return text;
}

}  // namespace tests::support
