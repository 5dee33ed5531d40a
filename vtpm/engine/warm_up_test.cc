// SPDX-License-Identifier: Apache-2.0
#include "vtpm/engine/warm_up.h"

#include <gtest/gtest.h>

#include "vtpm/engine/engine.h"
#include "vtpm/engine/memory_nv_store.h"

namespace vtpm::engine {
namespace {

TEST(WarmUpTest, LeavesNoTpmAlive) {
  const auto warmed = warm_up();
  ASSERT_TRUE(warmed) << warmed.error().message;

  MemoryNvStore store;
  const auto engine = Engine::create(store);
  ASSERT_TRUE(engine);
  EXPECT_FALSE((*engine)->running());
}

TEST(WarmUpTest, IsRefusedWhileATpmIsAlive) {
  MemoryNvStore store;
  const auto engine = Engine::create(store);
  ASSERT_TRUE(engine);

  const auto warmed = warm_up();

  ASSERT_FALSE(warmed);
  EXPECT_EQ(warmed.error().code, base::ErrorCode::kDenied);
}

}  // namespace
}  // namespace vtpm::engine
