// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <boost/json/array.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "tools/vtpmctl/commands.h"
#include "tools/vtpmctl/service.h"

namespace tools::vtpmctl {

namespace {

struct Arguments {
  Service service;
  api::ReplaceVmRequest request;
  bool all = false;
};

constexpr const char* kExamples = R"(Examples:
  vtpmctl replace web1      the next process of its TPM is of the program on the disk now
  vtpmctl replace --all     after an upgrade of the package
)";

std::string milliseconds(std::uint64_t microseconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f ms", static_cast<double>(microseconds) / 1000);
  return text;
}

// What became of one VM.
struct Outcome {
  std::string vm;
  base::Result<api::ReplaceVmResponse> replaced;
};

boost::json::object to_json(const Outcome& outcome) {
  boost::json::object object{{"vm", outcome.vm}, {"replaced", outcome.replaced.has_value()}};
  if (outcome.replaced) {
    object["pid"] = outcome.replaced->vm().pid();
    object["pause_microseconds"] = outcome.replaced->pause_microseconds();
  } else {
    object["error"] = std::string(name(outcome.replaced.error().code));
    object["reason"] = outcome.replaced.error().message;
  }
  return object;
}

std::string describe(const Outcome& outcome) {
  if (!outcome.replaced) {
    return outcome.vm + ": not replaced: " + outcome.replaced.error().message + "\n";
  }
  return outcome.vm + ": replaced, process " + std::to_string(outcome.replaced->vm().pid()) +
         "; the TPM stood still for " + milliseconds(outcome.replaced->pause_microseconds()) + "\n";
}

base::Result<std::vector<std::string>> running_vms(const Service& service) {
  TRY_ASSIGN(listed, service.call<api::ListVmsResponse>("ListVms", api::ListVmsRequest()));
  std::vector<std::string> names;
  for (const auto& vm : listed.vms()) {
    if (vm.pid() != 0) {
      names.push_back(vm.name());
    }
  }
  return names;
}

base::Result<cli::ExitStatus> replace_all(const Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(names, running_vms(arguments.service));
  boost::json::array outcomes;
  std::string text;
  bool failed = false;
  for (const auto& name : names) {
    api::ReplaceVmRequest request;
    request.set_vm(name);
    const Outcome outcome{name,
                          arguments.service.call<api::ReplaceVmResponse>("ReplaceVm", request)};
    failed = failed || !outcome.replaced;
    outcomes.push_back(to_json(outcome));
    text += describe(outcome);
  }
  if (output.json()) {
    TRY(output.document("strongroom.replacements/1", {{"replacements", std::move(outcomes)}}));
  } else {
    TRY(output.text(text.empty() ? "no VM runs\n" : text));
  }
  return failed ? cli::ExitStatus::kFoundProblem : cli::ExitStatus::kDone;
}

base::Result<cli::ExitStatus> replace(const Arguments& arguments, cli::Output& output) {
  if (arguments.all == !arguments.request.vm().empty()) {
    return base::fail(base::ErrorCode::kInvalidArgument, "name one VM, or --all of them");
  }
  if (arguments.all) {
    return replace_all(arguments, output);
  }
  TRY_ASSIGN(replaced,
             arguments.service.call<api::ReplaceVmResponse>("ReplaceVm", arguments.request));
  const Outcome outcome{arguments.request.vm(), std::move(replaced)};
  if (output.json()) {
    TRY(output.document("strongroom.replacement/1", to_json(outcome)));
  } else {
    TRY(output.text(describe(outcome)));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command replace_command() {
  return {.name = "replace",
          .summary = "Replace the process of a running VM's TPM; its guest sees a short pause",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.footer(kExamples);
            app.add_option("vm", *arguments->request.mutable_vm(), "Its name or id");
            app.add_flag("--all", arguments->all,
                         "Every VM that runs; status 3 if one is not replaced");
            add_service_arguments(app, arguments->service);
            add_key_argument(app, *arguments->request.mutable_idempotency_key());
            return [arguments](cli::Output& output) { return replace(*arguments, output); };
          }};
}

}  // namespace tools::vtpmctl
