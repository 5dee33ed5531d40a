// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/file_id.h"

#include <gtest/gtest.h>

namespace vmgs::format {
namespace {

TEST(FileIdTest, ReadsNumbersAndNames) {
  EXPECT_EQ(*parse_file_id("3"), FileId::kTpmNvram);
  EXPECT_EQ(*parse_file_id("tpm_nvram"), FileId::kTpmNvram);
  EXPECT_EQ(*parse_file_id("PROVISIONING_MARKER"), FileId::kProvisioningMarker);
  EXPECT_EQ(index(*parse_file_id("45")), 45U);
}

TEST(FileIdTest, RefusesIdsPastTheTable) {
  // The reference indexes its table with any 32-bit id and crashes on 64.
  EXPECT_FALSE(parse_file_id("64"));
  EXPECT_FALSE(parse_file_id("4294967299"));
  EXPECT_FALSE(parse_file_id("-1"));
  EXPECT_FALSE(parse_file_id("3x"));
  EXPECT_FALSE(parse_file_id(""));
}

TEST(FileIdTest, TablesAreNoContent) {
  EXPECT_FALSE(is_content(FileId::kFileTable));
  EXPECT_FALSE(is_content(FileId::kExtendedFileTable));
  EXPECT_TRUE(is_content(FileId::kTpmNvram));
}

TEST(FileIdTest, DescribesUnassignedIdsByNumber) {
  EXPECT_EQ(describe(FileId::kTpmNvram), "TPM_NVRAM (3)");
  EXPECT_EQ(describe(static_cast<FileId>(45)), "file 45");
}

}  // namespace
}  // namespace vmgs::format
