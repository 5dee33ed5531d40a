// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/manual.h"

#include <algorithm>
#include <cctype>

#include "tools/cli/exit_status.h"

namespace tools::cli {

namespace {

// Text that troff takes for nothing but text.
std::string plain(std::string_view text) {
  std::string result;
  for (const char each : text) {
    if (each == '\\') {
      result += "\\e";
    } else if (each == '-') {
      result += "\\-";
    } else {
      result += each;
    }
  }
  // A line that begins with one of these would be a request.
  return result.starts_with('.') || result.starts_with('\'') ? "\\&" + result : result;
}

std::string bold(std::string_view text) { return "\\fB" + plain(text) + "\\fR"; }

std::string italic(std::string_view text) { return "\\fI" + plain(text) + "\\fR"; }

std::string joined(const std::string& program, const CommandText& command) {
  auto text = program;
  for (const auto& word : command.path) {
    text += " " + word;
  }
  return text;
}

// Positional arguments as they are written behind the command.
std::string usage(const std::string& program, const CommandText& command) {
  auto text = bold(joined(program, command));
  for (const auto& option : command.options) {
    if (option.is_positional) {
      const auto name = italic(option.names.front());
      text += option.is_required ? " " + name : " [" + name + "]";
    }
  }
  return text + " [" + italic("options") + "]";
}

std::string describe_option(const OptionText& option) {
  std::string text = ".TP\n";
  for (std::size_t i = 0; i < option.names.size(); ++i) {
    text += (i == 0 ? "" : ", ") +
            (option.is_positional ? italic(option.names[i]) : bold(option.names[i]));
  }
  if (!option.value.empty()) {
    text += " " + italic(option.value);
  }
  return text + "\n" + plain(option.description) + "\n";
}

}  // namespace

std::string manual(const std::string& program, const std::string& version,
                   const std::vector<CommandText>& commands) {
  std::string title = program;
  std::transform(title.begin(), title.end(), title.begin(),
                 [](unsigned char each) { return static_cast<char>(std::toupper(each)); });
  const auto& whole = commands.front();
  std::string text = ".TH " + plain(title) + " 1 \"\" \"" + plain(program + " " + version) +
                     "\" \"Strongroom\"\n.SH NAME\n" + plain(program) + " \\- " +
                     plain(whole.summary) + "\n.SH SYNOPSIS\n" + bold(program) + " " +
                     italic("command") + " [" + italic("options") + "]\n.SH OPTIONS\n";
  for (const auto& option : whole.options) {
    text += describe_option(option);
  }
  text += ".SH COMMANDS\n";
  for (const auto& command : commands) {
    if (command.path.empty()) {
      continue;
    }
    text += ".SS " + plain(joined(program, command)) + "\n" + plain(command.summary) + "\n";
    if (command.subcommands.empty()) {
      text += ".PP\n" + usage(program, command) + "\n";
    }
    for (const auto& option : command.options) {
      text += describe_option(option);
    }
  }
  text += ".SH EXIT STATUS\n";
  for (int status = 0; const auto sentence = explain(status); ++status) {
    text += ".TP\n" + bold(std::to_string(status)) + "\n" +
            plain(sentence->substr(sentence->find(' ') + 1)) + "\n";
  }
  return text;
}

}  // namespace tools::cli
