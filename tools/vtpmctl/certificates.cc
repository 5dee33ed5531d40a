// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/vtpmctl/commands.h"
#include "tools/vtpmctl/service.h"

namespace tools::vtpmctl {

namespace {

struct Arguments {
  Service service;
  api::ListCertificatesRequest request;
  bool pem = false;
};

constexpr const char* kExamples = R"(Examples:
  vtpmctl certificates web1
  vtpmctl certificates web1 --pem | openssl x509 -noout -text
)";

std::string describe(const api::VmCertificate& certificate) {
  std::string text = certificate.key() + ", class " + certificate.class_() + ", " +
                     time_text(certificate.not_before()) + " to " +
                     time_text(certificate.not_after());
  if (certificate.has_revoked_at()) {
    text += ", REVOKED " + time_text(certificate.revoked_at());
  }
  return text + "\n  serial " + certificate.serial() + "\n  AK     " + certificate.ak_name() + "\n";
}

base::Result<cli::ExitStatus> certificates(const Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(listed, arguments.service.call_authority<api::ListCertificatesResponse>(
                         "ListCertificates", arguments.request));
  if (output.json()) {
    TRY(output.document("strongroom.certificates/1", to_json(listed)));
    return cli::ExitStatus::kDone;
  }
  std::string text;
  for (const auto& certificate : listed.certificates()) {
    text += arguments.pem ? certificate.pem() : describe(certificate);
  }
  TRY(output.text(text));
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command certificates_command() {
  return {.name = "certificates",
          .summary = "Show what the AK certificate authority has issued for a VM",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.footer(kExamples);
            app.add_option("vm", *arguments->request.mutable_vm(),
                           "Its name or id; of one that is gone, the id")
                ->required();
            app.add_flag("--pem", arguments->pem, "Write the certificates, the newest last");
            add_service_arguments(app, arguments->service);
            return [arguments](cli::Output& output) { return certificates(*arguments, output); };
          }};
}

}  // namespace tools::vtpmctl
