// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/single_use.h"

#include <gtest/gtest.h>

#include "tests/support/record_fixture.h"

namespace keybroker::store {
namespace {

using namespace tests::support;

class SingleUseTest : public RecordFixture {};

INSTANTIATE_TEST_SUITE_P(Engines, SingleUseTest, engines(), engine_name);

Nonce nonce(unsigned char filling) {
  Nonce made;
  made.fill(std::byte{filling});
  return made;
}

TEST_P(SingleUseTest, ANonceIsUsedOnceAndTheUseIsInTheLog) {
  auto records = open();
  register_one(records);

  EXPECT_TRUE(*use_once(records.sql(), kVm, nonce(1), kNow, "attested", act()));
  const auto line = last_line(records);
  EXPECT_EQ(line.kind, "attested");
  EXPECT_FALSE(*use_once(records.sql(), kVm, nonce(1), kNow, "attested", act()));

  EXPECT_EQ(last_line(records), line);
  EXPECT_TRUE(*use_once(records.sql(), kVm, nonce(2), kNow, "attested", act()));
  EXPECT_TRUE(verify_chain(records.sql(), vm_subject(kVm)));
}

TEST_P(SingleUseTest, ARepeatedActIsTheSameUse) {
  auto records = open();
  register_one(records);
  const auto once = act();
  EXPECT_TRUE(*use_once(records.sql(), kVm, nonce(1), kNow, "attested", once));
  const auto line = last_line(records);

  EXPECT_TRUE(*use_once(records.sql(), kVm, nonce(1), kNow, "attested", once));

  EXPECT_EQ(last_line(records), line);
}

TEST_P(SingleUseTest, AChallengeOfAReleaseIsUsedForNothingElse) {
  auto records = open();
  register_one(records);
  const auto claim = claim_of(1, 0);
  granted(records.claim(claim, act()));

  EXPECT_FALSE(*use_once(records.sql(), kVm, claim.nonce, kNow, "attested", act()));

  EXPECT_TRUE(*use_once(records.sql(), kVm, nonce(9), kNow, "attested", act()));
  auto other = claim_of(1, 1);
  other.nonce = nonce(9);
  EXPECT_EQ(refused(records.claim(other, act())), ClaimRefusal::kReplayedNonce);
}

}  // namespace
}  // namespace keybroker::store
