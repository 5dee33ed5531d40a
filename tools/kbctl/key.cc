// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/cli/stream.h"
#include "tools/kbctl/commands.h"
#include "tools/kbctl/service.h"
#include "vmgs/storage/private_file.h"

namespace tools::kbctl {

namespace {

constexpr const char* kService = "WorkloadKeyService";
constexpr std::size_t kMostMaterialBytes = 8 * 1024;

constexpr const char* kExamples = R"(Examples:
  kbctl key create disk --policy 5e0d...                       32 random bytes, drawn by the broker
  kbctl key import signing --kind EC --from key.der --policy 5e0d... --immutable
A VM of the tenant gets a key by an attestation token that its policy allows (keybroker/TOKENS.md); nobody else does, the tenant included.
)";

std::string line_of(const api::WorkloadKey& key) {
  return key.name() + "/" + std::to_string(key.version()) + "  " + key.kind() + "  policy " +
         key.policy() + (key.immutable() ? ", immutable" : "") + "  " + time_text(key.created()) +
         "\n";
}

struct Put {
  Service service;
  api::PutWorkloadKeyRequest request;
  std::string file;
};

void add_put_arguments(CLI::App& app, Put& put) {
  app.footer(kExamples);
  put.request.set_kind("oct");
  app.add_option("name", *put.request.mutable_name(), "Letters, digits and hyphens")->required();
  app.add_option("--kind", *put.request.mutable_kind(), "oct, RSA or EC [oct]")
      ->check(CLI::IsMember({"oct", "RSA", "EC"}));
  app.add_option("--policy", *put.request.mutable_policy(), "A release policy that the broker has")
      ->type_name("SHA256")
      ->required();
  app.add_flag_callback(
      "--immutable", [&put] { put.request.set_immutable(true); }, "The policy stays for good");
  add_service_arguments(app, put.service);
}

base::Result<cli::ExitStatus> send(const Put& put, cli::Output& output) {
  TRY_ASSIGN(
      kept, put.service.call<api::PutWorkloadKeyResponse>(kService, "PutWorkloadKey", put.request));
  return answer(output, "strongroom.workload_key/1", kept, line_of(kept.key()));
}

cli::Command create_command() {
  return {.name = "create",
          .summary = "Have the broker draw a key, or its next version",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto put = std::make_shared<Put>();
            add_put_arguments(app, *put);
            return [put](cli::Output& output) { return send(*put, output); };
          }};
}

cli::Command import_command() {
  return {.name = "import",
          .summary = "Give the broker a key, or its next version",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto put = std::make_shared<Put>();
            add_put_arguments(app, *put);
            app.add_option("--from", put->file,
                           "32 to 64 bytes as they are, or DER PKCS #8; closed to others; - for "
                           "stdin")
                ->type_name("FILE")
                ->required();
            return [put](cli::Output& output) -> base::Result<cli::ExitStatus> {
              TRY_ASSIGN(material, put->file == "-"
                                       ? cli::read_input(put->file, kMostMaterialBytes)
                                       : vmgs::storage::read_private_file(
                                             put->file, vmgs::storage::OtherReaders::kNone,
                                             kMostMaterialBytes));
              const auto bytes = material.expose();
              put->request.set_material(bytes.data(), bytes.size());
              return send(*put, output);
            };
          }};
}

cli::Command list_command() {
  return {.name = "list",
          .summary = "Every version of the tenant's keys",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto service = std::make_shared<Service>();
            add_service_arguments(app, *service);
            return [service](cli::Output& output) -> base::Result<cli::ExitStatus> {
              api::ListWorkloadKeysResponse all;
              api::ListWorkloadKeysRequest request;
              for (;;) {
                TRY_ASSIGN(page, service->call<api::ListWorkloadKeysResponse>(
                                     kService, "ListWorkloadKeys", request));
                all.mutable_keys()->MergeFrom(page.keys());
                if (page.next().empty()) {
                  break;
                }
                request.set_after(page.next());
              }
              std::string lines;
              for (const auto& key : all.keys()) {
                lines += line_of(key);
              }
              return answer(output, "strongroom.workload_keys/1", all, lines);
            };
          }};
}

cli::Command policy_command() {
  return {.name = "policy",
          .summary = "Put another release policy before one version of a key",
          .set_up = [](CLI::App& app) -> cli::Action {
            struct Arguments {
              Service service;
              api::SetWorkloadKeyPolicyRequest request;
              std::uint64_t version = 0;
            };
            auto arguments = std::make_shared<Arguments>();
            app.add_option("name", *arguments->request.mutable_name(), "The key")->required();
            app.add_option("version", arguments->version, "Which of its versions")->required();
            app.add_option("policy", *arguments->request.mutable_policy(),
                           "One that the broker has")
                ->type_name("SHA256")
                ->required();
            add_service_arguments(app, arguments->service);
            return [arguments](cli::Output& output) -> base::Result<cli::ExitStatus> {
              arguments->request.set_version(arguments->version);
              TRY_ASSIGN(done, arguments->service.call<api::SetWorkloadKeyPolicyResponse>(
                                   kService, "SetWorkloadKeyPolicy", arguments->request));
              return answer(output, "strongroom.workload_key_policy/1", done, "");
            };
          }};
}

cli::Command delete_command() {
  return {.name = "delete",
          .summary = "Destroy all versions of a key, for good",
          .set_up = [](CLI::App& app) -> cli::Action {
            struct Arguments {
              Service service;
              api::DeleteWorkloadKeyRequest request;
            };
            auto arguments = std::make_shared<Arguments>();
            app.add_option("name", *arguments->request.mutable_name(), "The key")->required();
            add_service_arguments(app, arguments->service);
            return [arguments](cli::Output& output) -> base::Result<cli::ExitStatus> {
              TRY_ASSIGN(done, arguments->service.call<api::DeleteWorkloadKeyResponse>(
                                   kService, "DeleteWorkloadKey", arguments->request));
              return answer(output, "strongroom.workload_key_deleted/1", done, "");
            };
          }};
}

}  // namespace

cli::Command key_commands() {
  return {.name = "key",
          .summary = "Keys for what runs in VMs, released to attestation tokens",
          .group = {create_command(), import_command(), list_command(), policy_command(),
                    delete_command()}};
}

}  // namespace tools::kbctl
