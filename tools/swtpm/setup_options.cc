// SPDX-License-Identifier: Apache-2.0
#include "tools/swtpm/setup_options.h"

#include <getopt.h>

#include <string_view>
#include <variant>
#include <vector>

namespace tools::swtpm {

namespace {

using Text = std::optional<std::string> SetupOptions::*;
using Flag = bool SetupOptions::*;

struct Ignored {};  // swtpm_setup takes it, and it changes nothing here

struct Unsupported {
  std::string_view why;
};

constexpr std::string_view kOnlyTpm12 = "is for a TPM 1.2, and this makes a TPM 2.0";

struct Known {
  const char* name;
  int argument;
  std::variant<Text, Flag, Ignored, Unsupported> place;
};

const std::vector<Known>& known() {
  using S = SetupOptions;
  static const std::vector<Known> all = {
      {"tpm-state", required_argument, &S::state},
      {"tpmstate", required_argument, &S::state},
      {"config", required_argument, &S::config},
      {"logfile", required_argument, &S::log},
      {"vmid", required_argument, &S::vm_id},
      {"keyfile", required_argument, &S::key_file},
      {"keyfile-fd", required_argument, &S::key_fd},
      {"pwdfile", required_argument, &S::passphrase_file},
      {"pwdfile-fd", required_argument, &S::passphrase_fd},
      {"pcr-banks", required_argument, &S::pcr_banks},
      {"rsa-keysize", required_argument, &S::rsa_key_bits},
      {"write-ek-cert-files", required_argument, &S::certificate_copies},
      {"runas", required_argument, &S::user},
      {"create-config-files", optional_argument, &S::config_files},
      {"cipher", required_argument, Ignored{}},  // read below: it has a default
      {"tpm2", no_argument, &S::tpm2},
      {"createek", no_argument, &S::create_ek},
      {"create-ek-cert", no_argument, &S::create_ek_certificate},
      {"create-platform-cert", no_argument, &S::create_platform_certificate},
      {"create-spk", no_argument, &S::create_spk},
      {"ecc", no_argument, &S::ecc},
      {"lock-nvram", no_argument, &S::lock_nvram},
      {"overwrite", no_argument, &S::overwrite},
      {"not-overwrite", no_argument, &S::not_overwrite},
      {"reconfigure", no_argument, &S::reconfigure},
      {"display", no_argument, &S::display},
      {"print-capabilities", no_argument, &S::print_capabilities},
      {"help", no_argument, &S::help},
      {"version", no_argument, &S::version},
      {"allow-signing", no_argument, &S::allow_signing},
      {"decryption", no_argument, &S::decryption},
      {"tpm", required_argument, Ignored{}},
      {"swtpm_ioctl", required_argument, Ignored{}},
      {"tcsd-system-ps-file", required_argument, Ignored{}},
      {"take-ownership", no_argument, Unsupported{kOnlyTpm12}},
      {"ownerpass", required_argument, Unsupported{kOnlyTpm12}},
      {"owner-well-known", no_argument, Unsupported{kOnlyTpm12}},
      {"srkpass", required_argument, Unsupported{kOnlyTpm12}},
      {"srk-well-known", no_argument, Unsupported{kOnlyTpm12}},
  };
  return all;
}

std::vector<option> long_options() {
  std::vector<option> options;
  for (const auto& one : known()) {
    options.push_back({one.name, one.argument, nullptr, 0});
  }
  options.push_back({nullptr, 0, nullptr, 0});
  return options;
}

tl::unexpected<base::Error> wrong(std::string why) {
  return base::fail(base::ErrorCode::kInvalidArgument, std::move(why));
}

base::Result<void> take(const Known& one, const char* argument, SetupOptions& options) {
  if (const auto* text = std::get_if<Text>(&one.place)) {
    options.*(*text) = argument == nullptr ? "" : argument;
  } else if (const auto* flag = std::get_if<Flag>(&one.place)) {
    options.*(*flag) = true;
  } else if (const auto* unsupported = std::get_if<Unsupported>(&one.place)) {
    return wrong("--" + std::string(one.name) + " " + std::string(unsupported->why));
  } else if (std::string_view(one.name) == "cipher") {
    options.cipher = argument;
  }
  return {};
}

}  // namespace

base::Result<SetupOptions> read_setup_options(int argc, char** argv) {
  SetupOptions options;
  const auto all = long_options();
  ::optind = 1;
  for (;;) {
    int which = -1;
    const int choice = ::getopt_long(argc, argv, "h?", all.data(), &which);
    if (choice == -1) {
      break;
    }
    if (choice == 'h') {
      options.help = true;
    } else if (choice != 0) {
      return wrong("see --help for what there is");
    } else {
      TRY(take(known()[static_cast<std::size_t>(which)], ::optarg, options));
    }
  }
  // What --create-config-files takes may stand behind it, without an equals sign.
  if (options.config_files && options.config_files->empty() && ::optind < argc) {
    options.config_files = argv[::optind++];
  }
  if (::optind < argc) {
    return wrong("Unknown parameter '" + std::string(argv[::optind]) + "'");
  }
  options.create_ek_certificate =
      options.create_ek_certificate || options.create_platform_certificate;
  options.create_ek = options.create_ek || options.create_ek_certificate;
  return options;
}

std::string setup_usage() {
  return "Usage: swtpm_setup [options]\n\n"
         "The options are those of swtpm_setup(8) for a TPM 2.0; the TPM's state is kept in a "
         "VMGS\n"
         "file, where `swtpm` in this program's folder finds it.\n\n"
         "--tpm2                     : a TPM 2.0; there is no other\n"
         "--tpm-state, --tpmstate [dir://|file://]PATH\n"
         "                           : where the TPM's state is kept\n"
         "--createek                 : make an RSA EK and an ECC EK persistent\n"
         "--allow-signing            : ... that sign, which no EK by the TCG's profile does\n"
         "--decryption               : ... and decrypt; without --allow-signing they always do\n"
         "--create-ek-cert           : give each a certificate; implies --createek\n"
         "--create-platform-cert     : make a platform certificate; implies --create-ek-cert\n"
         "--create-spk, --ecc        : make a storage key persistent, RSA or ECC\n"
         "--lock-nvram               : certificates cannot be written over\n"
         "--rsa-keysize 2048|3072    : of the RSA keys\n"
         "--pcr-banks LIST|-         : banks that are active, as sha256,sha384; - leaves them\n"
         "--reconfigure              : change the PCR banks of the TPM that is there\n"
         "--overwrite                : make a new TPM in place of the one that is there\n"
         "--not-overwrite            : be content with the one that is there\n"
         "--vmid ID                  : what the certificates say of the VM\n"
         "--keyfile FILE, --keyfile-fd FD, --pwdfile FILE, --pwdfile-fd FD\n"
         "--cipher aes-128-cbc|aes-256-cbc\n"
         "                           : what encrypts the state, as with --key of swtpm\n"
         "--write-ek-cert-files DIR  : leave a copy of the EKs' certificates there\n"
         "--config FILE              : which tool makes certificates (swtpm_setup.conf(5))\n"
         "--create-config-files [overwrite][,root][,skip-if-exist]\n"
         "--logfile FILE, --runas USER, --display\n"
         "--print-capabilities, --version, -h|--help\n";
}

}  // namespace tools::swtpm
