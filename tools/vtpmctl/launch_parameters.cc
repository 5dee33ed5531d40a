// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpmctl/launch_parameters.h"

#include <CLI/CLI.hpp>

#include "keybroker/crypto/certificate.h"
#include "tools/cli/stream.h"
#include "vmgs/base/bytes.h"
#include "vmgs/crypto/digest.h"

namespace tools::vtpmctl {

namespace {

namespace api = strongroom::host::v1;
namespace crypto = keybroker::crypto;
using base::ErrorCode;

// What an execution policy has at most.
constexpr std::size_t kMaxPolicyBytes = std::size_t{1} << 20;

bool is_hash(const std::string& text) {
  const auto bytes = base::from_hex(text);
  return bytes && bytes->size() == crypto::Fingerprint().size();
}

// A root is named by its certificate, or by the certificate's SHA-256.
base::Result<std::string> hash_of_root(const std::string& root) {
  if (is_hash(root)) {
    return root;
  }
  TRY_ASSIGN(content, cli::read_input(root, crypto::kMaxPemBytes));
  const auto bytes = content.expose();
  auto decoded = crypto::decode_pem_certificates(
      {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, 1);
  if (!decoded) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "--broker-root " + root +
                          " is neither one certificate in PEM nor its SHA-256 in hexadecimal: " +
                          decoded.error().message);
  }
  return base::to_hex(decoded->front().fingerprint());
}

base::Result<std::string> digest_of_policy(const std::string& file) {
  TRY_ASSIGN(content, cli::read_input(file, kMaxPolicyBytes));
  return base::to_hex(vmgs::crypto::sha256(content.expose()));
}

base::Result<void> expect_whole(const LaunchParameters& parameters) {
  const auto missing = [](const char* what) {
    return base::fail(ErrorCode::kInvalidArgument, std::string("protection broker needs ") + what);
  };
  const auto& words = parameters.words;
  if (!parameters.execution_policy.empty() && !words.policy_digest().empty()) {
    return base::fail(
        ErrorCode::kInvalidArgument,
        "--execution-policy and --policy-digest say the same thing: give one of them");
  }
  if (words.protection() != "broker") {
    return {};
  }
  if (parameters.tee.empty() || parameters.tee == "none") {
    return missing("a confidential VM: say --tee sev-snp or --tee tdx");
  }
  if (parameters.broker_roots.empty()) {
    return missing(
        "--broker-root FILE.pem, the root certificate under which the broker signs; "
        "`kbctl status --roots` exports it");
  }
  if (words.tenant().empty()) {
    return missing("--tenant UUID, for whom the broker keeps the key");
  }
  return {};
}

}  // namespace

void add_broker_parameters(CLI::App& app, LaunchParameters& parameters) {
  app.add_option("--broker-root", parameters.broker_roots,
                 "A root under which the VM's key broker signs: its certificate, or the SHA-256 of "
                 "that; may be repeated")
      ->type_name("FILE.pem|HEX");
  app.add_option("--offline,--offline-rule", *parameters.words.mutable_offline_rule(),
                 "Whether the VM may start without its broker [deny, when it is made]")
      ->type_name("deny|allow");
}

void add_launch_parameters(CLI::App& app, LaunchParameters& parameters) {
  auto& words = parameters.words;
  const auto add = [&app](const char* name, std::string* field, const char* summary,
                          const char* type) {
    return app.add_option(name, *field, summary)->type_name(type);
  };
  add("--tee", &parameters.tee, "The confidential hardware the VM runs on [none]",
      "none|sev-snp|tdx");
  add("--protection", words.mutable_protection(),
      "What opens the state [hardware with a TEE, else host]", "hardware|broker|host|none");
  add("--lifetime", words.mutable_lifetime(), "Whether the state outlives the VM [persistent]",
      "persistent|ephemeral");
  add("--tenant", words.mutable_tenant(), "Whose VM this is", "UUID");
  add_broker_parameters(app, parameters);
  add("--anchor,--anchor-class", words.mutable_anchor_class(),
      "When freshness is witnessed [boot with protection broker, else none]",
      "none|boot|interval|counter|each");
  app.add_option_function<std::uint32_t>(
         "--anchor-interval",
         [&words](std::uint32_t seconds) { words.set_anchor_interval_seconds(seconds); },
         "Seconds between two witnesses, for class interval")
      ->type_name("SECONDS");
  add("--lease", words.mutable_lease(), "Whether the VM stops when its witness is away [none]",
      "none|strict");
  add("--secure-boot-template-digest", words.mutable_secure_boot_template_digest(),
      "SHA-256 of the UEFI variables to begin with", "HEX");
  add("--execution-policy", &parameters.execution_policy,
      "The tenant's policy of what may run; its SHA-256 goes into the launch document", "FILE");
  add("--policy-digest", words.mutable_policy_digest(), "That SHA-256, in place of the file",
      "HEX");
}

base::Result<api::VmParameters> words_of(const LaunchParameters& parameters) {
  TRY(expect_whole(parameters));
  auto words = parameters.words;
  if (!parameters.tee.empty()) {
    words.set_tee(parameters.tee == "snp" ? "sev-snp" : parameters.tee);
  }
  for (const auto& root : parameters.broker_roots) {
    TRY_ASSIGN(hash, hash_of_root(root));
    words.add_broker_root_hashes(hash);
  }
  if (!parameters.execution_policy.empty()) {
    TRY_ASSIGN(digest, digest_of_policy(parameters.execution_policy));
    words.set_policy_digest(digest);
  }
  return words;
}

}  // namespace tools::vtpmctl
