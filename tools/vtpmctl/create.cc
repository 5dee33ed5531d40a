// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "keybroker/protocol/launch_document.h"
#include "tools/cli/stream.h"
#include "tools/vtpmctl/commands.h"
#include "tools/vtpmctl/launch_parameters.h"
#include "tools/vtpmctl/service.h"
#include "vmgs/format/uefi_flash.h"
#include "vmgs/format/vm_id.h"

namespace tools::vtpmctl {

namespace {

struct Arguments {
  Service service;
  api::CreateVmRequest request;
  std::string name_or_id;
  std::string key;
  LaunchParameters parameters;
  std::string launch_document;
  std::string launch_document_out;
  std::string variables;
  std::uint64_t variables_bytes = 0;
};

constexpr const char* kExamples = R"(Examples:
  vtpmctl create web1                                an ordinary VM, state sealed with a key of the host
  vtpmctl create db1 --tee sev-snp                   a confidential VM, state sealed by its hardware
  vtpmctl create db2 --tee tdx --protection broker --tenant 5f0e... --broker-root root.pem
                                                     one whose key a broker releases
  vtpmctl create build7 --lifetime ephemeral         nothing of its TPM is ever written
  vtpmctl create web2 --variables /usr/share/OVMF/OVMF_VARS_4M.ms.fd
                                                     with Secure Boot's keys enrolled
  vtpmctl create --id 9b2c... --launch-document FILE one that the tenant has written and signed off
)";

// A blank flash is an image like any other.
base::Result<std::string> variables_of(const Arguments& arguments) {
  if (arguments.variables.empty()) {
    if (arguments.variables_bytes != 0) {
      TRY(::vmgs::format::expect_flash_size(arguments.variables_bytes));
    }
    return std::string(arguments.variables_bytes, '\xff');
  }
  if (arguments.variables_bytes != 0) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "--variables has its own size; leave --variables-size out");
  }
  TRY_ASSIGN(image, cli::read_input(arguments.variables, ::vmgs::format::kMaxFlashBytes));
  TRY(::vmgs::format::expect_flash_size(image.size()));
  return std::string(reinterpret_cast<const char*>(image.expose().data()), image.size());
}

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
  TRY_ASSIGN(words, words_of(arguments.parameters));
  *request.mutable_parameters() = std::move(words);
  TRY_ASSIGN(variables, variables_of(arguments));
  request.set_variables(std::move(variables));
  if (arguments.parameters.words.protection() == "broker") {
    // The broker releases nothing to a VM that it does not know yet.
    request.set_leave_stopped(true);
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

// What is to be done before the VM can start, as far as that is not done by this program.
std::string next_step(const Arguments& arguments, const api::Vm& vm) {
  if (vm.parameters().protection() != "broker" || vm.readiness().name() != "stopped") {
    return "";
  }
  const auto& out = arguments.launch_document_out;
  return "next: the tenant registers the VM at its broker by its launch document" +
         (out.empty() ? ", which `vtpmctl show " + vm.name() + " --launch-document FILE` writes"
                      : " in " + out) +
         ": `kbctl vm register`. Then `vtpmctl start " + vm.name() + "` makes its TPM";
}

base::Result<cli::ExitStatus> create(Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(request, request_of(arguments));
  TRY_ASSIGN(created, arguments.service.call<api::CreateVmResponse>("CreateVm", request));
  if (!arguments.launch_document_out.empty()) {
    TRY(cli::write_file(arguments.launch_document_out,
                        base::bytes_of(created.vm().launch_document())));
  }
  TRY_ASSIGN(vm, wait_until_settled(arguments, created.vm().vm_id()));
  if (output.json()) {
    auto document = to_json(vm);
    document["created"] = created.created();
    TRY(output.document("strongroom.vm/1", std::move(document)));
  } else {
    output.talk(created.created() ? "created" : "was there already, with the same parameters");
    TRY(output.text(describe(vm)));
    if (const auto next = next_step(arguments, vm); !next.empty()) {
      output.talk(next);
    }
  }
  const bool is_well = vm.readiness().is_ready() || vm.readiness().name() == "stopped";
  return is_well ? cli::ExitStatus::kDone : cli::ExitStatus::kFoundProblem;
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
        add_launch_parameters(app, arguments->parameters);
        app.add_option("--durability", *arguments->request.mutable_durability(),
                       "How often a commit waits for the disk: strict is twice, for other readers "
                       "of the store [one-barrier]")
            ->type_name("one-barrier|strict");
        app.add_option("--state-blobs", *arguments->request.mutable_state_blobs(),
                       "How the TPM's state leaves with its guest (savevm, live migration): plain "
                       "is in the clear, as swtpm's does, for everybody who keeps a copy [sealed, "
                       "by `vtpmctl migrate`]")
            ->type_name("sealed|plain");
        app.add_option("--variables", arguments->variables,
                       "What its UEFI variables begin with: a firmware's OVMF_VARS.fd [a blank "
                       "flash of 540672 bytes, for OVMF of 4 MB]")
            ->type_name("FILE");
        app.add_option("--variables-size", arguments->variables_bytes,
                       "A blank flash of another size: 131072 for OVMF of 2 MB")
            ->type_name("BYTES");
        app.add_option(
               "--launch-document", arguments->launch_document,
               "A finished launch document; of the options above only --durability, --state-blobs "
               "and those about variables go with it")
            ->type_name("FILE");
        app.add_option("--launch-document-out", arguments->launch_document_out,
                       "Write its launch document there, for its registration at a broker")
            ->type_name("FILE");
        app.add_flag_callback(
            "--leave-stopped", [arguments] { arguments->request.set_leave_stopped(true); },
            "Only register it; the TPM is made when it first starts. So it is with protection "
            "broker, "
            "unless a finished launch document is given");
        return [arguments](cli::Output& output) { return create(*arguments, output); };
      }};
}

}  // namespace tools::vtpmctl
