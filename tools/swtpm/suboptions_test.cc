// SPDX-License-Identifier: Apache-2.0
#include "tools/swtpm/suboptions.h"

#include <gtest/gtest.h>

#include "tests/support/error_code.h"

namespace tools::swtpm {
namespace {

using base::ErrorCode;
using tests::support::error_code;
using enum SuboptionKind;

base::Result<Suboptions> parse(std::string_view value) {
  return Suboptions::parse("ctrl", value,
                           {{"type", kText},
                            {"port", kNumber},
                            {"mode", kOctal},
                            {"uid", kUser},
                            {"gid", kGroup},
                            {"terminate", kFlag}});
}

TEST(SuboptionsTest, ReadsWhatHypervisorsWrite) {
  const auto read = parse("type=unixio,port=2322,mode=0600,uid=0,gid=root,terminate");

  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->text("type"), "unixio");
  EXPECT_EQ(read->number("port"), 2322U);
  EXPECT_EQ(read->number("mode"), 0600U);
  EXPECT_EQ(parse("mode=641")->number("mode"), 0641U);
  EXPECT_EQ(read->number("uid"), 0U);
  EXPECT_EQ(read->number("gid"), 0U);
  EXPECT_TRUE(read->flag("terminate"));
}

TEST(SuboptionsTest, SaysWhatIsNotThere) {
  const auto read = parse("type=a=b");

  ASSERT_TRUE(read);
  EXPECT_EQ(read->text("type"), "a=b");
  EXPECT_FALSE(read->number("port"));
  EXPECT_FALSE(read->flag("terminate"));
  EXPECT_TRUE(parse(""));
}

TEST(SuboptionsTest, TakesFlagsWithAValueAndTheLastOfTwo) {
  EXPECT_TRUE(parse("terminate=true")->flag("terminate"));
  EXPECT_FALSE(parse("terminate=false")->flag("terminate"));
  EXPECT_EQ(parse("port=1,port=2")->number("port"), 2U);
}

TEST(SuboptionsTest, RefusesWhatIsNoOptionOrNoValue) {
  for (const char* value :
       {"path=/x", "type", "port=", "port=1x", "port=-1", "port=4294967296", "mode=8", "mode=01000",
        "mode=0x1", "uid=nobody-has-this-name", "terminate=yes", ",type=x"}) {
    EXPECT_EQ(error_code(parse(value)), ErrorCode::kInvalidArgument) << value;
  }
}

}  // namespace
}  // namespace tools::swtpm
