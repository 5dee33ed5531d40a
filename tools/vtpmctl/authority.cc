// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <boost/json/array.hpp>
#include <memory>

#include "tools/cli/pem.h"
#include "tools/vtpmctl/commands.h"
#include "tools/vtpmctl/service.h"
#include "vmgs/base/bytes.h"

namespace tools::vtpmctl {

namespace {

struct Arguments {
  Service service;
  std::string ca_class;
  bool der = false;
};

constexpr const char* kExamples = R"(Examples:
  vtpmctl authority show
  vtpmctl authority roots --class host > roots.pem
  vtpmctl authority crl --class host > host.crl.pem
  openssl verify -CAfile roots.pem -untrusted chain.pem ak.pem
)";

base::Result<api::ListAuthoritiesResponse> authorities_of(const Arguments& arguments) {
  TRY_ASSIGN(listed, arguments.service.call_authority<api::ListAuthoritiesResponse>(
                         "ListAuthorities", api::ListAuthoritiesRequest()));
  if (arguments.ca_class.empty()) {
    return listed;
  }
  api::ListAuthoritiesResponse chosen;
  for (const auto& ca : listed.authorities()) {
    if (ca.class_() == arguments.ca_class) {
      *chosen.add_authorities() = ca;
    }
  }
  if (chosen.authorities().empty()) {
    return base::fail(base::ErrorCode::kNotFound,
                      "this host has no CA of class '" + arguments.ca_class + "'");
  }
  return chosen;
}

std::string describe(const char* role, const api::CaCertificate& certificate) {
  return std::string("  ") + role + certificate.subject() + ", " + certificate.key() +
         "\n            " + time_text(certificate.not_before()) + " to " +
         time_text(certificate.not_after()) + "\n            SHA-256 " + certificate.fingerprint() +
         "\n";
}

base::Result<cli::ExitStatus> show(const Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(listed, authorities_of(arguments));
  if (output.json()) {
    TRY(output.document("strongroom.authorities/1", to_json(listed)));
    return cli::ExitStatus::kDone;
  }
  std::string text;
  for (const auto& ca : listed.authorities()) {
    text += "class " + ca.class_() + "\n" + describe("root      ", ca.root()) +
            describe("issuer    ", ca.issuer());
  }
  TRY(output.text(text));
  return cli::ExitStatus::kDone;
}

base::Result<cli::ExitStatus> roots(const Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(listed, authorities_of(arguments));
  std::string pem;
  boost::json::array objects;
  for (const auto& ca : listed.authorities()) {
    pem += ca.root().pem();
    objects.push_back({{"class", ca.class_()}, {"pem", ca.root().pem()}});
  }
  if (output.json()) {
    TRY(output.document("strongroom.authority_roots/1", {{"roots", std::move(objects)}}));
  } else {
    TRY(output.text(pem));
  }
  return cli::ExitStatus::kDone;
}

base::Result<cli::ExitStatus> crl(const Arguments& arguments, cli::Output& output) {
  api::GetCrlRequest request;
  request.set_class_(arguments.ca_class);
  TRY_ASSIGN(got, arguments.service.call_authority<api::GetCrlResponse>("GetCrl", request));
  if (output.json()) {
    TRY(output.document("strongroom.authority_crl/1",
                        {{"class", arguments.ca_class},
                         {"pem", cli::encode_pem("X509 CRL", base::bytes_of(got.crl()))},
                         {"next_update", time_text(got.next_update())}}));
  } else if (arguments.der) {
    TRY(output.bytes(base::bytes_of(got.crl())));
  } else {
    TRY(output.text(cli::encode_pem("X509 CRL", base::bytes_of(got.crl()))));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command authority_command() {
  return {.name = "authority",
          .summary = "The AK certificate authority of this host: its CAs, roots, revocation lists",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.footer(kExamples);
            app.require_subcommand(1);
            auto* const show_app =
                app.add_subcommand("show", "Each CA: class, names, keys, validity, fingerprints");
            auto* const roots_app = app.add_subcommand("roots", "Write the roots, in PEM");
            auto* const crl_app = app.add_subcommand("crl", "Write the revocation list of a class");
            for (auto* const sub : {show_app, roots_app, crl_app}) {
              sub->fallthrough();
              auto* const option =
                  sub->add_option("--class", arguments->ca_class, "Of this class only")
                      ->type_name("cvm|host|simulated");
              option->required(sub == crl_app);
            }
            crl_app->add_flag("--der", arguments->der, "Write DER, not PEM");
            add_service_arguments(app, arguments->service);
            return [arguments, roots_app, crl_app](cli::Output& output) {
              return crl_app->parsed()     ? crl(*arguments, output)
                     : roots_app->parsed() ? roots(*arguments, output)
                                           : show(*arguments, output);
            };
          }};
}

}  // namespace tools::vtpmctl
