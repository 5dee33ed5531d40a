// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"

namespace vtpm::tee_sim {
namespace {

using ::testing::HasSubstr;
using tests::support::error_code;

base::Result<Machine> new_snp() {
  TRY_ASSIGN(machine, new_snp_machine());
  return Machine(machine);
}

base::SecretBytes content(std::string_view text) {
  return base::SecretBytes::taking(base::copy_of(base::bytes_of(text)));
}

unsigned mode_of(const std::filesystem::path& path) {
  struct stat status {};

  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  return status.st_mode & 07777U;
}

class MachineFolderTest : public ::testing::Test {
 protected:
  [[nodiscard]] MachineFolder folder() const { return *MachineFolder::open(temp_ / "machine"); }

  tests::support::TempFolder temp_;
};

TEST_F(MachineFolderTest, KeepsItsSecretAndItsMachine) {
  const auto machine = folder().machine(new_snp);
  const auto secret = folder().secret();

  ASSERT_TRUE(secret && machine);
  EXPECT_TRUE(folder().secret()->equals_in_constant_time(*secret));
  EXPECT_EQ(*folder().machine(new_snp), *machine);
  EXPECT_FALSE(secret->is_all_zero());
}

TEST_F(MachineFolderTest, IsClosedToOthers) {
  ASSERT_TRUE(folder().machine(new_snp) && folder().secret());

  EXPECT_EQ(mode_of(temp_ / "machine"), 0700U);
  EXPECT_EQ(mode_of(temp_ / "machine" / "secret"), 0600U);
  EXPECT_EQ(mode_of(temp_ / "machine" / kMachineFile), 0600U);
}

TEST_F(MachineFolderTest, HalfAMachineIsNeverMadeWhole) {
  const auto machine = folder().machine(new_snp);
  ASSERT_TRUE(machine);
  for (const char* lost : {"secret", kMachineFile}) {
    std::filesystem::rename(temp_ / "machine" / lost, temp_ / "kept");

    const auto secret = folder().secret();
    const auto found = folder().machine(new_snp);
    ASSERT_TRUE(!secret || !found) << lost;
    const auto& error = secret ? found.error() : secret.error();
    EXPECT_EQ(error.code, base::ErrorCode::kCorrupt);
    EXPECT_THAT(error.message, HasSubstr(std::string("no ") + lost));
    EXPECT_FALSE(std::filesystem::exists(temp_ / "machine" / lost));

    std::filesystem::rename(temp_ / "kept", temp_ / "machine" / lost);
    EXPECT_EQ(*folder().machine(new_snp), *machine);
  }
}

TEST_F(MachineFolderTest, TwoMachinesHaveTwoSecrets) {
  const auto other = *MachineFolder::open(temp_ / "other");

  EXPECT_FALSE(folder().secret()->equals_in_constant_time(*other.secret()));
}

TEST_F(MachineFolderTest, WhatIsThereIsNotMadeAgain) {
  int made = 0;
  const auto make = [&]() -> base::Result<base::SecretBytes> {
    ++made;
    return content("first");
  };
  ASSERT_TRUE(folder().get_or_make("thing", make));
  ASSERT_TRUE(folder().get_or_make("thing", make));

  EXPECT_EQ(made, 1);
}

TEST_F(MachineFolderTest, WhatAnotherProcessMadeMeanwhileCounts) {
  const auto thing = folder().get_or_make("thing", [&]() -> base::Result<base::SecretBytes> {
    EXPECT_TRUE(folder().get_or_make(
        "thing", [] { return base::Result<base::SecretBytes>(content("the faster one's")); }));
    return content("the slower one's");
  });

  ASSERT_TRUE(thing);
  EXPECT_EQ(base::copy_of(thing->expose()), base::copy_of(base::bytes_of("the faster one's")));
}

TEST_F(MachineFolderTest, AnEditedMachineIsTheMachine) {
  ASSERT_TRUE(folder().machine(new_snp));
  auto edited = std::get<SnpMachine>(*folder().machine(new_snp));
  edited.committed.microcode = 20;
  std::ofstream(temp_ / "machine" / kMachineFile) << to_json(edited);

  EXPECT_EQ(std::get<SnpMachine>(*folder().machine(new_snp)), edited);
}

TEST_F(MachineFolderTest, NamesTheFileThatIsWrong) {
  ASSERT_TRUE(folder().machine(new_snp) && folder().secret());
  std::ofstream(temp_ / "machine" / kMachineFile) << "{}";
  std::ofstream(temp_ / "machine" / "secret") << "short";

  const auto machine = folder().machine(new_snp);
  ASSERT_EQ(error_code(machine), base::ErrorCode::kInvalidArgument);
  EXPECT_THAT(machine.error().message, HasSubstr("machine.json: machine description: family is"));
  EXPECT_EQ(error_code(folder().secret()), base::ErrorCode::kCorrupt);
  ASSERT_EQ(::chmod((temp_ / "machine" / "secret").c_str(), 0644), 0);
  EXPECT_EQ(error_code(folder().secret()), base::ErrorCode::kDenied);
}

}  // namespace
}  // namespace vtpm::tee_sim
