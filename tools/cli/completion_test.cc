// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>

#include "tests/support/command.h"
#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"
#include "tools/cli/manual.h"

namespace tools::cli {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

// A small program with everything that a command line has.
class CompletionTest : public testing::Test {
 protected:
  CompletionTest() {
    app_.set_version_flag("--version", "1");
    auto* get = app_.add_subcommand("get", "Get what's there");
    get->add_option("FILE", file_, "The file")->required();
    get->add_option("--key,-k", key_, "Its key: a \\ or -")->type_name("FROM");
    get->add_flag("--all", all_, ".dot at the start");
    auto* group = app_.add_subcommand("group", "Others");
    group->add_subcommand("deep", "Deep inside")->add_flag("--far", all_, "Far away");
  }

  // What bash offers for a command line whose last word is unfinished.
  [[nodiscard]] std::string offered(const std::vector<std::string>& words) const {
    std::string line = "COMP_WORDS=(program";
    for (const auto& word : words) {
      line += " '" + word + "'";
    }
    line += "); COMP_CWORD=" + std::to_string(words.size()) +
            "; _program; printf '%s ' \"${COMPREPLY[@]}\"";
    const auto script = *completion("bash", "program", describe(app_));
    return tests::support::run_command({"/bin/bash", "-c", script + line}).out;
  }

  CLI::App app_{"Does things", "program"};
  std::string file_;
  std::string key_;
  bool all_ = false;
};

TEST_F(CompletionTest, KnowsEveryCommandAndOptionOfTheApp) {
  const auto commands = describe(app_);

  ASSERT_EQ(commands.size(), 4U);
  EXPECT_THAT(commands[0].subcommands, ElementsAre("get", "group"));
  EXPECT_THAT(commands[1].path, ElementsAre("get"));
  EXPECT_THAT(commands[3].path, ElementsAre("group", "deep"));
  const auto& options = commands[1].options;
  ASSERT_EQ(options.size(), 4U);
  EXPECT_THAT(options[1].names, ElementsAre("FILE"));
  EXPECT_TRUE(options[1].is_positional);
  EXPECT_TRUE(options[1].is_required);
  EXPECT_THAT(options[2].names, ElementsAre("-k", "--key"));
  EXPECT_EQ(options[2].value, "FROM");
  EXPECT_EQ(options[3].value, "");
}

TEST_F(CompletionTest, BashOffersWhatMayFollow) {
  EXPECT_THAT(offered({""}), HasSubstr("get group"));
  EXPECT_EQ(offered({"ge"}), "get ");
  EXPECT_EQ(offered({"get", "--a"}), "--all ");
  EXPECT_EQ(offered({"get", "a file", "--ke"}), "--key ");
  EXPECT_EQ(offered({"group", "d"}), "deep ");
  EXPECT_EQ(offered({"group", "deep", "--fa"}), "--far ");
  EXPECT_EQ(offered({"get", "--fa"}), " ");
}

TEST_F(CompletionTest, EveryShellHasEveryCommandAndOption) {
  for (const auto* const shell : {"bash", "zsh", "fish"}) {
    const auto script = *completion(shell, "program", describe(app_));
    for (const auto& command : describe(app_)) {
      for (const auto& name : command.subcommands) {
        EXPECT_THAT(script, HasSubstr(name)) << shell;
      }
      for (const auto& option : command.options) {
        for (const auto& name : option.names) {
          const auto bare = name.substr(name.find_first_not_of('-'));
          EXPECT_TRUE(option.is_positional || script.find(bare) != std::string::npos)
              << shell << " " << name;
        }
      }
    }
  }
  EXPECT_EQ(tests::support::error_code(completion("tcsh", "program", {})),
            base::ErrorCode::kInvalidArgument);
}

// Shells that are here read their script without a complaint.
TEST_F(CompletionTest, IsReadByTheShellsThatAreHere) {
  const tests::support::TempFolder folder;
  for (const std::string shell : {"bash", "zsh", "fish"}) {
    const auto path = folder / ("script." + shell);
    std::ofstream(path) << *completion(shell, "program", describe(app_));
    const auto program = "/usr/bin/" + shell;
    if (std::filesystem::exists(program)) {
      const auto ran = tests::support::run_command({program, "-n", path});
      EXPECT_EQ(ran.status, 0) << shell << ": " << ran.err;
    }
  }
}

TEST_F(CompletionTest, TheManualHasEveryCommandAndOption) {
  const auto page = manual("program", "1.0", describe(app_));

  EXPECT_THAT(page, HasSubstr(".TH PROGRAM 1 \"\" \"program 1.0\""));
  EXPECT_THAT(page, HasSubstr(".SS program group deep\nDeep inside\n"));
  EXPECT_THAT(page,
              HasSubstr("\\fB\\-k\\fR, \\fB\\-\\-key\\fR \\fIFROM\\fR\nIts key: a \\e or \\-\n"));
  EXPECT_THAT(page, HasSubstr("\\&.dot at the start"));
  EXPECT_THAT(page, HasSubstr("\\fBprogram get\\fR \\fIFILE\\fR [\\fIoptions\\fR]"));
  EXPECT_THAT(page, HasSubstr(".SH EXIT STATUS\n.TP\n\\fB0\\fR\ndone"));
}

}  // namespace
}  // namespace tools::cli
