// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <boost/json/serialize.hpp>
#include <memory>

#include "tools/vtpmctl/commands.h"
#include "tools/vtpmctl/service.h"

namespace tools::vtpmctl {

namespace {

struct Arguments {
  Service service;
  api::WatchVmsRequest request;
  bool once = false;
};

// One line a change, for a stream has no one document.
std::string json_line(const api::WatchVmsResponse& change) {
  boost::json::object object;
  object["schema"] = "strongroom.vm_change/1";
  switch (change.change_case()) {
    case api::WatchVmsResponse::kVm:
      object["change"] = "vm";
      object["vm"] = to_json(change.vm());
      break;
    case api::WatchVmsResponse::kDeletedVmId:
      object["change"] = "deleted";
      object["vm_id"] = change.deleted_vm_id();
      break;
    default:
      object["change"] = "caught_up";
  }
  return boost::json::serialize(object) + "\n";
}

std::string text_line(const api::WatchVmsResponse& change) {
  switch (change.change_case()) {
    case api::WatchVmsResponse::kVm: {
      const auto& vm = change.vm();
      const auto& readiness = vm.readiness();
      return vm.name() + " " + readiness.name() + (vm.guest() ? " guest" : "") +
             (readiness.reason().empty() ? "" : ": " + readiness.reason()) + "\n";
    }
    case api::WatchVmsResponse::kDeletedVmId:
      return change.deleted_vm_id() + " deleted\n";
    default:
      return "";
  }
}

base::Result<cli::ExitStatus> watch(const Arguments& arguments, cli::Output& output) {
  base::Result<void> written;
  const auto take = [&](const api::WatchVmsResponse& change) {
    written = output.text(output.json() ? json_line(change) : text_line(change));
    return written && !(arguments.once && change.caught_up());
  };
  TRY(arguments.service.watch(arguments.request, take));
  TRY(std::move(written));
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command watch_command() {
  return {
      .name = "watch",
      .summary = "Show VMs as they are and each change; with --json, one document a line",
      .set_up = [](CLI::App& app) -> cli::Action {
        auto arguments = std::make_shared<Arguments>();
        app.footer("Example:\n  vtpmctl watch --json | jq -r 'select(.vm) | .vm.readiness.name'\n");
        app.add_option("vm", *arguments->request.mutable_vm(), "Only this one: name or id");
        add_service_arguments(app, arguments->service);
        app.add_flag("--once", arguments->once, "End when all VMs have been shown");
        return [arguments](cli::Output& output) { return watch(*arguments, output); };
      }};
}

}  // namespace tools::vtpmctl
