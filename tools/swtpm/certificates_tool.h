// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vtpm/provision/swtpm_layout.h"

namespace tools::swtpm {

// SetupConfig is swtpm_setup.conf(5).
struct SetupConfig {
  std::string certificates_tool;          // create_certs_tool
  std::string certificates_tool_config;   // create_certs_tool_config
  std::string certificates_tool_options;  // create_certs_tool_options
  std::string pcr_banks = "sha256";       // active_pcr_banks

  // read() reads `file`, or the one that is found where swtpm_setup looks: the user's, then the
  // system's; without any, what it has by default. kNotFound for a named file that is not there.
  static base::Result<SetupConfig> read(const std::optional<std::string>& file);
};

// Of the TPM that certificates are made for, what swtpm_localca(8) asks for.
struct CertifiedTpm {
  std::string vm_id;
  std::string log;   // of the tool; empty: stderr
  std::string info;  // TPMLIB_GetInfo of specification and attributes
};

// CertificatesTool makes certificates by the program that the configuration names, in a folder that
// goes with this.
class CertificatesTool {
 public:
  static base::Result<CertificatesTool> create(const SetupConfig& config, CertifiedTpm tpm);

  CertificatesTool(CertificatesTool&& other) noexcept;
  CertificatesTool& operator=(CertificatesTool&&) = delete;
  ~CertificatesTool();

  // certify() has it make a certificate of type "ek" or "platform" for a key, and gives its DER
  // bytes. kUnavailable if the program is not there or fails.
  base::Result<base::Bytes> certify(const std::string& type,
                                    const vtpm::provision::PublicNumbers& key) const;

 private:
  CertificatesTool(const SetupConfig& config, CertifiedTpm tpm, std::filesystem::path folder,
                   std::vector<std::string> described)
      : config_(config),
        tpm_(std::move(tpm)),
        folder_(std::move(folder)),
        described_(std::move(described)) {}

  SetupConfig config_;
  CertifiedTpm tpm_;
  std::filesystem::path folder_;
  std::vector<std::string> described_;  // --tpm-spec-family and so on
};

}  // namespace tools::swtpm
