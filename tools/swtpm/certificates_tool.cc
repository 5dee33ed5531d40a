// SPDX-License-Identifier: Apache-2.0
#include "tools/swtpm/certificates_tool.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string_view>
#include <system_error>
#include <utility>

extern char** environ;  // POSIX has it in no header

namespace tools::swtpm {

namespace {

constexpr std::string_view kSystemConfig = "/etc/swtpm_setup.conf";

std::string trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t");
  const auto end = text.find_last_not_of(" \t\r");
  return begin == std::string_view::npos ? "" : std::string(text.substr(begin, end - begin + 1));
}

// What the environment says in place of each "${NAME}", which may be nothing, as swtpm_setup has
// it; and "~" at the beginning, as people write it.
std::string expanded(std::string_view text) {
  std::string result;
  const char* const home = std::getenv("HOME");
  if (text.starts_with('~') && home != nullptr) {
    result = home;
    text.remove_prefix(1);
  }
  for (;;) {
    const auto begin = text.find("${");
    const auto end = begin == std::string_view::npos ? begin : text.find('}', begin);
    if (end == std::string_view::npos) {
      return result.append(text);
    }
    const std::string name(text.substr(begin + 2, end - begin - 2));
    const char* const value = std::getenv(name.c_str());
    result.append(text.substr(0, begin)).append(value == nullptr ? "" : value);
    text.remove_prefix(end + 1);
  }
}

std::optional<std::string> found_config() {
  const char* const config_home = std::getenv("XDG_CONFIG_HOME");
  const char* const home = std::getenv("HOME");
  std::vector<std::string> candidates;
  if (config_home != nullptr) {
    candidates.push_back(std::string(config_home) + "/swtpm_setup.conf");
  } else if (home != nullptr) {
    candidates.push_back(std::string(home) + "/.config/swtpm_setup.conf");
  }
  candidates.emplace_back(kSystemConfig);
  for (const auto& candidate : candidates) {
    std::error_code error;
    if (std::filesystem::exists(candidate, error)) {
      return candidate;
    }
  }
  return std::nullopt;
}

tl::unexpected<base::Error> no_certificate(std::string why) {
  return base::fail(base::ErrorCode::kUnavailable, std::move(why));
}

// The output of the tool goes to the log that it is given as well.
base::Result<void> run(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const auto& argument : arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  pid_t child = -1;
  if (const int error =
          ::posix_spawnp(&child, argv.front(), nullptr, nullptr, argv.data(), environ);
      error != 0) {
    return no_certificate(arguments.front() + ": " + std::generic_category().message(error) +
                          "; create_certs_tool in swtpm_setup.conf names the tool that makes "
                          "certificates, and package swtpm-tools has one");
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0
             ? base::Result<void>()
             : no_certificate(arguments.front() + " made no certificate; its log says why");
}

std::string text_of(const boost::json::value& value) {
  return value.is_string() ? std::string(value.as_string()) : boost::json::serialize(value);
}

base::Result<std::vector<std::string>> described(const std::string& info) {
  boost::system::error_code error;
  const auto document = boost::json::parse(info, error);
  std::vector<std::string> arguments;
  const auto add = [&](const char* group, const char* member, const char* option) {
    const auto* const object = error ? nullptr : document.if_object();
    const auto* const found = object == nullptr ? nullptr : object->if_contains(group);
    const auto* const members = found == nullptr ? nullptr : found->if_object();
    const auto* const value = members == nullptr ? nullptr : members->if_contains(member);
    if (value != nullptr) {
      arguments.emplace_back(option);
      arguments.push_back(text_of(*value));
    }
  };
  add("TPMSpecification", "family", "--tpm-spec-family");
  add("TPMSpecification", "level", "--tpm-spec-level");
  add("TPMSpecification", "revision", "--tpm-spec-revision");
  add("TPMAttributes", "manufacturer", "--tpm-manufacturer");
  add("TPMAttributes", "model", "--tpm-model");
  add("TPMAttributes", "version", "--tpm-version");
  constexpr std::size_t kAll = 12;
  return arguments.size() == kAll ? base::Result<std::vector<std::string>>(std::move(arguments))
                                  : no_certificate("libtpms does not say which TPM it is");
}

std::string parameters_of(const vtpm::provision::PublicNumbers& key) {
  if (!key.modulus.empty()) {
    return base::to_hex(key.modulus);
  }
  return "x=" + base::to_hex(key.x) + ",y=" + base::to_hex(key.y) + ",id=secp384r1";
}

}  // namespace

base::Result<SetupConfig> SetupConfig::read(const std::optional<std::string>& file) {
  SetupConfig config;
  const auto path = file ? file : found_config();
  if (!path) {
    return config;
  }
  std::ifstream lines(*path);
  if (!lines) {
    return base::fail(base::ErrorCode::kNotFound, "Could not read " + *path);
  }
  for (std::string line; std::getline(lines, line);) {
    const auto text = std::string_view(line).substr(0, line.find('#'));
    const auto equals = text.find('=');
    if (equals == std::string_view::npos) {
      continue;
    }
    const auto name = trimmed(text.substr(0, equals));
    const auto value = expanded(trimmed(text.substr(equals + 1)));
    if (name == "create_certs_tool") {
      config.certificates_tool = value;
    } else if (name == "create_certs_tool_config") {
      config.certificates_tool_config = value;
    } else if (name == "create_certs_tool_options") {
      config.certificates_tool_options = value;
    } else if (name == "active_pcr_banks" && !value.empty()) {
      config.pcr_banks = value;
    }
  }
  return config;
}

base::Result<CertificatesTool> CertificatesTool::create(const SetupConfig& config,
                                                        CertifiedTpm tpm) {
  if (config.certificates_tool.empty()) {
    return no_certificate(
        "no create_certs_tool stands in swtpm_setup.conf, so there is nobody to make certificates; "
        "name one, or leave --create-ek-cert and --create-platform-cert out");
  }
  TRY_ASSIGN(about, described(tpm.info));
  auto pattern = (std::filesystem::temp_directory_path() / "swtpm_setup.certs.XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    return base::fail(base::ErrorCode::kIo,
                      "a folder for certificates: " + std::generic_category().message(errno));
  }
  return CertificatesTool(config, std::move(tpm), pattern, std::move(about));
}

CertificatesTool::CertificatesTool(CertificatesTool&& other) noexcept
    : config_(std::move(other.config_)),
      tpm_(std::move(other.tpm_)),
      folder_(std::exchange(other.folder_, {})),
      described_(std::move(other.described_)) {}

CertificatesTool::~CertificatesTool() {
  if (!folder_.empty()) {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
}

base::Result<base::Bytes> CertificatesTool::certify(
    const std::string& type, const vtpm::provision::PublicNumbers& key) const {
  std::vector<std::string> arguments = {
      config_.certificates_tool, "--type", type, "--ek", parameters_of(key), "--dir",
      folder_.string()};
  const auto add = [&](const char* option, const std::string& value) {
    if (!value.empty()) {
      arguments.insert(arguments.end(), {option, value});
    }
  };
  add("--logfile", tpm_.log);
  add("--vmid", tpm_.vm_id);
  arguments.insert(arguments.end(), described_.begin(), described_.end());
  arguments.emplace_back("--tpm2");
  add("--configfile", config_.certificates_tool_config);
  add("--optsfile", config_.certificates_tool_options);
  TRY(run(arguments));
  const auto path = folder_ / (type + ".cert");
  std::ifstream file(path, std::ios::binary);
  const std::string content((std::istreambuf_iterator<char>(file)), {});
  if (content.empty()) {
    return no_certificate(config_.certificates_tool + " left no certificate");
  }
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  return base::copy_of(base::bytes_of(content));
}

}  // namespace tools::swtpm
