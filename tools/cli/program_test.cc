// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/program.h"

#include <gmock/gmock.h>

#include <CLI/CLI.hpp>
#include <boost/json/parse.hpp>
#include <stdexcept>

namespace tools::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Ran {
  int status;
  std::string out;
  std::string err;
};

// A program with a command that does what `act` does.
Ran run_with(const Action& act, std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "prog");
  const Program program{
      .name = "prog",
      .summary = "A program",
      .commands = {{.name = "act", .summary = "Act", .set_up = [&act](CLI::App&) { return act; }}}};
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  const int status = run(program, static_cast<int>(arguments.size()), arguments.data());
  auto out = ::testing::internal::GetCapturedStdout();
  return {status, std::move(out), ::testing::internal::GetCapturedStderr()};
}

base::Result<ExitStatus> succeed(Output& output) {
  TRY(output.json() ? output.document("test/1", {{"answer", 42}}) : output.text("42\n"));
  return ExitStatus::kDone;
}

base::Result<ExitStatus> refuse(Output& /*output*/) {
  return base::fail(base::ErrorCode::kDenied, "no, because");
}

TEST(ProgramTest, AnswersOnStdoutAlone) {
  const auto ran = run_with(succeed, {"act"});

  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(ran.out, "42\n");
  EXPECT_THAT(ran.err, IsEmpty());
}

TEST(ProgramTest, AnswersWithOneDocumentThatNamesItsSchemaFirst) {
  const auto ran = run_with(succeed, {"act", "--json"});

  EXPECT_EQ(ran.out, "{\"schema\":\"test/1\",\"answer\":42}\n");
}

TEST(ProgramTest, SaysAnErrorOnStderrAndGivesItsStatus) {
  const auto ran = run_with(refuse, {"act"});

  EXPECT_EQ(ran.status, 5);
  EXPECT_THAT(ran.out, IsEmpty());
  EXPECT_EQ(ran.err, "prog: no, because\n");
}

TEST(ProgramTest, SaysAnErrorAsADocumentIfAsked) {
  const auto ran = run_with(refuse, {"act", "--json"});

  EXPECT_EQ(ran.status, 5);
  const auto document = boost::json::parse(ran.out);
  EXPECT_EQ(document.at("schema"), "strongroom.error/1");
  EXPECT_EQ(document.at("code"), "denied");
  EXPECT_EQ(document.at("message"), "no, because");
  EXPECT_EQ(document.at("exit_status"), 5);
}

TEST(ProgramTest, TreatsAWrongCommandLineAsUsage) {
  for (const auto& arguments : std::vector<std::vector<const char*>>{
           {}, {"unknown"}, {"act", "--unknown"}, {"act", "extra"}, {"act", "act"}}) {
    const auto ran = run_with(succeed, arguments);
    EXPECT_EQ(ran.status, 2);
    EXPECT_THAT(ran.out, IsEmpty());
    EXPECT_FALSE(ran.err.empty());
  }
}

TEST(ProgramTest, HelpsAndTellsItsVersionOnStdout) {
  const auto help = run_with(succeed, {"--help"});
  EXPECT_EQ(help.status, 0);
  EXPECT_THAT(help.out, HasSubstr("act"));

  const auto version = run_with(succeed, {"--version"});
  EXPECT_EQ(version.status, 0);
  EXPECT_THAT(version.out, HasSubstr("prog 0."));
}

TEST(ProgramTest, ExplainsAStatus) {
  const auto ran = run_with(succeed, {"--explain", "5"});
  EXPECT_EQ(ran.status, 0);
  EXPECT_THAT(ran.out, HasSubstr("5 refused"));

  EXPECT_EQ(run_with(succeed, {"--explain", "55"}).status, 4);
}

TEST(ProgramTest, LetsNoExceptionOut) {
  const auto ran = run_with(
      [](Output&) -> base::Result<ExitStatus> { throw std::runtime_error("boom"); }, {"act"});

  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("boom"));
}

}  // namespace
}  // namespace tools::cli
