// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <boost/json/array.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tools/vtpmctl/commands.h"
#include "tools/vtpmctl/service.h"

namespace tools::vtpmctl {

namespace {

std::string table(const api::ListVmsResponse& vms) {
  std::vector<std::vector<std::string>> rows = {
      {"NAME", "ID", "READINESS", "PROTECTION", "LIFETIME", "GUEST"}};
  for (const auto& vm : vms.vms()) {
    rows.push_back({vm.name(), vm.vm_id(), vm.readiness().name(), vm.parameters().protection(),
                    vm.parameters().lifetime(), vm.guest() ? "yes" : "no"});
  }
  return cli::table(rows);
}

base::Result<cli::ExitStatus> list(const Service& service, cli::Output& output) {
  TRY_ASSIGN(vms, service.call<api::ListVmsResponse>("ListVms", api::ListVmsRequest()));
  if (!output.json()) {
    TRY(output.text(table(vms)));
    return cli::ExitStatus::kDone;
  }
  boost::json::array objects;
  for (const auto& vm : vms.vms()) {
    objects.push_back(to_json(vm));
  }
  TRY(output.document("strongroom.vms/1", {{"vms", std::move(objects)}}));
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command list_command() {
  return {.name = "list",
          .summary = "List the VMs of this host",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto service = std::make_shared<Service>();
            add_service_arguments(app, *service);
            return [service](cli::Output& output) { return list(*service, output); };
          }};
}

}  // namespace tools::vtpmctl
