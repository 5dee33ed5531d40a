// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/ak_statement.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "tests/support/error_code.h"

namespace keybroker::evidence {
namespace {

AkStatement whole_statement() {
  AkStatement statement;
  statement.ak_class = AkClass::kCvm;
  statement.vm_id.fill(std::byte{0x6B});
  statement.tee = protocol::TeeFamily::kTdx;
  statement.measurement = base::Bytes(48, std::byte{1});
  statement.launch = base::Bytes(48, std::byte{2});
  statement.protection = protocol::Protection::kHardware;
  statement.lifetime = protocol::Lifetime::kEphemeral;
  statement.origin = protocol::SeedOrigin::kImported;
  statement.epoch = ~std::uint64_t{0};
  statement.ak_name = base::Bytes(34, std::byte{3});
  statement.ek_name = base::Bytes(50, std::byte{4});
  statement.claims_digest.fill(std::byte{5});
  return statement;
}

TEST(AkStatementTest, ComesBackAsItWasWritten) {
  EXPECT_EQ(*decode_ak_statement(encode(whole_statement())), whole_statement());
  EXPECT_LT(encode(whole_statement()).size(), 800U);
  AkStatement ordinary;
  EXPECT_EQ(*decode_ak_statement(encode(ordinary)), ordinary);
}

TEST(AkStatementTest, RefusesMissingAndMisshapenMembers) {
  const auto whole = boost::json::parse(encode(whole_statement())).as_object();
  for (const auto& member : whole) {
    auto less = whole;
    less.erase(member.key());
    EXPECT_EQ(tests::support::error_code(decode_ak_statement(boost::json::serialize(less))),
              base::ErrorCode::kCorrupt)
        << member.key();
    auto other = whole;
    other[member.key()] = "?";
    EXPECT_EQ(tests::support::error_code(decode_ak_statement(boost::json::serialize(other))),
              base::ErrorCode::kCorrupt)
        << member.key();
  }
  auto more = whole;
  more["later"] = true;
  EXPECT_TRUE(decode_ak_statement(boost::json::serialize(more)));
}

}  // namespace
}  // namespace keybroker::evidence
