// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/completion.h"

#include <algorithm>

namespace tools::cli {

namespace {

// " uefi get": how the scripts name a command.
std::string joined(const std::vector<std::string>& path) {
  std::string text;
  for (const auto& word : path) {
    text += " " + word;
  }
  return text;
}

// A name of a shell function.
std::string identifier(const std::string& program) {
  auto name = "_" + program;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

std::string quoted(std::string_view text, std::string_view escaped_quote) {
  std::string result = "'";
  for (const char each : text) {
    if (each == '\'') {
      result += escaped_quote;
    } else {
      result += each;
    }
  }
  return result + "'";
}

// The words that may follow a command.
std::string words_of(const CommandText& command) {
  std::string words;
  const auto add = [&](const std::string& word) { words += (words.empty() ? "" : " ") + word; };
  for (const auto& name : command.subcommands) {
    add(name);
  }
  for (const auto& option : command.options) {
    for (const auto& name : option.names) {
      if (!option.is_positional) {
        add(name);
      }
    }
  }
  return words;
}

// The patterns of a `case` by which the path grows; empty for a program without commands.
std::string path_patterns(const std::vector<CommandText>& commands, std::string_view between) {
  std::string patterns;
  for (const auto& command : commands) {
    if (!command.path.empty()) {
      patterns += (patterns.empty() ? "" : std::string(between)) + "'" + joined(command.path) + "'";
    }
  }
  return patterns.empty() ? "''" : patterns;
}

std::string cases_of(const std::vector<CommandText>& commands) {
  std::string cases;
  for (const auto& command : commands) {
    cases += "    '" + joined(command.path) +
             "') candidates=" + quoted(words_of(command), "'\\''") + " ;;\n";
  }
  return cases;
}

std::string for_bash(const std::string& program, const std::vector<CommandText>& commands) {
  const auto function = identifier(program);
  return "# bash completion for " + program + "\n" + function +
         "() {\n"
         "  local path='' candidates='' i\n"
         "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "    case \"$path ${COMP_WORDS[i]}\" in\n"
         "      " +
         path_patterns(commands, "|") +
         ") path=\"$path ${COMP_WORDS[i]}\" ;;\n"
         "    esac\n"
         "  done\n"
         "  case \"$path\" in\n" +
         cases_of(commands) +
         "  esac\n"
         "  mapfile -t COMPREPLY < <(compgen -W \"$candidates\" -- \"${COMP_WORDS[COMP_CWORD]}\")\n"
         "}\n"
         "complete -o default -F " +
         function + " " + program + "\n";
}

std::string for_zsh(const std::string& program, const std::vector<CommandText>& commands) {
  const auto function = identifier(program);
  return "#compdef " + program + "\n" + function +
         "() {\n"
         "  local reply_path='' candidates='' i\n"
         "  for ((i = 2; i < CURRENT; i++)); do\n"
         "    case \"$reply_path ${words[i]}\" in\n"
         "      " +
         path_patterns(commands, "|") +
         ") reply_path=\"$reply_path ${words[i]}\" ;;\n"
         "    esac\n"
         "  done\n"
         "  case \"$reply_path\" in\n" +
         cases_of(commands) +
         "  esac\n"
         "  compadd -- ${=candidates}\n"
         "  [[ ${words[CURRENT]} == -* ]] || _files\n"
         "}\n" +
         function + " \"$@\"\n";
}

// One line of fish for each command and option.
std::string for_fish(const std::string& program, const std::vector<CommandText>& commands) {
  const auto function = "_" + identifier(program) + "_path";
  std::string text = "# fish completion for " + program + "\nfunction " + function +
                     "\n"
                     "  set -l path ''\n"
                     "  for word in (commandline -opc)[2..-1]\n"
                     "    switch \"$path $word\"\n"
                     "      case " +
                     path_patterns(commands, " ") +
                     "\n"
                     "        set path \"$path $word\"\n"
                     "    end\n"
                     "  end\n"
                     "  echo \"$path\"\n"
                     "end\n";
  for (const auto& command : commands) {
    const auto condition = "complete -c " + program + " -n 'set -l path (" + function +
                           "); test \"$path\" = \"" + joined(command.path) + "\"'";
    for (const auto& sub : command.subcommands) {
      const auto found = std::find_if(commands.begin(), commands.end(), [&](const auto& each) {
        auto path = command.path;
        path.push_back(sub);
        return each.path == path;
      });
      text += condition + " -a " + sub + " -d " + quoted(found->summary, "\\'") + "\n";
    }
    for (const auto& option : command.options) {
      for (const auto& name : option.names) {
        if (!option.is_positional) {
          text += condition +
                  (name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1)) +
                  (option.value.empty() ? "" : " -r") + " -d " + quoted(option.description, "\\'") +
                  "\n";
        }
      }
    }
  }
  return text;
}

}  // namespace

base::Result<std::string> completion(std::string_view shell, const std::string& program,
                                     const std::vector<CommandText>& commands) {
  if (shell == "bash") {
    return for_bash(program, commands);
  }
  if (shell == "zsh") {
    return for_zsh(program, commands);
  }
  if (shell == "fish") {
    return for_fish(program, commands);
  }
  return base::fail(base::ErrorCode::kInvalidArgument,
                    "there is completion for bash, zsh and fish, not for " + std::string(shell));
}

}  // namespace tools::cli
