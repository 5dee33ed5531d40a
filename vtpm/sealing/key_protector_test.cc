// SPDX-License-Identifier: Apache-2.0
#include "vtpm/sealing/key_protector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <concepts>
#include <type_traits>

#include "tests/support/error_code.h"
#include "vmgs/storage/memory.h"
#include "vmgs/volume/volume.h"
#include "vtpm/sealing/sealed_keys.h"

namespace vtpm::sealing {
namespace {

using ::testing::HasSubstr;
using tests::support::error_code;
using vmgs::format::FileId;
using vmgs::format::HeaderSpacing;
using vmgs::format::KeyProtector;
using vmgs::volume::Volume;

constexpr auto kAuthentication = base::ErrorCode::kAuthentication;
constexpr auto kCorrupt = base::ErrorCode::kCorrupt;

// What was found opens and never seals.
static_assert(!std::is_convertible_v<IngressKey, DatastoreKey>);
static_assert(!std::is_constructible_v<DatastoreKey, IngressKey>);
static_assert(!std::is_constructible_v<EgressKey, IngressKey>);
static_assert(!std::is_constructible_v<EgressKey, DatastoreKey>);
static_assert(!std::is_constructible_v<EgressKey, base::Secret<32>>);
static_assert(!std::is_default_constructible_v<EgressKey>);
static_assert(!std::is_copy_constructible_v<EgressKey>);
static_assert(!std::is_copy_constructible_v<IngressKey>);

template <typename Key>
concept CanRekey = requires(Volume& volume, Key key, const vmgs::volume::Transaction& transaction) {
  volume.rekey(std::move(key), transaction);
};

template <typename Key>
concept CanBeWrapped = requires(const Key& key, const VmKey& vm_key) {
  wrap_dek(key, vm_key, KeyProtector{});
};

template <typename Key>
concept CanBeSealed = requires(const Key& key, tee::Tee& tee, vmgs::format::VmId id) {
  seal(key, tee, id);
};

static_assert(CanRekey<DatastoreKey> && CanBeSealed<DatastoreKey> && CanBeWrapped<EgressKey>);
static_assert(!CanRekey<IngressKey> && !CanBeSealed<IngressKey> && !CanBeWrapped<IngressKey>);
static_assert(!CanBeWrapped<DatastoreKey>);

VmKey vm_key(int fill = 0x55) {
  base::Bytes bytes(32, static_cast<std::byte>(fill));
  return {base::Secret<32>::copy_of(std::span(bytes).first<32>())};
}

base::Result<base::Bytes> no_file(FileId) {
  return base::fail(base::ErrorCode::kNotFound, "no such file");
}

// The key as an unlock would get it.
std::string hex_of(base::Result<IngressKey> key) {
  if (!key) {
    return key.error().message;
  }
  const auto source = std::move(*key).source();
  const auto found = source(no_file);
  return found ? base::to_hex(found->bytes.expose()) : found.error().message;
}

std::string hex_of(const EgressKey& key) { return base::to_hex(key.bytes().expose()); }

KeyProtector decoded(base::ByteView bytes) {
  return *vmgs::format::decode_key_protector(bytes, vmgs::format::DekWrapping::kAesKeyWrap);
}

TEST(RootKeyTest, EveryEgressKeyIsFresh) {
  const auto first = *EgressKey::draw();
  const auto second = *EgressKey::draw();

  EXPECT_NE(hex_of(first), hex_of(second));
  EXPECT_FALSE(first.bytes().is_all_zero());
  EXPECT_TRUE(first.datastore_key().bytes.equals_in_constant_time(first.bytes()));
}

TEST(RootKeyTest, ASourceMayBeAskedForEachGeneration) {
  const auto key = *EgressKey::draw();
  const auto source = IngressKey(base::Secret<32>::copy_of(key.bytes().expose())).source();

  for (int i = 0; i < 2; ++i) {
    const auto found = source(no_file);
    ASSERT_TRUE(found);
    EXPECT_EQ(base::to_hex(found->bytes.expose()), hex_of(key));
  }
}

TEST(RootKeyTest, AKeyOfZerosOpensNothing) {
  const auto found = IngressKey(base::Secret<32>::zero()).source()(no_file);

  EXPECT_EQ(error_code(found), kCorrupt);
}

TEST(KeyProtectorTest, WhatWasWrappedOpens) {
  const auto key = *EgressKey::draw();
  const auto file = wrap_dek(key, vm_key(), {});

  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->size(), 2060U);
  EXPECT_EQ(hex_of(unwrap_dek(*file, vm_key())), hex_of(key));
  EXPECT_TRUE(prove_dek(*file, vm_key(), key));
  EXPECT_EQ(error_code(prove_dek(*file, vm_key(), *EgressKey::draw())), kAuthentication);
}

TEST(KeyProtectorTest, ARotationMovesOnAndLeavesNothing) {
  KeyProtector previous;
  previous.dek[0].fill(std::byte{0xEE});
  previous.dek[1].fill(std::byte{0xEE});
  previous.gsp[0].length = 5;
  previous.gsp[1].buffer.fill(std::byte{0xEE});
  previous.active = 6;
  const auto key = *EgressKey::draw();

  const auto next = decoded(*wrap_dek(key, vm_key(), previous));

  EXPECT_EQ(next.active, 7U);
  EXPECT_EQ(next.ingress(), 1U);
  EXPECT_TRUE(next.has_dek(1));
  EXPECT_TRUE(base::is_all_zero(base::ByteView(next.dek[1]).subspan(40)));
  EXPECT_FALSE(next.has_dek(0));
  EXPECT_EQ(next.gsp[0], KeyProtector::HostSeed{});
  EXPECT_EQ(next.gsp[1], KeyProtector::HostSeed{});
}

TEST(KeyProtectorTest, TheActiveIndexWrapsAround) {
  KeyProtector previous;
  previous.active = 0xFFFFFFFF;
  const auto key = *EgressKey::draw();
  const auto file = *wrap_dek(key, vm_key(), previous);

  EXPECT_EQ(decoded(file).active, 0U);
  EXPECT_EQ(hex_of(unwrap_dek(file, vm_key())), hex_of(key));
}

TEST(KeyProtectorTest, TheIngressSlotGoesFirstThenTheEgressSlot) {
  const auto old_key = *EgressKey::draw();
  const auto new_key = *EgressKey::draw();
  auto both = decoded(*wrap_dek(new_key, vm_key(), {}));
  const auto older = decoded(*wrap_dek(old_key, vm_key(), both));
  both.dek[both.egress()] = older.dek[older.ingress()];
  EXPECT_EQ(hex_of(unwrap_dek(encode(both), vm_key())), hex_of(new_key));

  both.dek[both.ingress()][3] ^= std::byte{1};
  EXPECT_EQ(hex_of(unwrap_dek(encode(both), vm_key())), hex_of(old_key));
  both.dek[both.ingress()].fill(std::byte{0});
  EXPECT_EQ(hex_of(unwrap_dek(encode(both), vm_key())), hex_of(old_key));
}

TEST(KeyProtectorTest, AnotherVmsKeyOpensNothing) {
  const auto file = *wrap_dek(*EgressKey::draw(), vm_key(), {});

  EXPECT_EQ(error_code(unwrap_dek(file, vm_key(0x56))), kAuthentication);
}

TEST(KeyProtectorTest, EmptySlotsAreNotFound) {
  EXPECT_EQ(error_code(unwrap_dek(encode(KeyProtector{}), vm_key())), base::ErrorCode::kNotFound);
}

TEST(KeyProtectorTest, WhatOnlyOthersWriteIsNotOurs) {
  const auto ours = decoded(*wrap_dek(*EgressKey::draw(), vm_key(), {}));
  for (const std::size_t slot : {0U, 1U}) {
    auto with_seed = ours;
    with_seed.gsp[slot].length = 1;
    const auto opened = unwrap_dek(encode(with_seed), vm_key());
    ASSERT_EQ(error_code(opened), kCorrupt);
    EXPECT_THAT(opened.error().message, HasSubstr("another maker"));
  }
  auto longer = ours;
  longer.dek[ours.ingress()][40] = std::byte{1};
  EXPECT_EQ(error_code(unwrap_dek(encode(longer), vm_key())), kCorrupt);
  EXPECT_EQ(error_code(unwrap_dek({}, vm_key())), kCorrupt);
  EXPECT_EQ(error_code(unwrap_dek(base::Bytes(2061), vm_key())), kCorrupt);
}

TEST(KeyProtectorTest, AStoreOpensByTheVmsKeyAndIsRekeyed) {
  vmgs::storage::MemoryDevice device(4 << 20);
  const auto first = *EgressKey::draw();
  const auto file = *wrap_dek(first, vm_key(), {});
  vmgs::volume::Transaction birth;
  birth.put(FileId::kKeyProtector, file, vmgs::volume::Protection::kPlaintext);
  ASSERT_TRUE(Volume::format(device, HeaderSpacing::k512, first.datastore_key(), birth));

  auto volume = *Volume::open(device, HeaderSpacing::k512);
  EXPECT_EQ(error_code(volume.unlock(dek_source(vm_key(0x56)))), kAuthentication);
  ASSERT_TRUE(volume.unlock(dek_source(vm_key())));
  const auto second = *EgressKey::draw();
  const auto next = *wrap_dek(second, vm_key(), decoded(file));
  ASSERT_TRUE(prove_dek(next, vm_key(), second));
  vmgs::volume::Transaction rotation;
  rotation.put(FileId::kKeyProtector, next, vmgs::volume::Protection::kPlaintext);
  ASSERT_TRUE(volume.rekey(second.datastore_key(), rotation));

  auto again = *Volume::open(device, HeaderSpacing::k512);
  EXPECT_TRUE(again.unlock(dek_source(vm_key())));
  auto old = *Volume::open(device, HeaderSpacing::k512);
  EXPECT_FALSE(old.unlock(vmgs::volume::fixed_key(first.datastore_key())));
}

}  // namespace
}  // namespace vtpm::sealing
