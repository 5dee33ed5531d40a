// SPDX-License-Identifier: Apache-2.0
#include "keybroker/protocol/launch_document.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json/array.hpp>
#include <memory>

#include "keybroker/crypto/certificate.h"
#include "keybroker/protocol/uuid.h"
#include "tools/cli/message.h"
#include "tools/cli/stream.h"
#include "tools/kbctl/commands.h"
#include "tools/kbctl/service.h"
#include "vmgs/crypto/digest.h"

namespace tools::kbctl {

namespace {

namespace protocol = keybroker::protocol;
using protocol::LaunchDocument;

// The options as they were typed; words have the defaults of a VM with a broker.
struct Words {
  std::string vm_id;
  std::string tenant;
  std::string tee;
  std::vector<std::string> broker_roots;  // files
  std::string protection = "broker";
  std::string lifetime = "persistent";
  std::string offline = "deny";
  std::string anchor = "boot";
  std::string secure_boot_template_digest;
  std::string execution_policy;  // a file
  std::string out;
};

base::Result<protocol::Sha256Digest> digest_of_hex(const std::string& hex) {
  TRY_ASSIGN(bytes, base::from_hex(hex));
  protocol::Sha256Digest digest;
  if (bytes.size() != digest.size()) {
    return base::fail(base::ErrorCode::kInvalidArgument, "'" + hex + "' is no SHA-256");
  }
  std::ranges::copy(bytes, digest.begin());
  return digest;
}

base::Result<std::vector<protocol::Sha256Digest>> root_hashes(
    const std::vector<std::string>& files) {
  std::vector<protocol::Sha256Digest> hashes;
  for (const auto& file : files) {
    TRY_ASSIGN(pem, read_text(file, keybroker::crypto::kMaxPemBytes));
    auto roots = keybroker::crypto::decode_pem_certificates(pem, protocol::kMaxBrokerRoots);
    if (!roots) {
      return base::fail(std::move(roots).error().context(file));
    }
    for (const auto& root : *roots) {
      hashes.push_back(vmgs::crypto::sha256(root.der()));
    }
  }
  std::ranges::sort(hashes);
  return hashes;
}

base::Result<LaunchDocument> document_of(const Words& words) {
  LaunchDocument document;
  TRY_ASSIGN(vm_id, protocol::parse_uuid(words.vm_id));
  document.vm_id = vm_id;
  if (!words.tenant.empty()) {
    TRY_ASSIGN(tenant, protocol::parse_uuid(words.tenant));
    document.tenant = tenant;
  }
  TRY_ASSIGN(tee, protocol::parse_tee_family(words.tee));
  document.tee_family = tee;
  TRY_ASSIGN(hashes, root_hashes(words.broker_roots));
  document.broker_root_hashes = std::move(hashes);
  TRY_ASSIGN(protection, protocol::parse_protection(words.protection));
  document.protection = protection;
  TRY_ASSIGN(lifetime, protocol::parse_lifetime(words.lifetime));
  document.lifetime = lifetime;
  TRY_ASSIGN(offline, protocol::parse_offline_rule(words.offline));
  document.offline_rule = offline;
  TRY_ASSIGN(anchor, protocol::parse_anchor_class(words.anchor));
  document.anchor_class = anchor;
  if (!words.secure_boot_template_digest.empty()) {
    TRY_ASSIGN(digest, digest_of_hex(words.secure_boot_template_digest));
    document.secure_boot_template_digest = digest;
  }
  if (!words.execution_policy.empty()) {
    constexpr std::size_t kMostBytes = 256 * 1024;
    TRY_ASSIGN(text, cli::read_input(words.execution_policy, kMostBytes));
    document.policy_digest = vmgs::crypto::sha256(text.expose());
  }
  return document;
}

std::string digest_text(const LaunchDocument& document, base::ByteView encoded) {
  const auto digest = protocol::launch_digest(encoded, document.tee_family);
  constexpr std::size_t kSnpBytes = 32;
  const auto bytes = base::ByteView(digest.bytes);
  return base::to_hex(document.tee_family == protocol::TeeFamily::kSevSnp ? bytes.first(kSnpBytes)
                                                                          : bytes);
}

cli::Command make_command() {
  return {
      .name = "make",
      .summary = "Write a launch document: what a confidential VM must not take from its host",
      .set_up = [](CLI::App& app) -> cli::Action {
        auto words = std::make_shared<Words>();
        app.add_option("vm", words->vm_id, "The VM's UUID")->required();
        app.add_option("--tee", words->tee, "The hardware")
            ->check(CLI::IsMember({"sev-snp", "tdx"}))
            ->required();
        app.add_option("--tenant", words->tenant, "Whose VM it is")->type_name("UUID")->required();
        app.add_option("--broker-root", words->broker_roots,
                       "A root whose brokers the VM believes (`kbctl status --roots`); may be "
                       "repeated")
            ->type_name("FILE")
            ->required();
        app.add_option("--protection", words->protection, "What opens its state [broker]")
            ->check(CLI::IsMember({"broker", "hardware", "none"}));
        app.add_option("--lifetime", words->lifetime, "[persistent]")
            ->check(CLI::IsMember({"persistent", "ephemeral"}));
        app.add_option(
               "--offline", words->offline,
               "Whether it may start while the broker is away; `allow` lets its host choose "
               "that at any time [deny]")
            ->check(CLI::IsMember({"deny", "allow"}));
        app.add_option("--anchor", words->anchor, "When its state is witnessed [boot]")
            ->check(CLI::IsMember({"none", "boot"}));
        app.add_option("--secure-boot-template-digest", words->secure_boot_template_digest,
                       "SHA-256 of the UEFI variables to begin with")
            ->type_name("HEX");
        app.add_option("--execution-policy", words->execution_policy,
                       "A text that its hardware shall report the digest of")
            ->type_name("FILE");
        app.add_option("--out", words->out, "Where it goes")->type_name("FILE")->required();
        return [words](cli::Output& output) -> base::Result<cli::ExitStatus> {
          TRY_ASSIGN(document, document_of(*words));
          TRY_ASSIGN(bytes, protocol::encode(document));
          TRY(cli::write_file(words->out, bytes));
          const auto digest = digest_text(document, bytes);
          TRY(output.json()
                  ? output.document("strongroom.launch_document/1", {{"launch_digest", digest}})
                  : output.text(digest + "\n"));
          return cli::ExitStatus::kDone;
        };
      }};
}

cli::Command show_command() {
  return {.name = "show",
          .summary = "What a launch document says, and the digest that hardware reports of it",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto file = std::make_shared<std::string>();
            app.add_option("document", *file, "A launch document")->type_name("FILE")->required();
            return [file](cli::Output& output) -> base::Result<cli::ExitStatus> {
              TRY_ASSIGN(read, cli::read_input(*file, protocol::kMaxLaunchDocumentBytes));
              TRY_ASSIGN(document, protocol::decode_launch_document(read.expose()));
              boost::json::object fields;
              std::string text;
              const auto add = [&](const char* name, const std::string& value) {
                fields[name] = value;
                cli::add_line(text, name, value);
              };
              add("vm_id", protocol::uuid_text(document.vm_id));
              add("tenant", document.tenant ? protocol::uuid_text(*document.tenant) : "");
              add("tee", std::string(name(document.tee_family)));
              add("protection", std::string(name(document.protection)));
              add("lifetime", std::string(name(document.lifetime)));
              add("offline", std::string(name(document.offline_rule)));
              add("anchor", std::string(name(document.anchor_class)));
              add("lease", std::string(name(document.lease)));
              boost::json::array roots;
              for (const auto& hash : document.broker_root_hashes) {
                roots.emplace_back(base::to_hex(hash));
                cli::add_line(text, "broker_root", base::to_hex(hash));
              }
              fields["broker_roots"] = std::move(roots);
              add("secure_boot", document.secure_boot_template_digest
                                     ? base::to_hex(*document.secure_boot_template_digest)
                                     : "");
              add("policy", document.policy_digest ? base::to_hex(*document.policy_digest) : "");
              add("digest", digest_text(document, read.expose()));
              TRY(output.json() ? output.document("strongroom.launch_document/1", std::move(fields))
                                : output.text(text));
              return cli::ExitStatus::kDone;
            };
          }};
}

}  // namespace

cli::Command launch_document_commands() {
  return {.name = "launch-document",
          .summary = "What a VM's hardware vouches for; offline",
          .group = {make_command(), show_command()}};
}

}  // namespace tools::kbctl
