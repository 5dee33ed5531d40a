// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "vmgs/base/result.h"

namespace tools::swtpm {

// What swtpm_setup's command line asks for.
struct SetupOptions {
  std::optional<std::string> state;               // --tpm-state, --tpmstate
  std::optional<std::string> config;              // --config
  std::optional<std::string> log;                 // --logfile
  std::optional<std::string> vm_id;               // --vmid
  std::optional<std::string> key_file;            // --keyfile
  std::optional<std::string> key_fd;              // --keyfile-fd
  std::optional<std::string> passphrase_file;     // --pwdfile
  std::optional<std::string> passphrase_fd;       // --pwdfile-fd
  std::string cipher = "aes-128-cbc";             // --cipher
  std::optional<std::string> pcr_banks;           // --pcr-banks
  std::optional<std::string> rsa_key_bits;        // --rsa-keysize
  std::optional<std::string> certificate_copies;  // --write-ek-cert-files
  std::optional<std::string> user;                // --runas
  std::optional<std::string> config_files;        // --create-config-files, with what follows it
  bool tpm2 = false;
  bool create_ek = false;
  bool create_ek_certificate = false;
  bool create_platform_certificate = false;
  bool create_spk = false;
  bool ecc = false;
  bool lock_nvram = false;
  bool allow_signing = false;
  bool decryption = false;
  bool overwrite = false;
  bool not_overwrite = false;
  bool reconfigure = false;
  bool display = false;
  bool print_capabilities = false;
  bool help = false;
  bool version = false;
};

// read_setup_options() reads them. kInvalidArgument with the sentence for the person who typed
// them, also for what swtpm_setup has and a TPM 2.0 of ours does not.
base::Result<SetupOptions> read_setup_options(int argc, char** argv);

// setup_usage() is what --help prints.
std::string setup_usage();

}  // namespace tools::swtpm
