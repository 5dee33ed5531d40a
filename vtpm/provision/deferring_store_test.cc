// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/deferring_store.h"

#include <gtest/gtest.h>

#include "tests/support/error_code.h"
#include "tests/support/fake_nv_store.h"

namespace vtpm::provision {
namespace {

using engine::BlobKind;

class DeferringStoreTest : public testing::Test {
 protected:
  base::Result<void> store(std::string_view blob) {
    return deferring_.store(BlobKind::kPermanent, base::bytes_of(blob));
  }

  tests::support::FakeNvStore below_;
  DeferringStore deferring_{below_};
};

TEST_F(DeferringStoreTest, PassesEverythingOnUntilItIsTold) {
  EXPECT_TRUE(store("one"));
  EXPECT_TRUE(deferring_.store(BlobKind::kVolatile, base::bytes_of("moment")));
  EXPECT_EQ(below_.stores, 2);
  EXPECT_TRUE(*deferring_.load(BlobKind::kVolatile));
  EXPECT_TRUE(deferring_.remove(BlobKind::kVolatile));
  EXPECT_FALSE(*deferring_.load(BlobKind::kVolatile));
}

TEST_F(DeferringStoreTest, KeepsNothingWhileItDefers) {
  ASSERT_TRUE(store("one"));
  deferring_.defer(true);
  ASSERT_TRUE(store("two"));
  EXPECT_EQ(below_.stored(BlobKind::kPermanent), base::copy_of(base::bytes_of("one")));

  deferring_.defer(false);
  ASSERT_TRUE(store("three"));
  EXPECT_EQ(below_.stored(BlobKind::kPermanent), base::copy_of(base::bytes_of("three")));
}

TEST_F(DeferringStoreTest, NeverDefersTheFirstChangeAfterAPowerOn) {
  ASSERT_TRUE(store("one"));
  ASSERT_TRUE(deferring_.load(BlobKind::kPermanent));
  deferring_.defer(true);
  ASSERT_TRUE(store("two"));
  EXPECT_EQ(below_.stored(BlobKind::kPermanent), base::copy_of(base::bytes_of("two")));
  ASSERT_TRUE(store("three"));
  EXPECT_EQ(below_.stored(BlobKind::kPermanent), base::copy_of(base::bytes_of("two")));
}

TEST_F(DeferringStoreTest, NeverDefersAMoment) {
  ASSERT_TRUE(store("one"));
  deferring_.defer(true);
  ASSERT_TRUE(deferring_.store(BlobKind::kVolatile, base::bytes_of("moment")));
  EXPECT_EQ(below_.stored(BlobKind::kVolatile), base::copy_of(base::bytes_of("moment")));
}

TEST_F(DeferringStoreTest, AFailureBelowIsNoStore) {
  below_.store_error = base::Error{base::ErrorCode::kIo, "the disk is full"};
  deferring_.defer(true);
  EXPECT_EQ(tests::support::error_code(store("one")), base::ErrorCode::kIo);
  EXPECT_EQ(tests::support::error_code(store("one")), base::ErrorCode::kIo) << "still the first";
}

}  // namespace
}  // namespace vtpm::provision
