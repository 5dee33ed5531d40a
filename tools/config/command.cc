// SPDX-License-Identifier: Apache-2.0
#include "tools/config/command.h"

#include <CLI/CLI.hpp>
#include <boost/json/array.hpp>
#include <memory>

namespace tools::config {

namespace {

struct Arguments {
  std::string file;
  bool file_is_named = false;
  bool origin = false;
};

base::Result<cli::ExitStatus> check(const Schema& schema, const Arguments& arguments,
                                    cli::Output& output) {
  const auto loaded = load(schema, arguments.file, arguments.file_is_named);
  if (output.json()) {
    boost::json::array faults;
    for (const auto& fault : loaded.faults) {
      faults.push_back({{"file", fault.file.string()},
                        {"line", fault.line},
                        {"column", fault.column},
                        {"what", fault.what}});
    }
    TRY(output.document("strongroom.config_check/1",
                        {{"clean", loaded.faults.empty()}, {"faults", std::move(faults)}}));
  } else {
    std::string text;
    for (const auto& fault : loaded.faults) {
      text += to_string(fault) + "\n";
    }
    TRY(output.text(text.empty() ? "the configuration is good\n" : text));
  }
  return loaded.faults.empty() ? cli::ExitStatus::kDone : cli::ExitStatus::kFoundProblem;
}

base::Result<cli::ExitStatus> dump(const Schema& schema, const Arguments& arguments,
                                   cli::Output& output) {
  const auto loaded = load(schema, arguments.file, arguments.file_is_named);
  if (!loaded.faults.empty()) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      to_string(loaded.faults.front()) + "; `config check` says all there is");
  }
  boost::json::array objects;
  std::string text;
  std::string section;
  for (std::size_t i = 0; i < schema.keys().size(); ++i) {
    const auto& key = schema.keys()[i];
    if (key.section != section) {
      section = key.section;
      text += (text.empty() ? "[" : "\n[") + section + "]\n";
    }
    text += "# " + key.summary + "\n" + key.name + " = " + key.show();
    text += arguments.origin ? "  # " + loaded.origins[i] + "\n" : "\n";
    objects.push_back({{"section", key.section},
                       {"name", key.name},
                       {"value", key.show()},
                       {"origin", loaded.origins[i]},
                       {"summary", key.summary}});
  }
  if (output.json()) {
    TRY(output.document("strongroom.config/1", {{"settings", std::move(objects)}}));
  } else {
    TRY(output.text(text));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command config_command(Configuration configuration) {
  return {
      .name = "config",
      .summary =
          "Check or show the configuration of " + configuration.daemon + ", which need not run",
      .set_up = [configuration](CLI::App& app) -> cli::Action {
        auto arguments = std::make_shared<Arguments>();
        arguments->file = configuration.file;
        app.footer("Examples:\n  " + configuration.program + " config check\n  " +
                   configuration.program + " config dump --origin\n");
        app.require_subcommand(1);
        auto* const check_app = app.add_subcommand("check", "Say everything that is wrong with it");
        auto* const dump_app =
            app.add_subcommand("dump", "Show each setting, its meaning and its value");
        for (auto* const sub : {check_app, dump_app}) {
          sub->fallthrough();
          sub->add_option("--config", arguments->file, "The file; conf.d/*.toml beside it count")
              ->type_name("FILE")
              ->each([arguments](const std::string&) { arguments->file_is_named = true; });
        }
        dump_app->add_flag("--origin", arguments->origin, "Say where each value comes from");
        return [arguments, check_app, schema = configuration.schema()](cli::Output& output) {
          return check_app->parsed() ? check(schema, *arguments, output)
                                     : dump(schema, *arguments, output);
        };
      }};
}

}  // namespace tools::config
