// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/vtpmctl/commands.h"
#include "tools/vtpmctl/service.h"

namespace tools::vtpmctl {

namespace {

struct Arguments {
  Service service;
  api::RevokeCertificatesRequest request;
};

base::Result<cli::ExitStatus> revoke(const Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(revoked, arguments.service.call_authority<api::RevokeCertificatesResponse>(
                          "RevokeCertificates", arguments.request));
  if (output.json()) {
    TRY(output.document("strongroom.revoked/1", to_json(revoked)));
  } else {
    output.talk("revoked " + std::to_string(revoked.revoked()) + " certificates of VM " +
                revoked.vm_id() + "; relying parties learn of it from the revocation list");
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command revoke_command() {
  return {.name = "revoke",
          .summary = "Take back a VM's certificates and forget its endorsement key",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.footer(
                "A VM that still runs may ask for new ones: stop or delete it first to be rid of "
                "it.\n\nExample:\n  vtpmctl stop web1 && vtpmctl revoke web1\n");
            app.add_option("vm", *arguments->request.mutable_vm(),
                           "Its name or id; of one that is gone, the id")
                ->required();
            add_service_arguments(app, arguments->service);
            return [arguments](cli::Output& output) { return revoke(*arguments, output); };
          }};
}

}  // namespace tools::vtpmctl
