// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/terminal.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

namespace tools::cli {
namespace {

TEST(TerminalTest, LetsNoControlCharacterThrough) {
  EXPECT_EQ(printable("a\x1b[31mb\n\x7f"), "a?[31mb??");
  EXPECT_EQ(printable("\xC2\x9B"
                      "31m"),
            "?31m");  // CSI as one C1 control
  EXPECT_EQ(printable("gr\xC3\xBC\xC3\x9F"), "gr\xC3\xBC\xC3\x9F");
  EXPECT_EQ(printable("end\xC2"), "end\xC2");
}

// The test's own descriptors are no terminals that anybody can rely on, so a pipe is asked about.
TEST(TerminalTest, ShowsColoursInAPipeOnlyWhereForced) {
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  ::unsetenv("NO_COLOR");
  ::unsetenv("CLICOLOR_FORCE");
  ::setenv("TERM", "xterm", 1);
  EXPECT_FALSE(shows_colour(pipe[1]));

  ::setenv("CLICOLOR_FORCE", "1", 1);
  EXPECT_TRUE(shows_colour(pipe[1]));
  ::setenv("NO_COLOR", "1", 1);
  EXPECT_FALSE(shows_colour(pipe[1]));

  ::unsetenv("NO_COLOR");
  ::unsetenv("CLICOLOR_FORCE");
  ::close(pipe[0]);
  ::close(pipe[1]);
}

}  // namespace
}  // namespace tools::cli
