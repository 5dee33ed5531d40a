// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/command_text.h"

#include <CLI/CLI.hpp>

namespace tools::cli {

namespace {

OptionText describe_option(const CLI::Option& option) {
  OptionText text;
  for (const auto& name : option.get_snames()) {
    text.names.push_back("-" + name);
  }
  for (const auto& name : option.get_lnames()) {
    text.names.push_back("--" + name);
  }
  text.is_positional = text.names.empty();
  if (text.is_positional) {
    text.names.push_back(option.get_name(true));
  } else if (option.get_items_expected_max() > 0) {
    text.value = option.get_type_name();
  }
  text.description = option.get_description();
  text.is_required = option.get_required();
  return text;
}

void describe_into(const CLI::App& app, const std::vector<std::string>& path,
                   std::vector<CommandText>& commands) {
  CommandText text;
  text.path = path;
  text.summary = app.get_description();
  for (const auto* option : app.get_options([](const CLI::Option*) { return true; })) {
    text.options.push_back(describe_option(*option));
  }
  const auto subcommands = app.get_subcommands([](const CLI::App*) { return true; });
  for (const auto* sub : subcommands) {
    text.subcommands.push_back(sub->get_name());
  }
  commands.push_back(std::move(text));
  for (const auto* sub : subcommands) {
    auto deeper = path;
    deeper.push_back(sub->get_name());
    describe_into(*sub, deeper, commands);
  }
}

}  // namespace

std::vector<CommandText> describe(const CLI::App& app) {
  std::vector<CommandText> commands;
  describe_into(app, {}, commands);
  return commands;
}

}  // namespace tools::cli
