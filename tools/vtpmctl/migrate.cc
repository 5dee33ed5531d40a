// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "keybroker/protocol/launch_document.h"
#include "tools/cli/stream.h"
#include "tools/vtpmctl/commands.h"
#include "tools/vtpmctl/service.h"

namespace tools::vtpmctl {

namespace {

constexpr std::size_t kMaxTicketBytes = 512;
constexpr std::size_t kMaxReleaseBytes = std::size_t{56} * 1024;  // of as many tickets

struct Arguments {
  Service service;
  std::string vm;
  std::string launch_document;
  std::string ticket;
  std::string release;
  std::string out;
};

constexpr const char* kExamples =
    R"(The guest moves by its hypervisor's live migration, and its TPM with it, sealed to a ticket of the host
that awaits it, and taken once. Between the two commands below and the migration the ticket is carried
to the other host by a way that nobody else can read it in, or put another in its place.
Examples:
  there:  vtpmctl migrate receive web1 --launch-document web1.launch --out web1.ticket
  here:   vtpmctl migrate send web1 --ticket web1.ticket
  then:   the hypervisor migrates; vtpmctl delete web1 here, once it runs there
If the migration has failed:
  there:  vtpmctl migrate cancel web1 --out web1.release
  here:   vtpmctl migrate cancel web1 --release web1.release
)";

base::Result<std::string> read_small(const std::string& file, std::size_t most) {
  TRY_ASSIGN(read, cli::read_input(file, most));
  const auto bytes = read.expose();
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

base::Result<void> give_out(const Arguments& arguments, cli::Output& output,
                            const std::string& bytes) {
  return arguments.out == "-"
             ? output.bytes(base::bytes_of(bytes))
             : cli::write_file(arguments.out, base::bytes_of(bytes), cli::Privacy::kPrivate);
}

// It may be here already, from before it left.
base::Result<void> register_vm(const Arguments& arguments) {
  api::CreateVmRequest request;
  request.set_name(arguments.vm);
  request.set_leave_stopped(true);
  TRY_ASSIGN(document,
             read_small(arguments.launch_document, keybroker::protocol::kMaxLaunchDocumentBytes));
  request.set_launch_document(document);
  TRY(arguments.service.call<api::CreateVmResponse>("CreateVm", request));
  return {};
}

base::Result<cli::ExitStatus> receive(const Arguments& arguments, cli::Output& output) {
  if (!arguments.launch_document.empty()) {
    TRY(register_vm(arguments));
  }
  api::AwaitTpmRequest request;
  request.set_vm(arguments.vm);
  TRY_ASSIGN(awaits, arguments.service.call<api::AwaitTpmResponse>("AwaitTpm", request));
  TRY(give_out(arguments, output, awaits.ticket()));
  output.talk("start its hypervisor for an incoming migration now: " + awaits.vm().qemu_options());
  return cli::ExitStatus::kDone;
}

base::Result<cli::ExitStatus> send(const Arguments& arguments, cli::Output& output) {
  api::SendTpmRequest request;
  request.set_vm(arguments.vm);
  TRY_ASSIGN(ticket, read_small(arguments.ticket, kMaxTicketBytes));
  request.set_ticket(ticket);
  TRY_ASSIGN(sent, arguments.service.call<api::SendTpmResponse>("SendTpm", request));
  if (output.json()) {
    TRY(output.document("strongroom.vm/1", to_json(sent.vm())));
  } else {
    TRY(output.text(
        sent.vm().name() +
        ": its TPM leaves for the holder of the ticket when its hypervisor migrates\n"));
  }
  return cli::ExitStatus::kDone;
}

base::Result<cli::ExitStatus> cancel(const Arguments& arguments, cli::Output& output) {
  api::CancelMigrationRequest request;
  request.set_vm(arguments.vm);
  if (!arguments.release.empty()) {
    TRY_ASSIGN(release, read_small(arguments.release, kMaxReleaseBytes));
    request.set_release(release);
  }
  TRY_ASSIGN(cancelled,
             arguments.service.call<api::CancelMigrationResponse>("CancelMigration", request));
  if (!cancelled.release().empty() && arguments.out.empty()) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "nothing is awaited here any more, and what gives back a TPM that was "
                      "offered and never arrived is kept: say where to write it (--out FILE)");
  }
  if (!cancelled.release().empty()) {
    TRY(give_out(arguments, output, cancelled.release()));
    output.talk(
        "this gives back what was offered to the tickets of this host and never arrived: "
        "it is for `vtpmctl migrate cancel " +
        arguments.vm + " --release FILE` at the host that has sent it");
    return cli::ExitStatus::kDone;
  }
  if (output.json()) {
    TRY(output.document("strongroom.vm/1", to_json(cancelled.vm())));
  } else {
    // Without a release nobody has looked into a store.
    TRY(output.text(cancelled.vm().name() +
                    (arguments.release.empty()
                         ? ": the ticket is forgotten, and its TPM neither leaves nor comes by it\n"
                         : ": its TPM is this host's\n")));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command migrate_command() {
  return {.name = "migrate",
          .summary = "Move a VM's TPM between hosts with its guest, sealed and once",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.footer(kExamples);
            app.require_subcommand(1);
            auto* const receive_app =
                app.add_subcommand("receive", "Await the TPM here, and give the ticket for it");
            auto* const send_app =
                app.add_subcommand("send", "Have the TPM leave here by a ticket, when it migrates");
            auto* const cancel_app = app.add_subcommand(
                "cancel", "There: say that nothing has arrived. Here: take the TPM back by that");
            for (auto* const sub : {receive_app, send_app, cancel_app}) {
              sub->fallthrough();
              sub->add_option("vm", arguments->vm, "Its name or id")->required();
            }
            receive_app
                ->add_option("--launch-document", arguments->launch_document,
                             "Register the VM by its launch document (vtpmctl show "
                             "--launch-document there), if it is not here yet")
                ->type_name("FILE");
            send_app->add_option("--ticket", arguments->ticket, "What receive gave; - for stdin")
                ->required()
                ->type_name("FILE");
            cancel_app
                ->add_option("--release", arguments->release,
                             "What cancel gave at the other host; - for stdin")
                ->type_name("FILE");
            receive_app
                ->add_option("--out", arguments->out, "Where to write it, a secret; - for stdout")
                ->required()
                ->type_name("FILE");
            cancel_app
                ->add_option("--out", arguments->out, "Where to write what gives it back, a secret")
                ->type_name("FILE");
            add_service_arguments(app, arguments->service);
            return [arguments, receive_app, send_app](cli::Output& output) {
              return receive_app->parsed() ? receive(*arguments, output)
                     : send_app->parsed()  ? send(*arguments, output)
                                           : cancel(*arguments, output);
            };
          }};
}

}  // namespace tools::vtpmctl
