// SPDX-License-Identifier: Apache-2.0
#include "tools/attest/collection.h"

#include <optional>
#include <string_view>

#include "keybroker/evidence/snp_certificates.h"
#include "tools/collateral/read.h"

namespace tools::attest {

namespace {

using namespace keybroker::evidence;

using Talk = std::function<void(const std::string&)>;

constexpr const char* kFirmwareLog = "/sys/kernel/security/tpm0/binary_bios_measurements";
constexpr const char* kCcLog = "/sys/firmware/acpi/tables/data/CCEL";
constexpr std::size_t kMaxTableBytes = 256 * 1024;

// What lies in an index is followed by zero up to the size of the index.
base::Bytes without_padding(base::Bytes bytes) {
  while (!bytes.empty() && bytes.back() == std::byte{0}) {
    bytes.pop_back();
  }
  return bytes;
}

// optional_index() is empty where the TPM has no such index, or nobody wrote it yet.
base::Result<std::optional<base::Bytes>> optional_index(GuestTpm& tpm, std::uint32_t index) {
  auto content = tpm.read_index(index);
  if (content) {
    return std::optional(*std::move(content));
  }
  if (content.error().code == base::ErrorCode::kNotFound) {
    return std::nullopt;
  }
  return base::fail(content.error());
}

// The DER certificates that stand one behind the other, cut by their own lengths.
std::vector<base::Bytes> certificates_in(base::ByteView content) {
  constexpr std::size_t kHeader = 4;
  std::vector<base::Bytes> certificates;
  while (content.size() >= kHeader && content[0] == std::byte{0x30} &&
         content[1] == std::byte{0x82}) {
    const auto size = kHeader + (std::to_integer<std::size_t>(content[2]) << 8U |
                                 std::to_integer<std::size_t>(content[3]));
    if (size > content.size()) {
      break;
    }
    certificates.push_back(base::copy_of(content.first(size)));
    content = content.subspan(size);
  }
  return certificates;
}

base::Result<void> collect_claims(GuestTpm& tpm, Evidence& evidence, const Talk& talk) {
  TRY_ASSIGN(report, optional_index(tpm, kReportIndex));
  TRY_ASSIGN(extended, optional_index(tpm, kExtendedClaimsIndex));
  evidence.hcl_report = std::move(report);
  if (!evidence.hcl_report) {
    talk("this TPM has no report (NV index 0x01400001): the bundle has no claims");
  }
  if (extended) {
    const auto text = without_padding(*std::move(extended));
    evidence.extended_claims = std::string(reinterpret_cast<const char*>(text.data()), text.size());
  }
  return {};
}

base::Result<void> collect_ak(GuestTpm& tpm, std::uint32_t handle, Evidence& evidence,
                              const Talk& talk) {
  TRY_ASSIGN(public_area, tpm.public_area(handle));
  evidence.ak.public_area = std::move(public_area);
  // The certificates of both indices are those of the RSA AK.
  if (handle == kRsaAkHandle) {
    for (const auto index : {kAkCertificateIndex, kAkChainIndex}) {
      TRY_ASSIGN(content, optional_index(tpm, index));
      for (auto& certificate : certificates_in(content.value_or(base::Bytes()))) {
        evidence.ak.certificates.push_back(std::move(certificate));
      }
    }
    if (evidence.ak.certificates.empty()) {
      talk("this TPM has no AK certificate (NV index 0x01C101D0)");
    }
  }
  return {};
}

base::Result<void> collect_quotes(GuestTpm& tpm, const Collection& wanted, Evidence& evidence) {
  std::set<std::uint8_t> pcrs;
  for (const auto pcr : wanted.pcrs) {
    pcrs.insert(static_cast<std::uint8_t>(pcr));
  }
  for (std::uint8_t pcr = 0; wanted.pcrs.empty() && pcr < 24; ++pcr) {
    pcrs.insert(pcr);
  }
  for (const auto& name : wanted.banks) {
    const auto bank = parse_bank(name);
    if (!bank) {
      return base::fail(base::ErrorCode::kInvalidArgument, "no bank is called '" + name + "'");
    }
    TRY_ASSIGN(quote, tpm.quote(wanted.ak_handle, wanted.nonce, *bank, pcrs));
    evidence.quotes.push_back(std::move(quote));
  }
  return {};
}

// A log that is named must be there; where it usually lies it may be missing.
base::Result<std::optional<base::Bytes>> collect_log(const std::string& named, const char* usual,
                                                     const Talk& talk) {
  if (named == "none") {
    return std::nullopt;
  }
  const std::string file = named.empty() ? usual : named;
  auto bytes = collateral::read_bytes(file, kMaxLogBytes);
  if (bytes) {
    return std::optional(*std::move(bytes));
  }
  if (!named.empty()) {
    return base::fail(bytes.error());
  }
  talk("no event log at " + file);
  return std::nullopt;
}

// PEM, or the table that hosts hand out beside an extended report.
base::Result<void> collect_snp_certificates(const std::string& file, Evidence& evidence) {
  TRY_ASSIGN(bytes, collateral::read_bytes(file, kMaxTableBytes));
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.find("-----BEGIN") != std::string_view::npos) {
    TRY_ASSIGN(certificates, keybroker::crypto::decode_pem_certificates(text, 3));
    evidence.snp_certificates = std::move(certificates);
    return {};
  }
  TRY_ASSIGN(certificates, certificates_of_table(bytes, snp_signing_key(evidence)));
  evidence.snp_certificates = std::move(certificates);
  return {};
}

}  // namespace

base::Result<Evidence> collect_evidence(GuestTpm& tpm, const Collection& wanted, const Talk& talk) {
  Evidence evidence;
  TRY(collect_claims(tpm, evidence, talk));
  TRY(collect_ak(tpm, wanted.ak_handle, evidence, talk));
  TRY(collect_quotes(tpm, wanted, evidence));
  TRY_ASSIGN(event_log, collect_log(wanted.event_log, kFirmwareLog, talk));
  evidence.event_log = std::move(event_log);
  if (!wanted.snp_certificates.empty()) {
    TRY(collect_snp_certificates(wanted.snp_certificates, evidence));
  }
  if (!wanted.td_quote.empty()) {
    TRY_ASSIGN(quote, collateral::read_bytes(wanted.td_quote, kMaxTdQuoteBytes));
    TRY_ASSIGN(cc_event_log, collect_log(wanted.cc_event_log, kCcLog, talk));
    evidence.td_quote = std::move(quote);
    evidence.cc_event_log = std::move(cc_event_log);
  }
  return evidence;
}

}  // namespace tools::attest
