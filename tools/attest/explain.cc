// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <boost/json/array.hpp>
#include <memory>

#include "keybroker/evidence/reason.h"
#include "tools/attest/commands.h"

namespace tools::attest {

namespace {

using keybroker::evidence::ReasonCard;

boost::json::object to_json(const ReasonCard& known) {
  return {{"code", known.code},
          {"stage", name(known.stage)},
          {"meaning", known.meaning},
          {"remedy", known.remedy}};
}

base::Result<void> explain_all(cli::Output& output) {
  const auto reasons = keybroker::evidence::all_reasons();
  if (output.json()) {
    boost::json::array list;
    for (const auto& known : reasons) {
      list.push_back(to_json(known));
    }
    return output.document("strongroom.attest.reasons/1", {{"reasons", std::move(list)}});
  }
  std::string text;
  for (const auto& known : reasons) {
    text += std::string(known.code) + " (" + std::string(name(known.stage)) +
            "): " + std::string(known.meaning) + "\n";
  }
  return output.text(text);
}

base::Result<cli::ExitStatus> explain(const std::string& code, cli::Output& output) {
  if (code.empty()) {
    TRY(explain_all(output));
    return cli::ExitStatus::kDone;
  }
  const auto reason = keybroker::evidence::parse_reason(code);
  if (!reason) {
    return base::fail(base::ErrorCode::kNotFound,
                      "no reason is called '" + code + "'; `attest explain` lists them all");
  }
  const auto& known = card(*reason);
  if (output.json()) {
    TRY(output.document("strongroom.attest.reason/1", to_json(known)));
  } else {
    TRY(output.text(std::string(known.code) + "\nstage:   " + std::string(name(known.stage)) +
                    "\nmeaning: " + std::string(known.meaning) +
                    "\nremedy:  " + std::string(known.remedy) + "\n"));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command explain_command() {
  return {.name = "explain",
          .summary = "Say what a reason for refusing evidence means, and what to do",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto code = std::make_shared<std::string>();
            app.add_option("REASON", *code, "Its code; all of them without one");
            return [code](cli::Output& output) { return explain(*code, output); };
          }};
}

}  // namespace tools::attest
