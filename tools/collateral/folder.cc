// SPDX-License-Identifier: Apache-2.0
#include "tools/collateral/folder.h"

#include <algorithm>
#include <cstdlib>

#include "keybroker/evidence/signed_document.h"
#include "tools/collateral/read.h"

namespace tools::collateral {

namespace {

namespace fs = std::filesystem;
using keybroker::evidence::Collateral;

constexpr std::size_t kMaxCertificates = 16;
constexpr std::size_t kMaxFileBytes = 16 * 1024 * 1024;

// files_of() is in the order of the names, so that the same folder always gives the same answer.
base::Result<std::vector<fs::path>> files_of(const fs::path& folder, const std::string& extension) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() == extension) {
      files.push_back(entry->path());
    }
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return base::fail(base::ErrorCode::kIo, folder.string() + ": " + error.message());
  }
  std::ranges::sort(files);
  return files;
}

base::Result<void> read_pem(const fs::path& folder,
                            std::vector<keybroker::crypto::Certificate>& out) {
  TRY_ASSIGN(files, files_of(folder, ".pem"));
  for (const auto& file : files) {
    TRY_ASSIGN(certificates, read_certificates(file.string(), kMaxCertificates));
    out.insert(out.end(), certificates.begin(), certificates.end());
  }
  return {};
}

base::Result<void> read_crls(const fs::path& folder, std::vector<keybroker::crypto::Crl>& out) {
  TRY_ASSIGN(files, files_of(folder, ".crl"));
  for (const auto& file : files) {
    TRY_ASSIGN(bytes, read_bytes(file.string(), kMaxFileBytes));
    auto crl = keybroker::crypto::Crl::decode(bytes);
    if (!crl) {
      return base::fail(std::move(crl).error().context(file.string()));
    }
    out.push_back(*std::move(crl));
  }
  return {};
}

base::Result<void> read_documents(const fs::path& folder, Collateral& collateral) {
  TRY_ASSIGN(files, files_of(folder, ".json"));
  for (const auto& file : files) {
    TRY_ASSIGN(text, read_text(file.string(), kMaxFileBytes));
    auto tcb_info = keybroker::evidence::decode_signed_document(text, "tcbInfo");
    if (tcb_info) {
      collateral.tdx.tcb_infos.push_back(*std::move(tcb_info));
      continue;
    }
    auto identity = keybroker::evidence::decode_signed_document(text, "enclaveIdentity");
    if (!identity) {
      return base::fail(base::ErrorCode::kCorrupt,
                        file.string() + ": neither TCB info nor QE identity");
    }
    collateral.tdx.qe_identities.push_back(*std::move(identity));
  }
  return {};
}

}  // namespace

fs::path default_collateral_folder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != '\0') {
    return fs::path(cache) / "strongroom" / "collateral";
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    return fs::path(home) / ".cache" / "strongroom" / "collateral";
  }
  return {};
}

base::Result<Collateral> read_collateral(const fs::path& folder) {
  Collateral collateral;
  if (folder.empty()) {
    return collateral;
  }
  TRY(read_pem(folder / "amd", collateral.snp_authorities));
  TRY(read_crls(folder / "amd", collateral.snp_crls));
  TRY(read_pem(folder / "intel", collateral.tdx.signers));
  TRY(read_crls(folder / "intel", collateral.tdx.crls));
  TRY(read_documents(folder / "intel", collateral));
  return collateral;
}

std::string vcek_file(const keybroker::evidence::SnpReport& report) {
  return "amd/vcek-" + base::to_hex(report.chip_id) + "-" + base::to_hex(report.reported_tcb) +
         ".der";
}

base::Result<void> add_kept_vcek(const fs::path& folder, keybroker::evidence::Evidence& evidence) {
  if (!evidence.snp_certificates.empty() || folder.empty()) {
    return {};
  }
  const auto report =
      keybroker::evidence::decode_snp_report(keybroker::evidence::snp_report_of(evidence));
  std::error_code error;
  if (!report || !fs::exists(folder / vcek_file(*report), error)) {
    return {};
  }
  TRY_ASSIGN(der, read_bytes((folder / vcek_file(*report)).string(), kMaxFileBytes));
  TRY_ASSIGN(certificate, keybroker::crypto::Certificate::decode(der));
  evidence.snp_certificates = {std::move(certificate)};
  return {};
}

}  // namespace tools::collateral
