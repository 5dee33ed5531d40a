// SPDX-License-Identifier: Apache-2.0
#include "vtpm/engine/memory_nv_store.h"

#include <gtest/gtest.h>

namespace vtpm::engine {
namespace {

std::string text_of(MemoryNvStore& store, BlobKind kind) {
  const auto blob = store.load(kind);
  if (!*blob) {
    return "none";
  }
  const auto bytes = (**blob).expose();
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

TEST(MemoryNvStoreTest, BeginsEmpty) {
  MemoryNvStore store;

  EXPECT_EQ(text_of(store, BlobKind::kPermanent), "none");
  EXPECT_EQ(text_of(store, BlobKind::kVolatile), "none");
}

TEST(MemoryNvStoreTest, GivesBackWhatWasStored) {
  MemoryNvStore store;

  ASSERT_TRUE(store.store(BlobKind::kPermanent, base::bytes_of("seeds")));
  ASSERT_TRUE(store.store(BlobKind::kVolatile, base::bytes_of("registers")));

  EXPECT_EQ(text_of(store, BlobKind::kPermanent), "seeds");
  EXPECT_EQ(text_of(store, BlobKind::kVolatile), "registers");
}

TEST(MemoryNvStoreTest, StoringAPermanentBlobRemovesTheVolatileOne) {
  MemoryNvStore store;
  ASSERT_TRUE(store.store(BlobKind::kVolatile, base::bytes_of("registers")));

  ASSERT_TRUE(store.store(BlobKind::kPermanent, base::bytes_of("seeds")));

  EXPECT_EQ(text_of(store, BlobKind::kVolatile), "none");
}

TEST(MemoryNvStoreTest, RemovesOneKindAndKeepsTheOther) {
  MemoryNvStore store;
  ASSERT_TRUE(store.store(BlobKind::kPermanent, base::bytes_of("seeds")));
  ASSERT_TRUE(store.store(BlobKind::kVolatile, base::bytes_of("registers")));

  ASSERT_TRUE(store.remove(BlobKind::kVolatile));
  ASSERT_TRUE(store.remove(BlobKind::kVolatile));

  EXPECT_EQ(text_of(store, BlobKind::kVolatile), "none");
  EXPECT_EQ(text_of(store, BlobKind::kPermanent), "seeds");
}

}  // namespace
}  // namespace vtpm::engine
