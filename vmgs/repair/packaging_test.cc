// SPDX-License-Identifier: Apache-2.0
#include "vmgs/repair/packaging.h"

#include <gmock/gmock.h>

#include "vmgs/format/vhd_footer.h"
#include "vmgs/repair/examined_store.h"
#include "vmgs/repair/plan.h"
#include "vmgs/storage/memory.h"

namespace vmgs::repair {
namespace {

using format::HeaderSpacing;
using ::testing::ElementsAre;
using volume::Severity;

base::Bytes as_vhd(base::Bytes content, std::uint64_t disk_bytes) {
  const auto footer = *format::make_vhd_footer(disk_bytes, {});
  content.insert(content.end(), base::view(footer.raw).begin(), base::view(footer.raw).end());
  return content;
}

TEST(ExamineWholeTest, WarnsOfRoomBetweenDiskAndFooter) {
  auto content = plaintext_store().device().contents();
  const auto disk_bytes = content.size();
  content.resize(content.size() + 1024);
  storage::MemoryDevice whole(as_vhd(std::move(content), disk_bytes));

  const auto findings = examine_whole(whole, {}, nullptr);

  ASSERT_TRUE(findings);
  EXPECT_THAT(*findings, ElementsAre(finding(Severity::kWarning, "vhd-slack", "VHD footer")));
}

TEST(ExamineWholeTest, MissesTheFooterOfAFileThatIsAsLongAsOneWithIt) {
  auto content = plaintext_store().device().contents();
  content.resize(content.size() + format::kVhdFooterBytes);
  storage::MemoryDevice whole(content);

  const auto findings = examine_whole(whole, {}, nullptr);

  ASSERT_TRUE(findings);
  EXPECT_THAT(*findings, ElementsAre(finding(Severity::kWarning, "missing-footer", "VHD footer")));
}

TEST(ExamineWholeTest, SaysThatAVhdHasItsOwnSectors) {
  const auto content = plaintext_store().device().contents();
  storage::MemoryDevice whole(as_vhd(content, content.size()));

  const auto findings = examine_whole(whole, {.spacing = format::HeaderSpacing::k4096}, nullptr);

  ASSERT_TRUE(findings);
  EXPECT_THAT(*findings, ElementsAre(finding(Severity::kError, "bad-container", "container")));
}

}  // namespace
}  // namespace vmgs::repair
