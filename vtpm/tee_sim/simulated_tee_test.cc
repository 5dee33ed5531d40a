// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/simulated_tee.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/error_code.h"
#include "tests/support/simulated_mints.h"
#include "tests/support/temp_folder.h"
#include "vtpm/tee_sim/folder.h"

namespace vtpm::tee_sim {
namespace {

using keybroker::protocol::TeeFamily;
using tests::support::error_code;

class SimulatedTeeTest : public ::testing::Test {
 protected:
  [[nodiscard]] SimulatedLaunch launch(TeeFamily family = TeeFamily::kSevSnp) const {
    return {.machine_folder = temp_ / "machine",
            .launch_document = base::copy_of(base::bytes_of("a document")),
            .family_of_new_machine = family,
            .now = tests::support::mint_begin()};
  }

  tests::support::TempFolder temp_;
};

TEST_F(SimulatedTeeTest, ANewMachineIsOfTheFamilyItIsToldToBe) {
  for (const auto family : {TeeFamily::kSevSnp, TeeFamily::kTdx}) {
    auto wanted = launch(family);
    wanted.machine_folder = temp_ / std::string(name(family));

    const auto tee = open_simulated_tee(wanted);

    ASSERT_TRUE(tee) << tee.error().message;
    EXPECT_EQ((*tee)->own_report()->family, family);
  }
}

TEST_F(SimulatedTeeTest, AnOldMachineStaysWhatItIs) {
  ASSERT_TRUE(open_simulated_tee(launch(TeeFamily::kTdx)));

  const auto again = open_simulated_tee(launch(TeeFamily::kSevSnp));

  EXPECT_EQ((*again)->own_report()->family, TeeFamily::kTdx);
}

TEST_F(SimulatedTeeTest, ItsReportCarriesTheDigestOfTheDocument) {
  for (const auto family : {TeeFamily::kSevSnp, TeeFamily::kTdx}) {
    auto wanted = launch(family);
    wanted.machine_folder = temp_ / std::string(name(family));
    const auto tee = open_simulated_tee(wanted);

    EXPECT_EQ((*tee)->own_report()->launch_digest,
              keybroker::protocol::launch_digest(wanted.launch_document, family));
  }
}

TEST_F(SimulatedTeeTest, AMachineThatCannotBeUnderstoodIsNamed) {
  ASSERT_TRUE(open_simulated_tee(launch()));
  std::ofstream(temp_ / "machine" / kMachineFile) << "{}";

  const auto tee = open_simulated_tee(launch());

  ASSERT_EQ(error_code(tee), base::ErrorCode::kInvalidArgument);
  EXPECT_THAT(tee.error().message, ::testing::HasSubstr("machine.json"));
}

}  // namespace
}  // namespace vtpm::tee_sim
