// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <boost/json/array.hpp>
#include <memory>

#include "keybroker/policy/release_policy.h"
#include "keybroker/policy/warnings.h"
#include "tools/kbctl/commands.h"
#include "tools/kbctl/service.h"

namespace tools::kbctl {

namespace {

constexpr const char* kService = "PolicyService";
constexpr std::size_t kMostClaimsBytes = 1024 * 1024;

template <typename Request>
struct Arguments {
  Service service;
  Request request;
  std::string file;
  std::string claims;
  std::string compatibility = "strict";
};

void add_compatibility(CLI::App& app, std::string& compatibility) {
  app.add_option("--compatibility", compatibility,
                 "akv: \"true\" and \"false\" are booleans, as Azure Key Vault takes them [strict]")
      ->check(CLI::IsMember({"strict", "akv"}));
}

cli::Command check_command() {
  return {
      .name = "check",
      .summary = "Read a policy as the broker would: its digest, and what is odd about it; offline",
      .set_up = [](CLI::App& app) -> cli::Action {
        struct Checked {
          std::string file;
          std::string compatibility = "strict";
        };
        auto arguments = std::make_shared<Checked>();
        app.add_option("policy", arguments->file, "A release policy")
            ->type_name("FILE")
            ->required();
        add_compatibility(app, arguments->compatibility);
        return [arguments](cli::Output& output) -> base::Result<cli::ExitStatus> {
          using namespace keybroker::policy;
          TRY_ASSIGN(text, read_text(arguments->file, kMaxReleasePolicyBytes));
          TRY_ASSIGN(policy, parse_release_policy(text, arguments->compatibility == "akv"
                                                            ? Compatibility::kAkv
                                                            : Compatibility::kStrict));
          const auto digest = base::to_hex(policy_digest(policy));
          boost::json::array warnings;
          std::string lines = digest + "\n";
          for (const auto& warning : examine(policy)) {
            warnings.push_back({{"kind", name(warning.kind)},
                                {"path", warning.path},
                                {"message", warning.message}});
            lines += "warning: " + warning.path + ": " + warning.message + "\n";
          }
          const bool is_odd = !warnings.empty();
          TRY(output.json() ? output.document("strongroom.policy_check/1",
                                              {{"digest", digest}, {"warnings", warnings}})
                            : output.text(lines));
          return is_odd ? cli::ExitStatus::kFoundProblem : cli::ExitStatus::kDone;
        };
      }};
}

cli::Command put_command() {
  return {.name = "put",
          .summary = "Give the broker a policy; its digest is its name from then on",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments<api::PutPolicyRequest>>();
            app.add_option("policy", arguments->file, "A release policy")
                ->type_name("FILE")
                ->required();
            add_compatibility(app, arguments->compatibility);
            add_service_arguments(app, arguments->service);
            return [arguments](cli::Output& output) -> base::Result<cli::ExitStatus> {
              TRY_ASSIGN(text,
                         read_text(arguments->file, keybroker::policy::kMaxReleasePolicyBytes));
              arguments->request.set_text(std::move(text));
              arguments->request.set_compatibility(arguments->compatibility);
              TRY_ASSIGN(put, arguments->service.call<api::PutPolicyResponse>(kService, "PutPolicy",
                                                                              arguments->request));
              for (const auto& warning : put.warnings()) {
                output.talk("warning: " + warning);
              }
              return answer(output, "strongroom.policy/1", put, put.digest() + "\n");
            };
          }};
}

cli::Command show_command() {
  return {
      .name = "show",
      .summary = "A policy that the broker has",
      .set_up = [](CLI::App& app) -> cli::Action {
        auto arguments = std::make_shared<Arguments<api::GetPolicyRequest>>();
        app.add_option("digest", *arguments->request.mutable_digest(), "Its digest")->required();
        add_service_arguments(app, arguments->service);
        return [arguments](cli::Output& output) -> base::Result<cli::ExitStatus> {
          TRY_ASSIGN(found, arguments->service.call<api::GetPolicyResponse>(kService, "GetPolicy",
                                                                            arguments->request));
          return answer(output, "strongroom.policy/1", found, found.text() + "\n");
        };
      }};
}

constexpr const char* kTestExamples = R"(Examples:
  kbctl policy test --policy strict.json --release 6ba7b810-9dad-11d1-80b4-00c04fd430c8/17
  kbctl policy test --digest 5e0d... --claims claims.json
The claims of a release are kept: a policy can be tried on what machines really said before it decides anything.
)";

cli::Command test_command() {
  return {.name = "test",
          .summary = "What a policy would say of a release on record, or of claims in a file",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments<api::TestPolicyRequest>>();
            auto& request = arguments->request;
            app.footer(kTestExamples);
            auto* const file =
                app.add_option("--policy", arguments->file, "A policy")->type_name("FILE");
            app.add_option("--digest", *request.mutable_digest(), "One that the broker has")
                ->type_name("SHA256")
                ->excludes(file);
            auto* const release = app.add_option("--release", *request.mutable_release_id(),
                                                 "As `kbctl releases list` names it")
                                      ->type_name("ID");
            app.add_option("--claims", arguments->claims, "A claim set")
                ->type_name("FILE")
                ->excludes(release);
            add_compatibility(app, arguments->compatibility);
            add_service_arguments(app, arguments->service);
            return [arguments](cli::Output& output) -> base::Result<cli::ExitStatus> {
              auto& asked = arguments->request;
              asked.set_compatibility(arguments->compatibility);
              if (!arguments->file.empty()) {
                TRY_ASSIGN(text,
                           read_text(arguments->file, keybroker::policy::kMaxReleasePolicyBytes));
                asked.set_text(std::move(text));
              }
              if (!arguments->claims.empty()) {
                TRY_ASSIGN(claims, read_text(arguments->claims, kMostClaimsBytes));
                asked.set_claims_json(std::move(claims));
              }
              TRY_ASSIGN(tested, arguments->service.call<api::TestPolicyResponse>(
                                     kService, "TestPolicy", asked));
              TRY(answer(
                  output, "strongroom.policy_test/1", tested,
                  std::string(tested.allowed() ? "allowed: " : "denied: ") + tested.why() + "\n"));
              return tested.allowed() ? cli::ExitStatus::kDone : cli::ExitStatus::kFoundProblem;
            };
          }};
}

}  // namespace

cli::Command policy_commands() {
  return {.name = "policy",
          .summary = "What evidence must show for a key to be released (role tenant)",
          .group = {check_command(), put_command(), show_command(), test_command()}};
}

}  // namespace tools::kbctl
