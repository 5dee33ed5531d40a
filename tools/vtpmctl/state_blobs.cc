// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "tools/vtpmctl/commands.h"
#include "tools/vtpmctl/service.h"

namespace tools::vtpmctl {

namespace {

struct Arguments {
  Service service;
  api::SetStateBlobsRequest request;
};

constexpr const char* kExamples =
    R"(plain is for savevm, and for a live migration without a ticket: the TPM's state is in the hypervisor's
stream in the clear, as swtpm's is, and whoever keeps a copy can take the TPM back to it.
Examples:
  vtpmctl state-blobs web1 plain     from its next start on
  vtpmctl state-blobs web1 sealed    only by a ticket: vtpmctl migrate
)";

base::Result<cli::ExitStatus> set(const Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(
      said, arguments.service.call<api::SetStateBlobsResponse>("SetStateBlobs", arguments.request));
  if (output.json()) {
    TRY(output.document("strongroom.vm/1", to_json(said.vm())));
  } else {
    const bool runs = said.vm().pid() != 0;
    TRY(output.text(said.vm().name() + ": state blobs are " + arguments.request.state_blobs() +
                    (runs ? " from its next start on; it runs as before\n" : "\n")));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command state_blobs_command() {
  return {.name = "state-blobs",
          .summary = "Say how a TPM's state leaves with its guest: sealed to a ticket, or plain",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.footer(kExamples);
            app.add_option("vm", *arguments->request.mutable_vm(), "Its name or id")->required();
            app.add_option("form", *arguments->request.mutable_state_blobs(), "How it leaves")
                ->required()
                ->type_name("sealed|plain");
            add_service_arguments(app, arguments->service);
            return [arguments](cli::Output& output) { return set(*arguments, output); };
          }};
}

}  // namespace tools::vtpmctl
