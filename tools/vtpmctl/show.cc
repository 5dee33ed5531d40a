// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include "tools/cli/stream.h"
#include "tools/vtpmctl/commands.h"
#include "tools/vtpmctl/service.h"
#include "vmgs/base/bytes.h"

namespace tools::vtpmctl {

namespace {

struct Arguments {
  Service service;
  api::GetVmRequest request;
  std::string launch_document;  // where to; "-" is stdout, empty is nowhere
};

constexpr const char* kExamples = R"(Examples:
  vtpmctl show web1
  qemu-system-x86_64 ... $(vtpmctl show web1 --json | jq -r .qemu_options)
  vtpmctl show web1 --launch-document web1.launch
)";

// The AK certificate that a guest of this VM would show now, as a line; empty if there is none.
std::string certificate_line(const Arguments& arguments, const std::string& vm_id) {
  api::ListCertificatesRequest request;
  request.set_vm(vm_id);
  const auto listed =
      arguments.service.call_authority<api::ListCertificatesResponse>("ListCertificates", request);
  std::string line;
  if (listed) {
    for (const auto& certificate : listed->certificates()) {
      if (certificate.key() == "ak") {
        line = "class " + certificate.class_() + ", until " + time_text(certificate.not_after()) +
               (certificate.has_revoked_at() ? ", REVOKED" : "");
      }
    }
  }
  return line;
}

// How near its TPM is to a lockout; nothing where nobody can say, as its guest has not started it.
std::optional<api::Lockout> lockout_of(const Arguments& arguments, const std::string& vm_id) {
  api::GetLockoutRequest request;
  request.set_vm(vm_id);
  const auto asked = arguments.service.call<api::GetLockoutResponse>("GetLockout", request);
  return asked ? std::optional(asked->lockout()) : std::nullopt;
}

base::Result<cli::ExitStatus> show(const Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(found, arguments.service.call<api::GetVmResponse>("GetVm", arguments.request));
  if (arguments.launch_document == "-") {
    TRY(output.bytes(base::bytes_of(found.vm().launch_document())));
  } else if (!arguments.launch_document.empty()) {
    TRY(cli::write_file(arguments.launch_document, base::bytes_of(found.vm().launch_document())));
  } else if (output.json()) {
    auto document = to_json(found.vm());
    const auto lockout = lockout_of(arguments, found.vm().vm_id());
    document["lockout"] = lockout ? boost::json::value(to_json(*lockout)) : nullptr;
    TRY(output.document("strongroom.vm/1", document));
  } else {
    const auto line = certificate_line(arguments, found.vm().vm_id());
    auto text = describe(found.vm());
    cli::add_line(text, "certificate", line);
    if (const auto lockout = lockout_of(arguments, found.vm().vm_id())) {
      cli::add_line(text, "lockout", describe(*lockout));
    }
    TRY(output.text(text));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command show_command() {
  return {.name = "show",
          .summary = "Show a VM: readiness and remedy, protection, sockets, options for QEMU",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.footer(kExamples);
            app.add_option("vm", *arguments->request.mutable_vm(), "Its name or id")->required();
            add_service_arguments(app, arguments->service);
            app.add_option("--launch-document", arguments->launch_document,
                           "Write the bytes of its launch document instead, to stdout without FILE")
                ->expected(0, 1)
                ->default_str("-")
                ->type_name("FILE");
            return [arguments](cli::Output& output) { return show(*arguments, output); };
          }};
}

}  // namespace tools::vtpmctl
