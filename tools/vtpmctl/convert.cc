// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "keybroker/protocol/launch_document.h"
#include "tools/cli/stream.h"
#include "tools/vtpmctl/commands.h"
#include "tools/vtpmctl/launch_parameters.h"
#include "tools/vtpmctl/service.h"

namespace tools::vtpmctl {

namespace {

struct Arguments {
  Service service;
  api::ConvertVmRequest request;
  LaunchParameters parameters;
  std::string to;
  std::string launch_document;
  std::string launch_document_out;
};

constexpr const char* kExamples = R"(Examples:
  vtpmctl convert db1 --to tdx --dry-run --launch-document-out db1.launch
                                       what would change, what the guest needs, and the document
  vtpmctl convert db1 --to tdx         after `kbctl vm convert db1.launch`
  vtpmctl convert db1 --undo           back, as long as it has not started
  vtpmctl convert db1 --offline allow  the same TEE, other rules
  vtpmctl convert web1 --to host       an ordinary VM's state goes under a key of this host
  vtpmctl convert web1 --to none --weaken
                                       and out of it: whoever reads the file has the TPM

The VM keeps its TPM and everything sealed to it; under a weaker protection the TPM gets other
endorsement and attestation keys. The store before is kept until the VM has started from the new
one. A conversion that is cut short has changed nothing or is done: run it again.

No conversion makes an ordinary VM confidential, or the reverse, or changes its id, tenant or
lifetime: create a new VM.
)";

bool is_tee(const std::string& word) {
  return word == "snp" || keybroker::protocol::parse_tee_family(word).has_value();
}

// One word says what the VM becomes: "none" is a protection here, for no VM loses its TEE.
base::Result<api::VmParameters> changes_of(LaunchParameters parameters, const std::string& to) {
  const bool is_protection = keybroker::protocol::parse_protection(to).has_value();
  if (!is_protection && (to.empty() || is_tee(to))) {
    parameters.tee = to;
    return words_of(parameters);
  }
  if (is_protection) {
    TRY_ASSIGN(words, words_of(parameters));
    words.set_protection(to);
    return words;
  }
  return base::fail(base::ErrorCode::kInvalidArgument,
                    "--to " + to + ": a TEE is sev-snp or tdx, a protection none or host");
}

base::Result<api::ConvertVmRequest> request_of(const Arguments& arguments) {
  auto request = arguments.request;
  TRY_ASSIGN(words, changes_of(arguments.parameters, arguments.to));
  if (words.ByteSizeLong() != 0) {
    *request.mutable_changes() = std::move(words);
  }
  if (!arguments.launch_document.empty()) {
    TRY_ASSIGN(document, cli::read_input(arguments.launch_document,
                                         keybroker::protocol::kMaxLaunchDocumentBytes));
    const auto bytes = document.expose();
    request.set_launch_document(bytes.data(), bytes.size());
  }
  return request;
}

std::string describe(const api::ConvertVmResponse& response) {
  std::string text;
  for (const auto& change : response.changes()) {
    cli::add_line(text, "change", change);
  }
  cli::add_line(text, "digest", response.launch_digest());
  for (const auto& note : response.notes()) {
    cli::add_line(text, "note", note);
  }
  return text;
}

base::Result<cli::ExitStatus> convert(const Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(request, request_of(arguments));
  TRY_ASSIGN(response, arguments.service.call<api::ConvertVmResponse>("ConvertVm", request));
  if (!arguments.launch_document_out.empty()) {
    TRY(cli::write_file(arguments.launch_document_out, base::bytes_of(response.launch_document())));
  }
  if (output.json()) {
    auto document = to_json(response);
    document["vm"] = to_json(response.vm());
    document["dry_run"] = request.dry_run();
    TRY(output.document("strongroom.conversion/1", std::move(document)));
    return cli::ExitStatus::kDone;
  }
  if (response.changes().empty()) {
    output.talk("nothing changes: it has this launch document");
  } else {
    output.talk(request.dry_run() ? "would be converted; nothing was changed"
                : request.undo()  ? "back at the launch document before"
                                  : "converted");
  }
  TRY(output.text(describe(response)));
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command convert_command() {
  return {
      .name = "convert",
      .summary = "Give a stopped VM another launch document: another TEE, or another protection",
      .set_up = [](CLI::App& app) -> cli::Action {
        auto arguments = std::make_shared<Arguments>();
        app.footer(kExamples);
        app.add_option("vm", *arguments->request.mutable_vm(), "Its name or id")->required();
        add_service_arguments(app, arguments->service);
        add_key_argument(app, *arguments->request.mutable_idempotency_key());
        app.add_option("--to", arguments->to,
                       "The confidential hardware that it runs on next; of an ordinary VM, "
                       "what protects its state")
            ->type_name("sev-snp|tdx|host|none");
        add_broker_parameters(app, arguments->parameters);
        app.add_option("--launch-document", arguments->launch_document,
                       "The finished launch document that it has next, in place of these options")
            ->type_name("FILE");
        app.add_option("--launch-document-out", arguments->launch_document_out,
                       "Write the launch document that it has next there, for its broker")
            ->type_name("FILE");
        app.add_flag_callback(
            "--undo", [arguments] { arguments->request.set_undo(true); },
            "Back to the launch document before, if the VM has not started since");
        app.add_flag_callback(
            "--weaken", [arguments] { arguments->request.set_allow_weaker(true); },
            "A weaker protection is what you want, with another endorsement seed");
        app.add_flag_callback(
            "--dry-run", [arguments] { arguments->request.set_dry_run(true); },
            "Say what would change and what to see to, and change nothing");
        return [arguments](cli::Output& output) { return convert(*arguments, output); };
      }};
}

}  // namespace tools::vtpmctl
