// SPDX-License-Identifier: Apache-2.0
#include "keybroker/protocol/freshness_claim.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <string>

namespace keybroker::protocol {
namespace {

FreshnessClaim whole() {
  return {.by = WitnessKind::kBroker,
          .state = FreshnessState::kFresh,
          .epoch = 7,
          .acked = 40,
          .sequence = 43,
          .restores = 1,
          .offline_boots = 2,
          .policy = AnchorClass::kInterval,
          .interval_seconds = 3600,
          .lease = Lease::kStrict};
}

TEST(FreshnessClaimTest, HasTheFormOfTheDocuments) {
  EXPECT_EQ(boost::json::serialize(to_json(whole())),
            R"({"by":"broker","state":"fresh","epoch":7,"acked":40,"seq":43,"restores":1,)"
            R"("offline-boots":2,"policy":"interval:3600","lease":"strict"})");
  EXPECT_EQ(boost::json::serialize(to_json({})),
            R"({"by":"none","state":"unanchored","epoch":0,"acked":0,"seq":0,"restores":0,)"
            R"("offline-boots":0,"policy":"none","lease":"none"})");
}

TEST(FreshnessClaimTest, ComesBackAsItWasWritten) {
  auto offline = whole();
  offline.by = WitnessKind::kTpm;
  offline.state = FreshnessState::kOffline;
  offline.policy = AnchorClass::kBoot;
  offline.interval_seconds = 0;
  offline.lease = Lease::kNone;
  for (const auto& claim : {whole(), offline, FreshnessClaim{}}) {
    const auto again = freshness_claim(to_json(claim));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(*again, claim);
  }
}

TEST(FreshnessClaimTest, RefusesMissingAndMisshapenMembers) {
  for (const auto& member : to_json(whole())) {
    auto less = to_json(whole());
    less.erase(member.key());
    EXPECT_FALSE(freshness_claim(less)) << member.key();
    auto other = to_json(whole());
    other[member.key()] = true;
    EXPECT_FALSE(freshness_claim(other)) << member.key();
  }
  for (const char* policy : {"interval", "interval:", "interval:x", "interval:03600", "boot:60",
                             "interval:3600 ", "interval:4294967296", "some"}) {
    auto object = to_json(whole());
    object["policy"] = policy;
    const auto claim = freshness_claim(object);
    ASSERT_FALSE(claim) << policy;
    EXPECT_EQ(claim.error().code, base::ErrorCode::kCorrupt);
  }
}

}  // namespace
}  // namespace keybroker::protocol
