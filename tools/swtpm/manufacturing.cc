// SPDX-License-Identifier: Apache-2.0
#include "tools/swtpm/manufacturing.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tools/swtpm/certificates_tool.h"
#include "tools/swtpm/drop_in_store.h"
#include "tools/swtpm/key_option.h"
#include "tools/swtpm/state_place.h"
#include "vmgs/base/log.h"
#include "vtpm/boot/manufacture.h"
#include "vtpm/boot/swtpm_import.h"
#include "vtpm/boot/swtpm_lock.h"
#include "vtpm/engine/engine.h"
#include "vtpm/engine/memory_nv_store.h"
#include "vtpm/provision/swtpm_layout.h"
#include "vtpm/provision/tpm_life.h"

namespace tools::swtpm {

using base::ErrorCode;
using vtpm::boot::StateOwner;
using vtpm::engine::BlobKind;
using vtpm::provision::SwtpmEndorsementKey;
using vtpm::provision::TpmLife;

namespace {

// TPMLIB_INFO_TPMSPECIFICATION and TPMLIB_INFO_TPMATTRIBUTES.
constexpr std::uint64_t kInfoForCertificates = 3;

void say(const std::string& line) { base::log(base::LogLevel::kInfo, line); }

tl::unexpected<base::Error> wrong(std::string why) {
  return base::fail(ErrorCode::kInvalidArgument, std::move(why));
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> names;
  for (std::size_t begin = 0; begin <= list.size();) {
    const auto comma = std::min(list.find(',', begin), list.size());
    names.push_back(list.substr(begin, comma - begin));
    begin = comma + 1;
  }
  return names;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) {
    text += (text.empty() ? "" : ",") + name;
  }
  return text;
}

std::string hex(TPM2_HANDLE handle) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (; handle != 0; handle >>= 4U) {
    text.insert(text.begin(), kDigits[handle & 0xfU]);
  }
  return "0x" + text;
}

base::Result<std::optional<vmgs::format::SwtpmKey>> key_of(const SetupOptions& options) {
  const auto mode = ",mode=" + options.cipher;
  for (const auto& [value, name] :
       {std::pair(&options.key_file, "file="), std::pair(&options.key_fd, "fd="),
        std::pair(&options.passphrase_file, "pwdfile="),
        std::pair(&options.passphrase_fd, "pwdfd=")}) {
    if (*value) {
      TRY_ASSIGN(key, read_key_option("key", name + **value + mode));
      return std::optional(std::move(key));
    }
  }
  return std::optional<vmgs::format::SwtpmKey>();
}

base::Result<std::string> info_of_engine() {
  vtpm::engine::MemoryNvStore none;
  TRY_ASSIGN(engine, vtpm::engine::Engine::create(none));
  return engine->info(kInfoForCertificates);
}

base::Result<void> keep_copy(const SetupOptions& options, const std::string& name,
                             const base::Bytes& certificate) {
  if (!options.certificate_copies) {
    return {};
  }
  const auto path = std::filesystem::path(*options.certificate_copies) / ("ek-" + name + ".crt");
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(certificate.data()),
             static_cast<std::streamsize>(certificate.size()));
  file.close();
  return file ? base::Result<void>()
              : base::fail(ErrorCode::kIo, path.string() + ": the certificate cannot be written");
}

// One TPM that is being made, in a life of its own.
class Manufacture {
 public:
  Manufacture(const SetupOptions& options, TpmLife& life, const CertificatesTool* tool)
      : options_(options), life_(life), tool_(tool) {}

  base::Result<void> put_endorsement_key(const SwtpmEndorsementKey& key, const std::string& name) {
    TRY_ASSIGN(made, vtpm::provision::put_key(life_.esys(), key.place));
    say("Successfully created " + std::string(key.place.what) + " with handle " +
        hex(key.place.handle) + ".");
    if (options_.allow_signing) {
      TRY_ASSIGN(content, vtpm::provision::template_of(key.place));
      TRY(put(key.template_index, content, std::string(key.place.what) + " template"));
    }
    if (tool_ == nullptr || !options_.create_ek_certificate) {
      return {};
    }
    TRY_ASSIGN(numbers, vtpm::provision::public_numbers(made));
    TRY_ASSIGN(certificate, tool_->certify("ek", numbers));
    TRY(put(key.certificate_index, certificate, std::string(key.place.what) + " certificate"));
    if (options_.create_platform_certificate && !has_platform_certificate_) {
      TRY_ASSIGN(platform, tool_->certify("platform", numbers));
      TRY(put(vtpm::provision::kSwtpmPlatformCertificateIndex, platform, "platform certificate"));
      has_platform_certificate_ = true;
    }
    return keep_copy(options_, name, certificate);
  }

 private:
  base::Result<void> put(TPM2_HANDLE index, base::ByteView content, const std::string& what) {
    TRY(vtpm::provision::put_swtpm_index(life_.esys(), index, content, options_.lock_nvram));
    say("Successfully created NVRAM area " + hex(index) + " for " + what + ".");
    return {};
  }

  const SetupOptions& options_;
  TpmLife& life_;
  const CertificatesTool* const tool_;
  bool has_platform_certificate_ = false;
};

base::Result<void> put_keys(const SetupOptions& options, TpmLife& life,
                            const CertificatesTool* tool) {
  const bool is_3072 = options.rsa_key_bits == "3072";
  if (options.create_spk) {
    const auto& place = options.ecc ? vtpm::provision::swtpm_ecc_p384_srk()
                        : is_3072   ? vtpm::provision::swtpm_rsa3072_srk()
                                    : vtpm::provision::swtpm_rsa2048_srk();
    TRY(vtpm::provision::put_key(life.esys(), place));
    say("Successfully created " + std::string(place.what) + " with handle " + hex(place.handle) +
        ".");
  }
  if (!options.create_ek) {
    return {};
  }
  using vtpm::provision::SwtpmEkUse;
  const auto use = !options.allow_signing ? SwtpmEkUse::kProfile
                   : options.decryption   ? SwtpmEkUse::kSigningAndDecryption
                                          : SwtpmEkUse::kSigning;
  Manufacture manufacture(options, life, tool);
  TRY(manufacture.put_endorsement_key(
      is_3072 ? vtpm::provision::swtpm_rsa3072_ek(use) : vtpm::provision::swtpm_rsa2048_ek(use),
      is_3072 ? "rsa3072" : "rsa2048"));
  return manufacture.put_endorsement_key(vtpm::provision::swtpm_ecc_p384_ek(use), "secp384r1");
}

base::Result<void> choose_banks(TpmLife& life, const std::string& banks) {
  if (banks == "-") {
    return {};
  }
  const auto wanted = split(banks);
  TRY_ASSIGN(there, vtpm::provision::pcr_banks(life.esys()));
  TRY(vtpm::provision::activate_pcr_banks(life.esys(), wanted));
  std::vector<std::string> active;
  for (const auto& bank : there.all) {
    if (std::find(wanted.begin(), wanted.end(), bank) != wanted.end()) {
      active.push_back(bank);
    }
  }
  say("Successfully activated PCR banks " + joined(active) + " among " + joined(there.all) + ".");
  return {};
}

// The permanent state that the options ask for, out of the one before.
base::Result<base::SecretBytes> made_of(const SetupOptions& options, const SetupConfig& config,
                                        base::ByteView before) {
  std::optional<CertificatesTool> tool;
  if (options.create_ek_certificate && !options.reconfigure) {
    TRY_ASSIGN(info, info_of_engine());
    TRY_ASSIGN(created, CertificatesTool::create(config, {.vm_id = options.vm_id.value_or(""),
                                                          .log = options.log.value_or(""),
                                                          .info = std::move(info)}));
    tool.emplace(std::move(created));
  }
  TRY_ASSIGN(life, TpmLife::begin(before));
  if (!options.reconfigure) {
    TRY(put_keys(options, *life, tool ? &*tool : nullptr));
  }
  TRY(choose_banks(*life, options.pcr_banks.value_or(config.pcr_banks)));
  return life->end();
}

base::Result<void> remove_state(const StatePlace& place) {
  std::error_code looking;
  if (std::filesystem::is_block_file(place.store, looking)) {
    return base::fail(ErrorCode::kDenied, place.store.string() +
                                              " is a device, and nothing on one is overwritten; "
                                              "blank it first");
  }
  std::vector<std::filesystem::path> files = {place.store};
  if (place.folder) {
    files.push_back(place.folder->volatile_state());
    files.push_back(place.folder->imported());
  }
  for (const auto& file : files) {
    std::error_code error;
    std::filesystem::remove(file, error);
    if (error) {
      return base::fail(ErrorCode::kIo, file.string() + ": " + error.message());
    }
  }
  return {};
}

base::Result<void> reconfigure(const SetupOptions& options, const SetupConfig& config,
                               DropInStore& store) {
  TRY_ASSIGN(before, store.load(BlobKind::kPermanent));
  if (!before) {
    return base::fail(ErrorCode::kNotFound, "there is no TPM to reconfigure");
  }
  TRY_ASSIGN(after, made_of(options, config, before->expose()));
  return store.store(BlobKind::kPermanent, after.expose());
}

base::Result<void> expect_options(const SetupOptions& options) {
  if (!options.tpm2) {
    return wrong("only TPM 2.0 is supported; give --tpm2, or use swtpm_setup itself for a TPM 1.2");
  }
  if (!options.state) {
    return wrong("--tpm-state must be provided");
  }
  if (options.overwrite && options.not_overwrite) {
    return wrong("--overwrite and --not-overwrite contradict each other");
  }
  const auto bits = options.rsa_key_bits.value_or("2048");
  return bits == "2048" || bits == "3072" ? base::Result<void>()
                                          : wrong("Unsupported RSA key size " + bits + ".");
}

}  // namespace

base::Result<void> set_up(const SetupOptions& options) {
  TRY(expect_options(options));
  TRY_ASSIGN(config, SetupConfig::read(options.config));
  TRY_ASSIGN(key, key_of(options));
  TRY_ASSIGN(place, StatePlace::at(*options.state));
  TRY_ASSIGN(owner, place.owner());
  const bool is_there = owner != StateOwner::kNobody;
  if (is_there && options.not_overwrite && !options.reconfigure) {
    say("Not overwriting existing state file.");
    return {};
  }
  if (is_there && !options.overwrite && !options.reconfigure) {
    return base::fail(ErrorCode::kDenied,
                      "Found existing TPM state '" + place.store.string() +
                          "'; give --overwrite to lose it, or --not-overwrite to keep it");
  }
  say("Starting vTPM manufacturing");
  if (options.reconfigure) {
    TRY_ASSIGN(store, DropInStore::prepare(place, key ? &*key : nullptr));
    TRY(reconfigure(options, config, *store));
    TRY(store->close());
    say("Successfully authored TPM state.");
    return {};
  }
  TRY_ASSIGN(fresh, vtpm::boot::manufacture());
  TRY_ASSIGN(made, made_of(options, config, fresh.expose()));
  if (is_there) {
    if (place.folder) {
      TRY(vtpm::boot::SwtpmLock::expect_free(*place.folder));
    }
    TRY(remove_state(place));
  }
  TRY_ASSIGN(store, DropInStore::prepare(place, key ? &*key : nullptr));
  TRY(store->store(BlobKind::kPermanent, made.expose()));
  TRY(store->close());
  say("Successfully authored TPM state.");
  return {};
}

base::Result<void> create_config_files(const std::string& choices) {
  bool overwrite = false;
  bool as_root = false;
  bool skip = false;
  for (const auto& choice : split(choices)) {
    overwrite = overwrite || choice == "overwrite";
    as_root = as_root || choice == "root";
    skip = skip || choice == "skip-if-exist";
    if (!choice.empty() && choice != "overwrite" && choice != "root" && choice != "skip-if-exist") {
      return wrong("Unknown choice '" + choice + "' of --create-config-files");
    }
  }
  if (::getuid() == 0 && !as_root) {
    return base::fail(ErrorCode::kDenied,
                      "Requires root flag to be passed to create config files in root's folder");
  }
  const char* const config_home = std::getenv("XDG_CONFIG_HOME");
  const char* const home = std::getenv("HOME");
  if (config_home == nullptr && home == nullptr) {
    return wrong("neither XDG_CONFIG_HOME nor HOME says where configuration goes");
  }
  const auto folder = config_home != nullptr ? std::filesystem::path(config_home)
                                             : std::filesystem::path(home) / ".config";
  const auto state = folder / "var/lib/swtpm-localca";
  const auto path = [&](const char* name) { return (folder / name).string(); };
  const std::pair<std::string, std::string> files[] = {
      {path("swtpm_setup.conf"),
       "create_certs_tool = /usr/bin/swtpm_localca\n"
       "create_certs_tool_config = " +
           path("swtpm-localca.conf") + "\ncreate_certs_tool_options = " +
           path("swtpm-localca.options") + "\nactive_pcr_banks = sha256\n"},
      {path("swtpm-localca.conf"), "statedir = " + state.string() +
                                       "\nsigningkey = " + (state / "signkey.pem").string() +
                                       "\nissuercert = " + (state / "issuercert.pem").string() +
                                       "\ncertserial = " + (state / "certserial").string() + "\n"},
      {path("swtpm-localca.options"),
       "--platform-manufacturer Strongroom\n--platform-version 1\n--platform-model VM\n"},
  };
  std::error_code error;
  for (const auto& [name, content] : files) {
    if (!std::filesystem::exists(name, error) || overwrite) {
      continue;
    }
    return skip ? base::Result<void>()
                : base::fail(ErrorCode::kDenied, "File " + name + " already exists");
  }
  std::filesystem::create_directories(state, error);
  for (const auto& [name, content] : files) {
    std::ofstream file(name, std::ios::trunc);
    file << content;
    file.close();
    if (!file) {
      return base::fail(ErrorCode::kIo, name + " cannot be written");
    }
    say("Writing " + name);
  }
  return {};
}

}  // namespace tools::swtpm
