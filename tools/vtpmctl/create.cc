// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "keybroker/protocol/launch_document.h"
#include "tools/cli/stream.h"
#include "tools/vtpmctl/commands.h"
#include "tools/vtpmctl/service.h"
#include "vmgs/format/vm_id.h"

namespace tools::vtpmctl {

namespace {

struct Arguments {
  Service service;
  api::CreateVmRequest request;
  std::string name_or_id;
  std::string key;
  std::string tee;
  std::string launch_document;
  std::vector<std::string> broker_roots;
};

constexpr const char* kExamples = R"(Examples:
  vtpmctl create web1                                an ordinary VM, state sealed with a key of the host
  vtpmctl create db1 --tee sev-snp                   a confidential VM, state sealed by its hardware
  vtpmctl create build7 --lifetime ephemeral         nothing of its TPM is ever written
  vtpmctl create --id 9b2c... --launch-document FILE one that the tenant has written and signed off
)";

base::Result<api::CreateVmRequest> request_of(Arguments& arguments) {
  auto request = arguments.request;
  request.set_idempotency_key(arguments.key);
  if (arguments.name_or_id.empty() && request.vm_id().empty() &&
      arguments.launch_document.empty()) {
    return base::fail(base::ErrorCode::kInvalidArgument, "the VM needs a name or an id");
  }
  if (::vmgs::format::parse_vm_id(arguments.name_or_id)) {
    if (!request.vm_id().empty()) {
      return base::fail(base::ErrorCode::kInvalidArgument, "the id is given twice");
    }
    request.set_vm_id(arguments.name_or_id);
  } else {
    request.set_name(arguments.name_or_id);
  }
  if (!arguments.tee.empty()) {
    request.mutable_parameters()->set_tee(arguments.tee == "snp" ? "sev-snp" : arguments.tee);
  }
  for (const auto& root : arguments.broker_roots) {
    request.mutable_parameters()->add_broker_root_hashes(root);
  }
  if (!arguments.launch_document.empty()) {
    TRY_ASSIGN(document, cli::read_input(arguments.launch_document,
                                         keybroker::protocol::kMaxLaunchDocumentBytes));
    const auto bytes = document.expose();
    request.set_launch_document(bytes.data(), bytes.size());
  }
  return request;
}

// A VM whose TPM cannot be made is registered all the same, and the caller has to know both.
base::Result<api::Vm> wait_until_settled(const Arguments& arguments, const std::string& vm_id) {
  api::GetReadinessRequest readiness;
  readiness.set_vm(vm_id);
  readiness.set_wait_for_start(true);
  TRY(arguments.service.call<api::GetReadinessResponse>("GetReadiness", std::move(readiness)));
  api::GetVmRequest request;
  request.set_vm(vm_id);
  TRY_ASSIGN(found, arguments.service.call<api::GetVmResponse>("GetVm", std::move(request)));
  return std::move(*found.mutable_vm());
}

base::Result<cli::ExitStatus> create(Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(request, request_of(arguments));
  TRY_ASSIGN(created, arguments.service.call<api::CreateVmResponse>("CreateVm", request));
  TRY_ASSIGN(vm, wait_until_settled(arguments, created.vm().vm_id()));
  if (output.json()) {
    auto document = to_json(vm);
    document["created"] = created.created();
    TRY(output.document("strongroom.vm/1", std::move(document)));
  } else {
    output.talk(created.created() ? "created" : "was there already, with the same parameters");
    TRY(output.text(describe(vm)));
  }
  const bool is_well = vm.readiness().is_ready() || vm.readiness().name() == "stopped";
  return is_well ? cli::ExitStatus::kDone : cli::ExitStatus::kFoundProblem;
}

void add_parameters(CLI::App& app, Arguments& arguments) {
  auto& words = *arguments.request.mutable_parameters();
  const auto add = [&app](const char* name, std::string* field, const char* summary,
                          const char* type) {
    return app.add_option(name, *field, summary)->type_name(type);
  };
  add("--tee", &arguments.tee, "The confidential hardware the VM runs on [none]",
      "none|sev-snp|tdx");
  add("--protection", words.mutable_protection(),
      "What opens the state [hardware with a TEE, else host]", "hardware|host|none");
  add("--lifetime", words.mutable_lifetime(), "Whether the state outlives the VM [persistent]",
      "persistent|ephemeral");
  add("--durability", arguments.request.mutable_durability(),
      "How often a commit waits for the disk: strict is twice, for other readers of the store "
      "[one-barrier]",
      "one-barrier|strict");
  add("--tenant", words.mutable_tenant(), "Whose VM this is", "UUID");
  app.add_option("--broker-root", arguments.broker_roots,
                 "SHA-256 of a broker's root certificate; may be repeated")
      ->type_name("HEX");
  add("--offline-rule", words.mutable_offline_rule(),
      "Whether the VM may start without its broker [deny]", "deny|allow");
  add("--anchor-class", words.mutable_anchor_class(), "When freshness is witnessed [none]",
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
  add("--policy-digest", words.mutable_policy_digest(), "SHA-256 of the tenant's policy", "HEX");
}

}  // namespace

cli::Command create_command() {
  return {
      .name = "create",
      .summary = "Register a VM and make its TPM; again with the same options is a success",
      .set_up = [](CLI::App& app) -> cli::Action {
        auto arguments = std::make_shared<Arguments>();
        app.footer(kExamples);
        app.add_option("vm", arguments->name_or_id, "The VM's name, or its UUID");
        add_service_arguments(app, arguments->service);
        add_key_argument(app, arguments->key);
        app.add_option("--id", *arguments->request.mutable_vm_id(),
                       "The VM's UUID [drawn, if there is a name]")
            ->type_name("UUID");
        add_parameters(app, *arguments);
        app.add_option(
               "--launch-document", arguments->launch_document,
               "A finished launch document; of the options above only --durability goes with it")
            ->type_name("FILE");
        app.add_flag_callback(
            "--leave-stopped", [arguments] { arguments->request.set_leave_stopped(true); },
            "Only register it; the TPM is made when it first starts");
        return [arguments](cli::Output& output) { return create(*arguments, output); };
      }};
}

}  // namespace tools::vtpmctl
