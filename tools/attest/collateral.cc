// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <boost/json/array.hpp>
#include <functional>
#include <memory>

#include "keybroker/crypto/sgx_extension.h"
#include "keybroker/evidence/tcb_info.h"
#include "tools/attest/commands.h"
#include "tools/attest/evidence_file.h"
#include "tools/attest/fetch.h"
#include "tools/cli/stream.h"
#include "tools/collateral/folder.h"

namespace tools::attest {

namespace {

using namespace keybroker::evidence;
namespace crypto = keybroker::crypto;
namespace fs = std::filesystem;

struct Arguments {
  std::vector<std::string> evidence;
  std::vector<std::string> lines;
  std::vector<std::string> fmspcs;
  std::string folder = collateral::default_collateral_folder().string();
  std::string amd = "https://kdsintf.amd.com";
  std::string intel = "https://api.trustedservices.intel.com";
  std::string intel_certificates = "https://certificates.trustedservices.intel.com";
};

// What is fetched, and for which machines.
struct Wanted {
  std::set<SnpProduct> lines;
  std::set<std::string> fmspcs;  // hexadecimal digits
  std::vector<std::pair<SnpReport, SnpProduct>> without_vcek;
};

base::Result<void> want_tdx(base::ByteView quote, Wanted& wanted) {
  const auto read = read_td_quote(quote);
  const auto chain = read.quote ? crypto::decode_pem_certificates(read.quote->pck_chain, 3)
                                : base::Result<std::vector<crypto::Certificate>>(
                                      base::fail(base::ErrorCode::kCorrupt, "no TDX quote"));
  if (!chain) {
    return base::fail(chain.error());
  }
  TRY_ASSIGN(content, chain->front().extension(std::string(crypto::kSgxExtensionOid)));
  if (!content) {
    return base::fail(base::ErrorCode::kCorrupt, "the quote's PCK certificate names no platform");
  }
  TRY_ASSIGN(platform, crypto::decode_sgx_extension(*content));
  wanted.fmspcs.insert(base::to_hex(platform.fmspc));
  return {};
}

base::Result<void> want_snp(const base::Bytes& bytes, const Evidence& evidence, Wanted& wanted) {
  TRY_ASSIGN(report, decode_snp_report(bytes));
  std::optional<SnpProduct> line;
  if (report.cpu) {
    line = product_of(*report.cpu);
  } else if (!evidence.snp_certificates.empty()) {
    // The intermediate's name is SEV-LINE or SEV-VLEK-LINE.
    const auto issuer = evidence.snp_certificates.front().issuer();
    for (const auto candidate : {SnpProduct::kMilan, SnpProduct::kGenoa, SnpProduct::kTurin}) {
      if (issuer.find(name(candidate)) != std::string::npos) {
        line = candidate;
      }
    }
  }
  if (!line) {
    return base::fail(base::ErrorCode::kNotFound,
                      "the report does not say its product line; name it with --amd");
  }
  wanted.lines.insert(*line);
  if (evidence.snp_certificates.empty() && !base::is_all_zero(report.chip_id)) {
    wanted.without_vcek.emplace_back(report, *line);
  }
  return {};
}

base::Result<void> want(const Evidence& evidence, Wanted& wanted) {
  if (evidence.td_quote) {
    TRY(want_tdx(*evidence.td_quote, wanted));
  }
  auto snp_report = evidence.snp_report;
  if (evidence.hcl_report) {
    TRY_ASSIGN(hcl, decode_hcl_report(*evidence.hcl_report));
    if (hcl.type == HclReportType::kSnp) {
      snp_report = hcl.hardware_report;
    }
  }
  return snp_report ? want_snp(*snp_report, evidence, wanted) : base::Result<void>{};
}

base::Result<Wanted> wanted_by(const Arguments& arguments) {
  Wanted wanted;
  for (const auto& line : arguments.lines) {
    wanted.lines.insert(*parse_snp_product(line));
  }
  for (const auto& fmspc : arguments.fmspcs) {
    const auto bytes = base::from_hex(fmspc);
    if (!bytes || bytes->size() != 6) {
      return base::fail(base::ErrorCode::kInvalidArgument, "an FMSPC is 12 hexadecimal digits");
    }
    wanted.fmspcs.insert(base::to_hex(*bytes));
  }
  for (const auto& file : arguments.evidence) {
    TRY_ASSIGN(evidence, read_evidence(file));
    TRY(want(evidence, wanted));
  }
  if (wanted.lines.empty() && wanted.fmspcs.empty()) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "name machines with --for, --amd or --fmspc");
  }
  return wanted;
}

// Fills the folder and remembers what it wrote. What is fetched is read before it is kept, so that
// a service's error page never takes the place of a list.
class Filler {
 public:
  Filler(const Arguments& arguments, const cli::Output& output)
      : arguments_(arguments), folder_(arguments.folder), output_(output) {}

  base::Result<void> fill_amd(SnpProduct line) {
    const std::string line_name(name(line));
    for (const std::string kind : {"vcek", "vlek"}) {
      const auto service = arguments_.amd + "/" + kind + "/v1/" + line_name;
      const auto file = "amd/" + line_name + (kind == "vlek" ? "-vlek" : "");
      TRY(keep(service + "/cert_chain", file + ".pem", is_pem));
      TRY(keep(service + "/crl", file + ".crl", is_crl));
    }
    return {};
  }

  base::Result<void> fill_vcek(const SnpReport& report, SnpProduct line) {
    const auto tcb = decode_tcb(report.reported_tcb, report.tcb_form());
    const bool turin = line == SnpProduct::kTurin;
    // Turin's hardware id is the first 8 bytes of the field.
    const auto hwid = base::to_hex(base::ByteView(report.chip_id).first(turin ? 8 : 64));
    auto url = arguments_.amd + "/vcek/v1/" + std::string(name(line)) + "/" + hwid +
               "?blSPL=" + std::to_string(tcb.boot_loader) + "&teeSPL=" + std::to_string(tcb.tee) +
               "&snpSPL=" + std::to_string(tcb.snp) + "&ucodeSPL=" + std::to_string(tcb.microcode);
    if (turin) {
      url += "&fmcSPL=" + std::to_string(tcb.fmc);
    }
    return keep(url, collateral::vcek_file(report), is_certificate);
  }

  base::Result<void> fill_intel(const std::set<std::string>& fmspcs) {
    const auto tdx = arguments_.intel + "/tdx/certification/v4";
    for (const auto& fmspc : fmspcs) {
      TRY(keep_signed(tdx + "/tcb?fmspc=" + fmspc, "intel/tcb-info-" + fmspc + ".json", "tcbInfo",
                      "tcb-info-issuer-chain"));
    }
    TRY(keep_signed(tdx + "/qe/identity", "intel/qe-identity.json", "enclaveIdentity",
                    "sgx-enclave-identity-issuer-chain"));
    for (const std::string ca : {"platform", "processor"}) {
      TRY(keep(arguments_.intel + "/sgx/certification/v4/pckcrl?ca=" + ca + "&encoding=der",
               "intel/pck-" + ca + ".crl", is_crl));
    }
    return keep(arguments_.intel_certificates + "/IntelSGXRootCA.der", "intel/root.crl", is_crl);
  }

  [[nodiscard]] const boost::json::array& written() const { return written_; }

 private:
  using Reads = std::function<bool(base::ByteView)>;

  static std::string text_of(base::ByteView bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  static bool is_pem(base::ByteView bytes) {
    return crypto::decode_pem_certificates(text_of(bytes), 4).has_value();
  }

  static bool is_crl(base::ByteView bytes) { return crypto::Crl::decode(bytes).has_value(); }

  static bool is_certificate(base::ByteView bytes) {
    return crypto::Certificate::decode(bytes).has_value();
  }

  base::Result<void> write(const std::string& file, base::ByteView bytes) {
    TRY(cli::write_file(folder_ / file, bytes));
    written_.emplace_back(file);
    output_.talk((folder_ / file).string());
    return {};
  }

  base::Result<void> keep(const std::string& url, const std::string& file, const Reads& reads) {
    TRY_ASSIGN(fetched, fetch(url));
    if (!reads(fetched.body)) {
      return base::fail(base::ErrorCode::kCorrupt, url + " gives something else than " + file);
    }
    return write(file, fetched.body);
  }

  // Intel serves the certificates of a signer in a header of what it signed.
  base::Result<void> keep_signed(const std::string& url, const std::string& file,
                                 const std::string& body_name, const std::string& chain_header) {
    TRY_ASSIGN(fetched, fetch(url));
    if (const auto document = decode_signed_document(text_of(fetched.body), body_name); !document) {
      return base::fail(base::Error(document.error()).context(url));
    }
    const auto header = fetched.headers.find(chain_header);
    if (header == fetched.headers.end()) {
      return base::fail(base::ErrorCode::kCorrupt,
                        url + " comes without the header " + chain_header);
    }
    TRY_ASSIGN(chain, percent_decoded(header->second));
    if (!is_pem(base::bytes_of(chain))) {
      return base::fail(base::ErrorCode::kCorrupt, url + " has a header that is no chain");
    }
    TRY(write("intel/" + body_name + "-signers.pem", base::bytes_of(chain)));
    return write(file, fetched.body);
  }

  const Arguments& arguments_;
  fs::path folder_;
  const cli::Output& output_;
  boost::json::array written_;
};

base::Result<cli::ExitStatus> fill(const Arguments& arguments, cli::Output& output) {
  if (arguments.folder.empty()) {
    return base::fail(base::ErrorCode::kInvalidArgument, "name a folder with --collateral");
  }
  TRY_ASSIGN(wanted, wanted_by(arguments));
  Filler filler(arguments, output);
  for (const auto line : wanted.lines) {
    TRY(filler.fill_amd(line));
  }
  for (const auto& [report, line] : wanted.without_vcek) {
    TRY(filler.fill_vcek(report, line));
  }
  if (!wanted.fmspcs.empty()) {
    TRY(filler.fill_intel(wanted.fmspcs));
  }
  if (output.json()) {
    TRY(output.document("strongroom.attest.collateral/1",
                        {{"folder", arguments.folder}, {"written", filler.written()}}));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command collateral_command() {
  return {.name = "collateral",
          .summary =
              "Fetch vendors' certificates, revocation lists and TCB info into the folder that "
              "verify reads",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.add_option("--for", arguments->evidence, "Evidence whose machines are meant")
                ->type_name("BUNDLE");
            app.add_option("--amd", arguments->lines, "AMD product lines: Milan, Genoa, Turin")
                ->check(CLI::IsMember({"Milan", "Genoa", "Turin"}));
            app.add_option("--fmspc", arguments->fmspcs,
                           "Intel platforms, 12 hexadecimal digits each")
                ->type_name("HEX");
            app.add_option("--collateral", arguments->folder, "The folder to fill")
                ->type_name("FOLDER")
                ->capture_default_str();
            app.add_option("--amd-service", arguments->amd,
                           "AMD's key distribution service or a mirror")
                ->type_name("URL")
                ->capture_default_str();
            app.add_option("--intel-service", arguments->intel,
                           "Intel's provisioning certification service or a mirror")
                ->type_name("URL")
                ->capture_default_str();
            app.add_option("--intel-certificates", arguments->intel_certificates,
                           "Where Intel's root revocation list lies")
                ->type_name("URL")
                ->capture_default_str();
            return [arguments](cli::Output& output) { return fill(*arguments, output); };
          }};
}

}  // namespace tools::attest
