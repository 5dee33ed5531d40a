// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/kbctl/commands.h"
#include "tools/kbctl/service.h"

namespace tools::kbctl {

namespace {

constexpr const char* kService = "ReleaseLogService";

template <typename Request>
struct Arguments {
  Service service;
  Request request;
  bool trace = false;
};

cli::Command list_command() {
  return {.name = "list",
          .summary = "What was released or refused, the newest first",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments<api::ListReleasesRequest>>();
            auto& request = arguments->request;
            app.add_option("vm", *request.mutable_vm_id(),
                           "Of this VM only; a tenant's id: what was done to it and its keys");
            app.add_flag_callback(
                "--refused", [arguments] { arguments->request.set_refused_only(true); },
                "Refusals only");
            app.add_option_function<std::uint32_t>(
                   "--most",
                   [arguments](std::uint32_t most) { arguments->request.set_page_size(most); },
                   "How many [100]")
                ->type_name("N");
            app.add_option("--page", *request.mutable_page_token(), "Go on where a list ended")
                ->type_name("TOKEN");
            add_service_arguments(app, arguments->service);
            return [arguments](cli::Output& output) -> base::Result<cli::ExitStatus> {
              TRY_ASSIGN(listed, arguments->service.call<api::ListReleasesResponse>(
                                     kService, "ListReleases", arguments->request));
              std::vector<std::vector<std::string>> rows = {
                  {"ID", "TIME", "VM", "WHAT", "EPOCH", "REASON"}};
              for (const auto& release : listed.releases()) {
                rows.push_back({release.release_id(), time_text(release.time()), release.vm_id(),
                                release.kind(), std::to_string(release.epoch()), release.reason()});
              }
              auto text = cli::table(rows);
              if (!listed.next_page_token().empty()) {
                text += "more: --page " + listed.next_page_token() + "\n";
              }
              return answer(output, "strongroom.releases/1", listed, text);
            };
          }};
}

cli::Command explain_command() {
  return {
      .name = "explain",
      .summary = "Why a release or refusal went as it did: the clause, what it expected and saw",
      .set_up = [](CLI::App& app) -> cli::Action {
        auto arguments = std::make_shared<Arguments<api::ExplainReleaseRequest>>();
        app.add_option("id", *arguments->request.mutable_release_id(),
                       "As `kbctl releases list` names it")
            ->required();
        app.add_flag("--trace", arguments->trace, "Each clause of each policy, and the claims");
        add_service_arguments(app, arguments->service);
        return [arguments](cli::Output& output) -> base::Result<cli::ExitStatus> {
          TRY_ASSIGN(explained, arguments->service.call<api::ExplainReleaseResponse>(
                                    kService, "ExplainRelease", arguments->request));
          const auto& release = explained.release();
          std::string text = release.release_id() + "  " + release.kind() + "\n";
          using cli::add_line;
          add_line(text, "VM", release.vm_id());
          add_line(text, "time", time_text(release.time()));
          add_line(text, "reason", release.reason());
          add_line(text, "detail", release.detail());
          add_line(text, "remedy", explained.advice());
          add_line(text, "chip", release.chip_id());
          add_line(text, "TCB", release.tcb());
          if (arguments->trace) {
            for (const auto& trace : explained.traces_json()) {
              text += trace + "\n";
            }
            text += explained.claims_json() + "\n";
          }
          return answer(output, "strongroom.release/1", explained, text);
        };
      }};
}

}  // namespace

cli::Command releases_commands() {
  return {.name = "releases",
          .summary = "What was released or refused, and why (roles tenant, auditor)",
          .group = {list_command(), explain_command()}};
}

}  // namespace tools::kbctl
