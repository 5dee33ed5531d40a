// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>

#include "keybroker/evidence/bundle.h"
#include "keybroker/evidence/snp_certificates.h"
#include "tools/attest/commands.h"
#include "tools/attest/guest_tpm.h"
#include "tools/cli/stream.h"
#include "tools/collateral/folder.h"
#include "tools/collateral/read.h"

namespace tools::attest {

namespace {

using namespace keybroker::evidence;

constexpr const char* kFirmwareLog = "/sys/kernel/security/tpm0/binary_bios_measurements";
constexpr const char* kCcLog = "/sys/firmware/acpi/tables/data/CCEL";
constexpr std::size_t kMaxTableBytes = 256 * 1024;

struct Arguments {
  std::string tcti;
  std::string nonce;
  std::string user_data;
  std::string key = "rsa";
  std::vector<std::string> banks{"sha256"};
  std::vector<unsigned> pcrs;
  std::string owner_auth;
  std::string event_log;
  std::string cc_event_log;
  std::string snp_certificates;
  std::string td_quote;
  std::string output;
};

base::Result<base::Bytes> hex_argument(const std::string& digits, const std::string& name) {
  auto bytes = base::from_hex(digits);
  if (!bytes || bytes->empty() || bytes->size() > 64) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      name + " is 1 to 64 bytes in hexadecimal digits");
  }
  return bytes;
}

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

base::Result<void> collect_claims(GuestTpm& tpm, Evidence& evidence, const cli::Output& output) {
  TRY_ASSIGN(report, optional_index(tpm, kReportIndex));
  TRY_ASSIGN(extended, optional_index(tpm, kExtendedClaimsIndex));
  evidence.hcl_report = std::move(report);
  if (!evidence.hcl_report) {
    output.talk("this TPM has no report (NV index 0x01400001): the bundle has no claims");
  }
  if (extended) {
    const auto text = without_padding(*std::move(extended));
    evidence.extended_claims = std::string(reinterpret_cast<const char*>(text.data()), text.size());
  }
  return {};
}

base::Result<void> collect_ak(GuestTpm& tpm, std::uint32_t handle, Evidence& evidence,
                              const cli::Output& output) {
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
      output.talk("this TPM has no AK certificate (NV index 0x01C101D0)");
    }
  }
  return {};
}

base::Result<void> collect_quotes(GuestTpm& tpm, std::uint32_t handle, base::ByteView nonce,
                                  const Arguments& arguments, Evidence& evidence) {
  std::set<std::uint8_t> pcrs;
  for (const auto pcr : arguments.pcrs) {
    pcrs.insert(static_cast<std::uint8_t>(pcr));
  }
  for (std::uint8_t pcr = 0; arguments.pcrs.empty() && pcr < 24; ++pcr) {
    pcrs.insert(pcr);
  }
  for (const auto& name : arguments.banks) {
    const auto bank = parse_bank(name);
    if (!bank) {
      return base::fail(base::ErrorCode::kInvalidArgument, "no bank is called '" + name + "'");
    }
    TRY_ASSIGN(quote, tpm.quote(handle, nonce, *bank, pcrs));
    evidence.quotes.push_back(std::move(quote));
  }
  return {};
}

// A log that is named must be there; where it usually lies it may be missing.
base::Result<std::optional<base::Bytes>> collect_log(const std::string& named, const char* usual,
                                                     const cli::Output& output) {
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
  output.talk("no event log at " + file);
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

base::Result<Evidence> collect(const Arguments& arguments, const cli::Output& output) {
  TRY_ASSIGN(nonce, hex_argument(arguments.nonce, "--nonce"));
  TRY_ASSIGN(tpm, GuestTpm::open(arguments.tcti));
  if (!arguments.owner_auth.empty()) {
    TRY_ASSIGN(password, cli::read_input(arguments.owner_auth, 64));
    TRY(tpm.use_owner_auth(password.expose()));
  }
  if (!arguments.user_data.empty()) {
    TRY_ASSIGN(user_data, hex_argument(arguments.user_data, "--user-data"));
    TRY(tpm.write_user_data(user_data));
  }
  const auto handle = arguments.key == "ecc" ? kEccAkHandle : kRsaAkHandle;
  Evidence evidence;
  TRY(collect_claims(tpm, evidence, output));
  TRY(collect_ak(tpm, handle, evidence, output));
  TRY(collect_quotes(tpm, handle, nonce, arguments, evidence));
  TRY_ASSIGN(event_log, collect_log(arguments.event_log, kFirmwareLog, output));
  evidence.event_log = std::move(event_log);
  if (!arguments.snp_certificates.empty()) {
    TRY(collect_snp_certificates(arguments.snp_certificates, evidence));
  }
  if (!arguments.td_quote.empty()) {
    TRY_ASSIGN(quote, collateral::read_bytes(arguments.td_quote, kMaxTdQuoteBytes));
    TRY_ASSIGN(cc_event_log, collect_log(arguments.cc_event_log, kCcLog, output));
    evidence.td_quote = std::move(quote);
    evidence.cc_event_log = std::move(cc_event_log);
  }
  return evidence;
}

base::Result<cli::ExitStatus> write_bundle(const Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(evidence, collect(arguments, output));
  TRY_ASSIGN(text, encode_bundle(evidence));
  if (arguments.output.empty()) {
    TRY(output.text(text + "\n"));
  } else {
    TRY(cli::write_file(arguments.output, base::bytes_of(text)));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command collect_command() {
  return {
      .name = "collect",
      .summary =
          "In the guest: evidence, a quote for a nonce, event log and certificates in one "
          "bundle",
      .set_up = [](CLI::App& app) -> cli::Action {
        auto arguments = std::make_shared<Arguments>();
        app.add_option("--nonce", arguments->nonce, "What the verifier asked for, 1 to 64 bytes")
            ->required()
            ->type_name("HEX");
        app.add_option("--tcti", arguments->tcti,
                       "How to reach the TPM, as the TSS spells it: device:/dev/tpmrm0")
            ->type_name("TCTI");
        app.add_option("--user-data", arguments->user_data,
                       "Bytes that the hardware report is to bind, in a report of its own")
            ->type_name("HEX");
        app.add_option("--key", arguments->key, "Which AK signs the quote")
            ->check(CLI::IsMember({"rsa", "ecc"}))
            ->capture_default_str();
        app.add_option("--bank", arguments->banks, "Banks to quote: sha256, sha384, ...")
            ->capture_default_str();
        app.add_option("--pcr", arguments->pcrs, "PCRs to quote; all 24 without it")
            ->check(CLI::Range(0, 23));
        app.add_option("--owner-auth", arguments->owner_auth,
                       "The TPM owner's password, in a file; - for stdin")
            ->type_name("FILE");
        app.add_option("--event-log", arguments->event_log,
                       "The firmware's log; the kernel's without it, none for \"none\"")
            ->type_name("FILE");
        app.add_option("--snp-certificates", arguments->snp_certificates,
                       "VCEK and what is above it: PEM, or the host's certificate table")
            ->type_name("FILE");
        app.add_option("--td-quote", arguments->td_quote,
                       "A TDX quote over the report data of the TPM's report")
            ->type_name("FILE");
        app.add_option("--cc-event-log", arguments->cc_event_log,
                       "The log of the RTMRs, beside --td-quote")
            ->type_name("FILE");
        app.add_option("--output", arguments->output, "Where the bundle goes; stdout without it")
            ->type_name("FILE");
        return [arguments](cli::Output& output) { return write_bundle(*arguments, output); };
      }};
}

}  // namespace tools::attest
