// SPDX-License-Identifier: Apache-2.0
#include "vmgs/volume/state_digest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>

#include "vmgs/base/cursor.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/storage/memory.h"

namespace vmgs::volume {
namespace {

using base::ErrorCode;
using format::FileId;
using format::HeaderSpacing;

constexpr std::uint64_t kStoreBytes = 64 * 4096;

format::VmId vm(unsigned char number) {
  format::VmId id;
  id.bytes.fill(std::byte{number});
  return id;
}

DatastoreKey key_of(unsigned char value) {
  DatastoreKey key{base::Secret<32>::zero()};
  std::ranges::fill(key.bytes.fill(), std::byte{value});
  return key;
}

// A store of an instance with two encrypted files, a plaintext one and a protector.
class StateDigestTest : public testing::Test {
 protected:
  StateDigestTest() : device_(kStoreBytes) {
    Transaction first(Sequence::kAdvance);
    first.put(FileId::kTpmNvram, base::bytes_of("the TPM"));
    first.put(FileId::kRecord, base::bytes_of("the record"));
    first.put(FileId::kVmUniqueId, base::bytes_of("an id"), Protection::kPlaintext);
    first.put(FileId::kKeyProtector, base::bytes_of("a protector"), Protection::kPlaintext);
    volume_ = *Volume::format(device_, HeaderSpacing::k512, key_of(1), first);
  }

  [[nodiscard]] StateDigest digest() const { return *state_digest(vm(1), *volume_); }

  // The state with one thing about it changed.
  [[nodiscard]] StateDigest digest_with(
      const std::function<void(format::FileTable&, format::ExtendedTable&)>& change) const {
    auto table = *volume_->current().table();
    auto extended = volume_->current().extended().clone();
    change(table, extended);
    return state_digest(vm(1), volume_->commit_sequence(), table, extended);
  }

  void commit(const Transaction& transaction) { ASSERT_TRUE(volume_->commit(transaction)); }

  storage::MemoryDevice device_;
  std::optional<Volume> volume_;
};

// The layout of freshness.md, written down a second time, on purpose without the code's own types.
TEST_F(StateDigestTest, IsTheDigestOfTheDocumentedBytes) {
  base::Writer out;
  out.bytes(base::bytes_of("vtpm-anchor-1"));
  for (int i = 0; i < 16; ++i) {
    out.u8(1);
  }
  out.u64_le(1);
  for (std::size_t i = 1; i < 63; ++i) {
    if (i == 6 || i == 11 || i == 48) {
      continue;
    }
    const auto id = static_cast<FileId>(i);
    const auto& entry = (*volume_->current().table())[id];
    out.u64_le(entry ? entry->valid_bytes : 0xFFFFFFFFFFFFFFFFU);
    out.bytes(entry ? entry->nonce : std::array<std::byte, 12>{});
    out.bytes(entry ? entry->tag : std::array<std::byte, 16>{});
    out.u32_le(entry ? entry->attributes : 0);
    out.bytes(volume_->current().extended().expose().subspan(i * 64 + 4, 60));
  }

  EXPECT_EQ(base::to_hex(digest()), base::to_hex(crypto::sha256(std::move(out).take())));
}

// Made by hand: python3 -c 'from hashlib import *; b=b"vtpm-anchor-1"+bytes(range(16))+
//   (7).to_bytes(8,"little"); b+=59*(b"\xff"*8+bytes(92)); print(sha256(b).hexdigest())'
TEST_F(StateDigestTest, OfAnEmptyStoreIsTheKnownOne) {
  format::VmId id;
  for (std::size_t i = 0; i < 16; ++i) {
    id.bytes[i] = std::byte(i);
  }

  EXPECT_EQ(base::to_hex(state_digest(id, 7, {}, {})),
            "0060ee21c06239ce8f4399aa8277f9732fd97167cfc9b4d8de43436ee582aaee");
}

TEST_F(StateDigestTest, StaysWhenTheStoreIsPackedReopenedClosedOrKeyedOtherwise) {
  const auto before = digest();

  commit(Transaction(Sequence::kKeep));
  EXPECT_EQ(digest(), before);
  ASSERT_TRUE(volume_->rekey(key_of(2), Transaction(Sequence::kKeep)));
  EXPECT_EQ(digest(), before);
  ASSERT_TRUE(volume_->close());
  EXPECT_EQ(digest(), before);
  volume_ = *Volume::open(device_, HeaderSpacing::k512);
  ASSERT_TRUE(volume_->unlock(fixed_key(key_of(2))));
  EXPECT_EQ(digest(), before);
}

TEST_F(StateDigestTest, StaysWhenAProtectorChangesComesOrGoes) {
  const auto before = digest();
  Transaction protectors(Sequence::kKeep);
  protectors.put(FileId::kKeyProtector, base::bytes_of("another one"), Protection::kPlaintext);
  protectors.put(FileId::kHwKeyProtector, base::bytes_of("of hardware"), Protection::kPlaintext);
  protectors.put(FileId::kSealedKeys, base::bytes_of("sealed"), Protection::kPlaintext);

  commit(protectors);
  EXPECT_EQ(digest(), before);

  Transaction removal(Sequence::kKeep);
  removal.remove(FileId::kKeyProtector);
  removal.remove(FileId::kHwKeyProtector);
  commit(removal);
  EXPECT_EQ(digest(), before);
}

TEST_F(StateDigestTest, ChangesWithEveryCommitOfAnInstance) {
  const auto before = digest();

  commit(Transaction());

  EXPECT_NE(digest(), before);
}

TEST_F(StateDigestTest, ChangesWithTheContentOfAnyFileEvenAtTheSameSequence) {
  for (const auto id : {FileId::kTpmNvram, FileId::kRecord}) {
    const auto before = digest();
    Transaction same_size(Sequence::kKeep);
    same_size.put(id, base::bytes_of("1234567"));
    commit(same_size);
    EXPECT_NE(digest(), before) << describe(id);
  }
  const auto before = digest();
  Transaction plaintext(Sequence::kKeep);
  plaintext.put(FileId::kVmUniqueId, base::bytes_of("an Id"), Protection::kPlaintext);
  commit(plaintext);
  EXPECT_NE(digest(), before);
}

TEST_F(StateDigestTest, ChangesWhenAFileComesGoesOrIsEmptied) {
  const auto before = digest();
  Transaction made(Sequence::kKeep);
  made.put(FileId::kAttest, {});
  commit(made);
  const auto with_empty = digest();
  EXPECT_NE(with_empty, before);

  Transaction removal(Sequence::kKeep);
  removal.remove(FileId::kAttest);
  commit(removal);
  EXPECT_EQ(digest(), before);
}

TEST_F(StateDigestTest, ChangesWithEachThingThatItCovers) {
  const auto before = digest();
  const auto id = FileId::kTpmNvram;

  EXPECT_NE(digest_with([&](auto& table, auto&) { ++table[id]->valid_bytes; }), before);
  EXPECT_NE(digest_with([&](auto& table, auto&) { table[id]->nonce[11] ^= std::byte{1}; }), before);
  EXPECT_NE(digest_with([&](auto& table, auto&) { table[id]->tag[15] ^= std::byte{1}; }), before);
  EXPECT_NE(digest_with([&](auto& table, auto&) { table[id]->attributes ^= 4U; }), before);
  EXPECT_NE(
      digest_with([&](auto&, auto& extended) { extended.set_encrypted(id, key_of(9).bytes); }),
      before);
  EXPECT_NE(digest_with([&](auto&, auto& extended) {
              format::ContentDigest other{};
              extended.set_plaintext(FileId::kVmUniqueId, other);
            }),
            before);
  // The first id and the last one.
  for (const auto other : {static_cast<FileId>(1), static_cast<FileId>(62)}) {
    EXPECT_NE(digest_with([&](auto& table, auto&) { table[other] = table[id]; }), before);
  }
  EXPECT_NE(*state_digest(vm(2), *volume_), before);
}

TEST_F(StateDigestTest, LeavesOutWhereFilesLieAndWhatTheTablesSayOfThemselves) {
  const auto before = digest();
  const auto id = FileId::kTpmNvram;

  EXPECT_EQ(digest_with([&](auto& table, auto&) { table[id]->first_block += 9; }), before);
  EXPECT_EQ(digest_with([&](auto& table, auto&) { ++table[id]->allocated_blocks; }), before);
  EXPECT_EQ(digest_with([&](auto& table, auto& extended) {
              table[FileId::kFileTable]->first_block += 9;
              table[FileId::kExtendedFileTable]->tag[0] ^= std::byte{1};
              extended.set_encrypted(FileId::kExtendedFileTable, key_of(9).bytes);
            }),
            before);
}

TEST_F(StateDigestTest, IsOnlyOfAStoreThatAnInstanceWroteAndThatIsOpen) {
  auto locked = *Volume::open(device_, HeaderSpacing::k512);
  EXPECT_EQ(state_digest(vm(1), locked).error().code, ErrorCode::kDenied);

  storage::MemoryDevice other(kStoreBytes);
  auto plaintext = *Volume::format(other, HeaderSpacing::k512, std::nullopt);
  EXPECT_EQ(state_digest(vm(1), plaintext).error().code, ErrorCode::kDenied);

  commit(Transaction(Sequence::kEdit));
  EXPECT_EQ(state_digest(vm(1), *volume_).error().code, ErrorCode::kDenied);
}

}  // namespace
}  // namespace vmgs::volume
