// SPDX-License-Identifier: Apache-2.0
#include "transport/tpm_socket/simulator_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/error_code.h"
#include "transport/tpm_socket/command_frame.h"
#include "transport/tpm_socket/fake_simulator_handler.h"

namespace transport::tpm_socket {
namespace {

using base::ErrorCode;
using testing::ElementsAre;
using testing::IsEmpty;
using tests::support::error_code;

const std::string kDone = "00000000";
const std::string kFailed = "00000001";

class SimulatorSessionTest : public testing::Test {
 protected:
  // All the answers to what is in `hex`, one after the other; "left" once the session is over.
  std::string ask(SimulatorSession& session, const std::string& hex) {
    session.take(*base::from_hex(hex));
    std::string answers;
    for (;;) {
      const auto answer = session.next_answer();
      if (!answer) {
        return answers + "lost";
      }
      if (!*answer) {
        return answers + (session.is_over() ? "left" : "");
      }
      answers += base::to_hex((*answer)->expose());
    }
  }

  std::string ask_platform(const std::string& hex) { return ask(platform_, hex); }

  std::string ask_commands(const std::string& hex) { return ask(commands_, hex); }

  FakeSimulatorHandler handler_;
  SimulatorSizes sizes_;
  SimulatorSession commands_{SimulatorPort::kCommands, handler_, sizes_};
  SimulatorSession platform_{SimulatorPort::kPlatform, handler_, sizes_};
};

TEST_F(SimulatorSessionTest, DoesWhatThePlatformAsks) {
  for (const std::string code : {"01", "02", "03", "04", "09", "0a", "11", "12", "1e"}) {
    EXPECT_EQ(ask_platform("000000" + code), kDone) << code;
  }

  EXPECT_THAT(handler_.asked(),
              ElementsAre("power on", "power off", "present", "not present", "cancel on",
                          "cancel off", "reset", "restart", "failure mode"));
}

TEST_F(SimulatorSessionTest, TakesWhatChangesNothing) {
  for (const std::string code : {"0b", "0d", "0e"}) {
    EXPECT_EQ(ask_platform("000000" + code), kDone) << code;
  }
  EXPECT_EQ(ask_commands("00000010000000ff"), kDone);

  EXPECT_THAT(handler_.asked(), IsEmpty());
}

TEST_F(SimulatorSessionTest, SaysWhatFailedAndGoesOn) {
  handler_.fail({ErrorCode::kIo, "no"});

  EXPECT_EQ(ask_platform("00000001"), kFailed);
  EXPECT_EQ(ask_commands("00000005"), kFailed);
  EXPECT_EQ(ask_platform("00000002"), kFailed);
}

TEST_F(SimulatorSessionTest, CannotTakeNvMemoryAway) {
  EXPECT_EQ(ask_platform("0000000c"), kFailed);
  EXPECT_FALSE(platform_.is_over());
}

TEST_F(SimulatorSessionTest, RunsACommandAtItsLocality) {
  EXPECT_EQ(ask_commands("00000008"
                         "03"
                         "0000000c"
                         "80010000000c0000017b0010"),
            "00000016"
            "80010000000000000000"
            "80010000000c0000017b0010" +
                kDone);

  EXPECT_THAT(handler_.asked(), ElementsAre("run at 3 80010000000c0000017b0010"));
}

TEST_F(SimulatorSessionTest, GivesNoResponseWhileTheTpmIsOff) {
  handler_.fail({ErrorCode::kDenied, "off"});

  EXPECT_EQ(ask_commands("00000008"
                         "00"
                         "0000000a"
                         "80010000000a00000181"),
            "00000000" + kDone);
}

TEST_F(SimulatorSessionTest, LetsTheTpmSeeThatACommandIsTooLong) {
  const std::string longest(2 * kMaxCommandBytes, 'a');
  ask_commands(
      "00000008"
      "00"
      "00002000" +
      longest + longest);

  ASSERT_EQ(handler_.asked().size(), 1U);
  EXPECT_EQ(handler_.asked()[0], "run at 0 " + longest);
  EXPECT_EQ(ask_commands("00000007"), kDone);
}

TEST_F(SimulatorSessionTest, HashesDataOfAnyLength) {
  EXPECT_EQ(ask_commands("00000005"), kDone);
  EXPECT_EQ(ask_commands("00000006"
                         "00000003"
                         "616263"),
            kDone);
  EXPECT_EQ(ask_commands("00000006"
                         "00000000"),
            kDone);
  EXPECT_EQ(ask_commands("00000007"), kDone);

  EXPECT_THAT(handler_.asked(), ElementsAre("hash start", "hash 616263", "hash ", "hash end"));
}

TEST_F(SimulatorSessionTest, TakesRequestsInAnyPieces) {
  const std::string requests =
      "00000008"
      "00"
      "0000000a"
      "80010000000a00000181"
      "00000006"
      "00000002"
      "aabb"
      "00000007";
  std::string answers;
  for (std::size_t i = 0; i < requests.size(); i += 2) {
    answers += ask_commands(requests.substr(i, 2));
  }

  EXPECT_EQ(answers,
            "00000014"
            "80010000000000000000"
            "80010000000a00000181" +
                kDone + kDone + kDone);
  EXPECT_FALSE(commands_.waits_for_rest());
  ask_commands("000000");
  EXPECT_TRUE(commands_.waits_for_rest());
}

TEST_F(SimulatorSessionTest, AnswersRequestsThatComeTogether) {
  EXPECT_EQ(ask_platform("00000001"
                         "0000000b"
                         "00000014"),
            kDone + kDone + "left");
}

TEST_F(SimulatorSessionTest, ShakesHandsWithClientsThatHaveAVersion) {
  EXPECT_EQ(ask_commands("0000000f"
                         "00000001"),
            "00000001"
            "0000004d" +
                kDone);
  EXPECT_EQ(ask_commands("0000000f"
                         "00000000"),
            "left");
}

TEST_F(SimulatorSessionTest, EndsWhenItsClientSaysSo) {
  EXPECT_EQ(ask_commands("00000014"), "left");
  EXPECT_EQ(ask_platform("00000014"), "left");
  EXPECT_EQ(ask_platform("00000001"), "left");

  EXPECT_THAT(handler_.asked(), IsEmpty());
}

TEST_F(SimulatorSessionTest, StopsTheProcessFromEitherPort) {
  EXPECT_EQ(ask_commands("00000015"), "left");
  EXPECT_EQ(ask_platform("00000015"), "left");

  EXPECT_THAT(handler_.asked(), ElementsAre("stop", "stop"));
}

TEST_F(SimulatorSessionTest, LeavesAClientThatAsksForWhatThereIsNot) {
  for (const std::string code : {"00000000", "00000005", "00000008", "00000063", "ffffffff"}) {
    SimulatorSession platform(SimulatorPort::kPlatform, handler_, sizes_);
    EXPECT_EQ(ask(platform, code), kFailed + "left") << code;
  }
  for (const std::string code : {"00000000", "00000001", "00000019", "0000001e", "ffffffff"}) {
    SimulatorSession commands(SimulatorPort::kCommands, handler_, sizes_);
    EXPECT_EQ(ask(commands, code), "left") << code;
  }

  EXPECT_THAT(handler_.asked(), IsEmpty());
}

TEST_F(SimulatorSessionTest, LosesAClientWhoseDataWouldBeTooLong) {
  SimulatorSession longest(SimulatorPort::kCommands, handler_, sizes_);
  EXPECT_EQ(ask(longest,
                "00000006"
                "00100000"),
            "");
  EXPECT_TRUE(longest.waits_for_rest());

  EXPECT_EQ(ask_commands("00000006"
                         "00100001"),
            "lost");
  SimulatorSession other(SimulatorPort::kCommands, handler_, sizes_);
  EXPECT_EQ(ask(other,
                "00000008"
                "00"
                "ffffffff"),
            "lost");
}

TEST_F(SimulatorSessionTest, TellsTheLargestSizesOnce) {
  ask_commands(
      "00000008"
      "00"
      "0000000a"
      "80010000000a00000181");
  ask_commands(
      "00000008"
      "00"
      "0000000c"
      "80010000000c0000017b0010");
  ask_commands(
      "00000008"
      "00"
      "0000000a"
      "80010000000a00000181");

  EXPECT_EQ(ask_platform("00000019"),
            "00000010"
            "0c000000"
            "0000017b"
            "16000000"
            "00000000" +
                kDone);
  EXPECT_EQ(ask_platform("00000019"),
            "00000010"
            "00000000"
            "00000000"
            "00000000"
            "00000000" +
                kDone);
}

TEST_F(SimulatorSessionTest, TakesBackTheCancelOfAClientThatGoes) {
  {
    SimulatorSession platform(SimulatorPort::kPlatform, handler_, sizes_);
    ask(platform, "00000009");
  }
  {
    SimulatorSession platform(SimulatorPort::kPlatform, handler_, sizes_);
    ask(platform, "000000090000000a");
  }

  EXPECT_THAT(handler_.asked(), ElementsAre("cancel on", "cancel off", "cancel on", "cancel off"));
}

}  // namespace
}  // namespace transport::tpm_socket
