// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/util/time_util.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "keybroker/protocol/launch_document.h"
#include "tools/kbctl/commands.h"
#include "tools/kbctl/service.h"

namespace tools::kbctl {

namespace {

constexpr const char* kService = "RegistrationService";
constexpr std::size_t kMostExecutionPolicyBytes = 256 * 1024;
constexpr std::size_t kMostReceiptBytes = 64 * 1024;

template <typename Request>
struct Arguments {
  Service service;
  Request request;
  std::string document;
  std::string execution_policy;
  std::vector<std::string> policies;
  std::vector<std::string> owners;
  bool withdraw = false;
  std::string receipt;
  std::string point;
};

constexpr const char* kRegisterExamples = R"(Examples:
  vtpmctl show web1 --launch-document > web1.launch
  kbctl vm register web1.launch --policy 5e0d...
The digest of the document is what the VM's hardware reports; the VM's key is made here, before its first boot.
)";

cli::Command register_command() {
  return {
      .name = "register",
      .summary = "Register a VM by its launch document, before its first boot",
      .set_up = [](CLI::App& app) -> cli::Action {
        auto arguments = std::make_shared<Arguments<api::RegisterVmRequest>>();
        auto& request = arguments->request;
        app.footer(kRegisterExamples);
        app.add_option("document", arguments->document, "Its launch document")
            ->type_name("FILE")
            ->required();
        app.add_option("--policy", arguments->policies,
                       "A release policy by its digest; may be repeated, and all must agree")
            ->type_name("SHA256")
            ->required();
        app.add_option(
               "--owner", arguments->owners,
               "Another owner whose policy has to agree too; may be repeated. It changes or "
               "withdraws it by set-policies")
            ->type_name("TENANT:SHA256");
        app.add_option("--region", *request.mutable_region(),
                       "Where it runs, as release policies see it: claim strongroom-region")
            ->type_name("WORD");
        app.add_option("--execution-policy", arguments->execution_policy,
                       "The text whose SHA-256 the launch document has as its policy digest")
            ->type_name("FILE");
        app.add_option("--root-class", *request.mutable_root_class(),
                       "Whether real hardware must vouch for the VM, for good [production]")
            ->check(CLI::IsMember({"production", "simulated"}));
        app.add_option("--disk-encryption", *request.mutable_fde_mode(),
                       "How its disks are encrypted, for the record; never changes")
            ->type_name("WORD");
        add_service_arguments(app, arguments->service);
        return [arguments](cli::Output& output) -> base::Result<cli::ExitStatus> {
          auto& asked = arguments->request;
          TRY_ASSIGN(document,
                     read_text(arguments->document, keybroker::protocol::kMaxLaunchDocumentBytes));
          asked.set_launch_document(std::move(document));
          asked.mutable_policies()->Assign(arguments->policies.begin(), arguments->policies.end());
          for (const auto& owner : arguments->owners) {
            const auto colon = owner.find(':');
            if (colon == std::string::npos) {
              return base::fail(base::ErrorCode::kInvalidArgument,
                                "--owner: '" + owner + "' is not of the form TENANT:SHA256");
            }
            auto& other = *asked.add_other_owners();
            other.set_tenant_id(owner.substr(0, colon));
            other.set_digest(owner.substr(colon + 1));
          }
          if (!arguments->execution_policy.empty()) {
            TRY_ASSIGN(text, read_text(arguments->execution_policy, kMostExecutionPolicyBytes));
            asked.set_execution_policy(std::move(text));
          }
          TRY_ASSIGN(registered, arguments->service.call<api::RegisterVmResponse>(
                                     kService, "RegisterVm", asked));
          output.talk(registered.created() ? "registered"
                                           : "was registered already, with the same content");
          return answer(output, "strongroom.registration/1", registered, describe(registered.vm()));
        };
      }};
}

cli::Command list_command() {
  return {.name = "list",
          .summary = "The VMs that you have registered",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto service = std::make_shared<Service>();
            add_service_arguments(app, *service);
            return [service](cli::Output& output) -> base::Result<cli::ExitStatus> {
              api::ListVmsRequest request;
              api::ListVmsResponse all;
              do {
                TRY_ASSIGN(page, service->call<api::ListVmsResponse>(kService, "ListVms", request));
                request.set_page_token(page.next_page_token());
                all.mutable_vms()->MergeFrom(page.vms());
              } while (!request.page_token().empty());
              std::vector<std::vector<std::string>> rows = {
                  {"VM", "TEE", "PROTECTION", "STATUS", "EPOCH", "RESTORES"}};
              for (const auto& vm : all.vms()) {
                rows.push_back({vm.vm_id(), vm.tee(), vm.protection(), vm.status(),
                                std::to_string(vm.epoch()), std::to_string(vm.restores())});
              }
              return answer(output, "strongroom.registrations/1", all, cli::table(rows));
            };
          }};
}

cli::Command show_command() {
  return {.name = "show",
          .summary = "All that is on record of a VM, but its key",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments<api::GetVmRequest>>();
            app.add_option("vm", *arguments->request.mutable_vm_id(), "Its UUID")->required();
            add_service_arguments(app, arguments->service);
            return [arguments](cli::Output& output) -> base::Result<cli::ExitStatus> {
              TRY_ASSIGN(found, arguments->service.call<api::GetVmResponse>(kService, "GetVm",
                                                                            arguments->request));
              return answer(output, "strongroom.registration/1", found, describe(found.vm()));
            };
          }};
}

cli::Command enabled_command(bool enabled) {
  return {.name = enabled ? "enable" : "disable",
          .summary = enabled ? "Let a VM have its key again"
                             : "Release no key to a VM; one that runs goes on until its next start",
          .set_up = [enabled](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments<api::SetVmEnabledRequest>>();
            app.add_option("vm", *arguments->request.mutable_vm_id(), "Its UUID")->required();
            add_service_arguments(app, arguments->service);
            arguments->request.set_enabled(enabled);
            return [arguments](cli::Output& output) -> base::Result<cli::ExitStatus> {
              TRY_ASSIGN(done, arguments->service.call<api::SetVmEnabledResponse>(
                                   kService, "SetVmEnabled", arguments->request));
              return answer(output, "strongroom.registration/1", done, describe(done.vm()));
            };
          }};
}

cli::Command delete_command() {
  return {.name = "delete",
          .summary = "Destroy a VM's key, and with it the state of its TPM, for good",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments<api::DeleteVmRequest>>();
            app.add_option("vm", *arguments->request.mutable_vm_id(), "Its UUID")->required();
            add_service_arguments(app, arguments->service);
            return [arguments](cli::Output& output) -> base::Result<cli::ExitStatus> {
              TRY_ASSIGN(done, arguments->service.call<api::DeleteVmResponse>(kService, "DeleteVm",
                                                                              arguments->request));
              return answer(output, "strongroom.deleted/1", done, "deleted\n");
            };
          }};
}

constexpr const char* kConvertExamples = R"(Examples:
  vtpmctl convert web1 --to tdx --launch-document-out web1.tdx --dry-run
  kbctl vm convert web1.tdx --dry-run
)";

cli::Command convert_command() {
  return {.name = "convert",
          .summary = "Give a VM another launch document: another TEE family or protection",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments<api::ConvertVmRequest>>();
            app.footer(kConvertExamples);
            app.add_option("document", arguments->document, "The new launch document")
                ->type_name("FILE")
                ->required();
            app.add_option("--execution-policy", arguments->execution_policy,
                           "The text whose SHA-256 the document has as its policy digest")
                ->type_name("FILE");
            app.add_flag_callback(
                "--dry-run", [arguments] { arguments->request.set_dry_run(true); },
                "Only say what would change, and what to see to before");
            add_service_arguments(app, arguments->service);
            return [arguments](cli::Output& output) -> base::Result<cli::ExitStatus> {
              TRY_ASSIGN(document, read_text(arguments->document,
                                             keybroker::protocol::kMaxLaunchDocumentBytes));
              arguments->request.set_launch_document(std::move(document));
              if (!arguments->execution_policy.empty()) {
                TRY_ASSIGN(text, read_text(arguments->execution_policy, kMostExecutionPolicyBytes));
                arguments->request.set_execution_policy(std::move(text));
              }
              TRY_ASSIGN(done, arguments->service.call<api::ConvertVmResponse>(
                                   kService, "ConvertVm", arguments->request));
              std::string text;
              for (const auto& change : done.changes()) {
                text += change + "\n";
              }
              for (const auto& note : done.notes()) {
                text += "note: " + note + "\n";
              }
              return answer(output, "strongroom.conversion/1", done, text);
            };
          }};
}

constexpr const char* kRestoreExamples = R"(Examples:
  kbctl vm restore 6ba7b810-... --receipt web1.receipt       the state that this receipt is of
  kbctl vm restore 6ba7b810-... --point 2026-11-20T04:00:00Z the newest anchor until then
The next start may open that state, once. Every later claim and certificate counts the restore.
)";

cli::Command restore_command() {
  return {.name = "restore",
          .summary = "Let an older state of a VM come back, once",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments<api::AllowRestoreRequest>>();
            app.footer(kRestoreExamples);
            app.add_option("vm", *arguments->request.mutable_vm_id(), "Its UUID")->required();
            auto* const receipt =
                app.add_option("--receipt", arguments->receipt, "Of the state that comes back")
                    ->type_name("FILE");
            app.add_option("--point", arguments->point, "A time, in UTC")
                ->type_name("RFC3339")
                ->excludes(receipt);
            app.add_option_function<std::uint32_t>(
                   "--valid",
                   [arguments](std::uint32_t seconds) {
                     arguments->request.set_valid_seconds(seconds);
                   },
                   "How long the permission lasts [86400]")
                ->type_name("SECONDS");
            add_service_arguments(app, arguments->service);
            return [arguments](cli::Output& output) -> base::Result<cli::ExitStatus> {
              auto& request = arguments->request;
              if (arguments->receipt.empty() == arguments->point.empty()) {
                return base::fail(base::ErrorCode::kInvalidArgument,
                                  "which state may come back? Give --receipt or --point");
              }
              if (!arguments->receipt.empty()) {
                TRY_ASSIGN(bytes, read_text(arguments->receipt, kMostReceiptBytes));
                request.set_receipt(std::move(bytes));
              } else if (!google::protobuf::util::TimeUtil::FromString(arguments->point,
                                                                       request.mutable_point())) {
                return base::fail(base::ErrorCode::kInvalidArgument,
                                  "'" + arguments->point +
                                      "' is no time; expected the like of 2026-11-20T04:00:00Z");
              }
              TRY_ASSIGN(allowed, arguments->service.call<api::AllowRestoreResponse>(
                                      kService, "AllowRestore", request));
              return answer(output, "strongroom.restore/1", allowed,
                            "commit " + std::to_string(allowed.sequence()) +
                                " may come back at the next start, until " +
                                allowed.vm().restore_until() + "\n");
            };
          }};
}

cli::Command policies_command() {
  return {.name = "set-policies",
          .summary = "Choose which of your policies a VM's evidence must satisfy",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments<api::SetVmPoliciesRequest>>();
            app.add_option("vm", *arguments->request.mutable_vm_id(), "Its UUID")->required();
            app.add_option("policies", arguments->policies, "Digests")->type_name("SHA256");
            app.add_flag("--withdraw", arguments->withdraw,
                         "Have no say any more, as an owner that is not the VM's tenant");
            add_service_arguments(app, arguments->service);
            return [arguments](cli::Output& output) -> base::Result<cli::ExitStatus> {
              if (arguments->policies.empty() != arguments->withdraw) {
                return base::fail(base::ErrorCode::kInvalidArgument,
                                  "which policies? Name their digests, or --withdraw");
              }
              arguments->request.mutable_policies()->Assign(arguments->policies.begin(),
                                                            arguments->policies.end());
              TRY_ASSIGN(done, arguments->service.call<api::SetVmPoliciesResponse>(
                                   "PolicyService", "SetVmPolicies", arguments->request));
              return answer(output, "strongroom.registration/1", done,
                            done.has_vm() ? describe(done.vm()) : "withdrawn\n");
            };
          }};
}

}  // namespace

cli::Command vm_commands() {
  return {.name = "vm",
          .summary = "Your VMs: registration, conversion, restores (role tenant)",
          .group = {register_command(), list_command(), show_command(), enabled_command(true),
                    enabled_command(false), delete_command(), convert_command(), restore_command(),
                    policies_command()}};
}

}  // namespace tools::kbctl
