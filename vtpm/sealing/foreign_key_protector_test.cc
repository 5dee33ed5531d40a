// SPDX-License-Identifier: Apache-2.0
#include "vtpm/sealing/foreign_key_protector.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "keybroker/crypto/rsa_aes_wrap.h"
#include "tests/support/error_code.h"
#include "tests/support/wrapping_vectors.h"
#include "vmgs/crypto/key_wrap.h"

namespace vtpm::sealing {
namespace {

using keybroker::crypto::Hash;
using keybroker::crypto::PrivateKey;
using tests::support::error_code;
using vmgs::format::KeyProtector;
namespace vectors = tests::support::wrapping_vectors;

using Scheme = ForeignScheme;
using Keys = std::vector<std::string>;

constexpr auto kAuthentication = base::ErrorCode::kAuthentication;
constexpr auto kCorrupt = base::ErrorCode::kCorrupt;
constexpr auto kInvalidArgument = base::ErrorCode::kInvalidArgument;
constexpr auto kNotFound = base::ErrorCode::kNotFound;

// A seed and the root key from 32 zero bytes and it: a test vector of OpenVMM. From kDek and it,
// and from kDek and 64 bytes of 05: computed with Python.
constexpr std::string_view kSeed =
    "2884186cfed2504110698b45d4807288df674c4826197a986988af960562f57f";
constexpr std::string_view kRootOfSeed =
    "9db58bb70ca6cb6faae38174642176fa0ded28673076908383a01ad72ec3e23b";
constexpr std::string_view kRootOfDekAndSeed =
    "5dd99d606e8463b5d4df4e6593c383a249771143cbb513ec7cd2fc6d5905aa87";
constexpr std::string_view kRootOfDekAndOther =
    "8c7c483f47d4b2764a98d809a79207584dbc91a1f7c6831cd5f4d72e7bdefb3a";

base::Bytes bytes(std::string_view digits) { return *base::from_hex(digits); }

base::SecretBytes secret(std::string_view digits) {
  return base::SecretBytes::taking(bytes(digits));
}

base::SecretBytes other_seed() { return base::SecretBytes::taking(base::Bytes(64, std::byte{5})); }

PrivateKey kek() { return *PrivateKey::from_pkcs8(bytes(vectors::kRsa2048)); }

ForeignSources by_kek() {
  ForeignSources sources;
  sources.kek = kek();
  return sources;
}

ForeignSources by_des_key() {
  auto sources = by_kek();
  sources.wrapped_des_key = bytes(vectors::kDesKeyByRsa);
  return sources;
}

void put(KeyProtector& protector, std::size_t slot, base::ByteView wrapped) {
  std::ranges::copy(wrapped, protector.dek.at(slot).begin());
}

KeyProtector with_dek(std::string_view wrapped, std::size_t slot = 0) {
  KeyProtector protector;
  put(protector, slot, bytes(wrapped));
  return protector;
}

KeyProtector rsa_protector() { return with_dek(vectors::kDekByRsa); }

KeyProtector aes_protector() { return with_dek(vectors::kDekByDesKey); }

// The keys as unlocks would get them.
Keys opened(Scheme scheme, base::ByteView protector, const ForeignSources& sources) {
  auto keys = open_foreign(scheme, protector, sources);
  if (!keys) {
    return {keys.error().message};
  }
  Keys found;
  for (auto& key : *keys) {
    const auto datastore_key = std::move(key).source()(nullptr);
    found.push_back(base::to_hex(datastore_key->bytes.expose()));
  }
  return found;
}

Keys just(std::string_view key) { return {std::string(key)}; }

TEST(ForeignKeyProtectorTest, ADekByRsaIsTheRootKey) {
  EXPECT_EQ(opened(Scheme::kKek, encode(rsa_protector()), by_kek()), just(vectors::kDek));
  auto second = with_dek(vectors::kDekByRsa, 1);
  second.active = 3;
  EXPECT_EQ(opened(Scheme::kKek, encode(second), by_kek()), just(vectors::kDek));
  // A file of 256 bytes has no more than the first slot.
  EXPECT_EQ(opened(Scheme::kKek, bytes(vectors::kDekByRsa), by_kek()), just(vectors::kDek));
}

TEST(ForeignKeyProtectorTest, ADekByADesKeyIsTheRootKey) {
  EXPECT_EQ(opened(Scheme::kKek, encode(aes_protector()), by_des_key()), just(vectors::kDek));
  EXPECT_EQ(opened(Scheme::kKek, bytes(vectors::kDekByDesKey), by_des_key()), just(vectors::kDek));
}

TEST(ForeignKeyProtectorTest, SeedsAreMixedInEachByItsSlot) {
  auto sources = by_kek();
  sources.host_seeds[0] = secret(kSeed);
  EXPECT_EQ(opened(Scheme::kKekAndHostSeed, encode(rsa_protector()), sources),
            just(kRootOfDekAndSeed));

  auto both = rsa_protector();
  put(both, 1, bytes(vectors::kDekByRsa));
  sources.host_seeds[1] = other_seed();
  const Keys in_order{std::string(kRootOfDekAndSeed), std::string(kRootOfDekAndOther)};
  EXPECT_EQ(opened(Scheme::kKekAndHostSeed, encode(both), sources), in_order);
  both.active = 1;
  EXPECT_EQ(opened(Scheme::kKekAndHostSeed, encode(both), sources),
            (Keys{in_order[1], in_order[0]}));
}

TEST(ForeignKeyProtectorTest, SeedsAreMixedWithADesWrappedDekToo) {
  auto sources = by_des_key();
  sources.host_seeds[0] = secret(kSeed);
  sources.seed_by_id = other_seed();

  EXPECT_EQ(opened(Scheme::kKekAndHostSeed, encode(aes_protector()), sources),
            just(kRootOfDekAndSeed));
  EXPECT_EQ(opened(Scheme::kKekAndSeedById, encode(aes_protector()), sources),
            just(kRootOfDekAndOther));
}

TEST(ForeignKeyProtectorTest, AKekAndASeedById) {
  auto sources = by_kek();
  sources.seed_by_id = secret(kSeed);

  EXPECT_EQ(opened(Scheme::kKekAndSeedById, encode(rsa_protector()), sources),
            just(kRootOfDekAndSeed));
}

TEST(ForeignKeyProtectorTest, AHostSeedAloneIsTheKnownRootKey) {
  ForeignSources sources;
  sources.host_seeds[1] = secret(kSeed);
  KeyProtector protector;
  protector.gsp[1].length = 32;
  protector.active = 1;
  EXPECT_EQ(opened(Scheme::kHostSeed, encode(protector), sources), just(kRootOfSeed));
  EXPECT_EQ(opened(Scheme::kHostSeed, {}, sources), just(kRootOfSeed));
}

TEST(ForeignKeyProtectorTest, ASeedByIdIsBoundToTheGuid) {
  ForeignSources sources;
  sources.seed_by_id = secret("0101010101010101010101010101010101010101010101010101010101010101");
  const auto guid = bytes("33221100554477668899aabbccddeeff");
  std::ranges::copy(guid, sources.guid.begin());
  EXPECT_EQ(opened(Scheme::kSeedById, {}, sources),
            just("1ebbf2f1508f9b1a2ac344d566d0c703a205beeffe45e3c685912beefb13673d"));
  sources.guid[0] = std::byte{0};
  EXPECT_NE(opened(Scheme::kSeedById, {}, sources),
            just("1ebbf2f1508f9b1a2ac344d566d0c703a205beeffe45e3c685912beefb13673d"));
}

TEST(ForeignKeyProtectorTest, ALeftoverInTheEgressSlotOpensToo) {
  auto protector = rsa_protector();
  protector.active = 1;
  EXPECT_EQ(opened(Scheme::kKek, encode(protector), by_kek()), just(vectors::kDek));
  // Whatever the ingress slot holds.
  protector.dek[1].fill(std::byte{7});
  EXPECT_EQ(opened(Scheme::kKek, encode(protector), by_kek()), just(vectors::kDek));
  // And it is passed over where the host has no seed for it.
  auto sources = by_kek();
  sources.host_seeds[0] = secret(kSeed);
  auto both = rsa_protector();
  put(both, 1, bytes(vectors::kDekByRsa));
  EXPECT_EQ(opened(Scheme::kKekAndHostSeed, encode(both), sources), just(kRootOfDekAndSeed));
}

TEST(ForeignKeyProtectorTest, AnotherKekOpensNothing) {
  auto sources = by_kek();
  sources.kek = *PrivateKey::generate_rsa(2048);
  EXPECT_EQ(error_code(open_foreign(Scheme::kKek, encode(rsa_protector()), sources)),
            kAuthentication);
  sources.wrapped_des_key = bytes(vectors::kDesKeyByRsa);
  EXPECT_EQ(error_code(open_foreign(Scheme::kKek, encode(aes_protector()), sources)),
            kAuthentication);
  // A DES key that is not the one that wrapped.
  sources = by_kek();
  sources.wrapped_des_key = bytes(vectors::kDekByRsa);
  EXPECT_EQ(error_code(open_foreign(Scheme::kKek, encode(aes_protector()), sources)),
            kAuthentication);
}

TEST(ForeignKeyProtectorTest, EmptySlotsAreNotFound) {
  EXPECT_EQ(error_code(open_foreign(Scheme::kKek, encode(KeyProtector{}), by_kek())), kNotFound);
  EXPECT_EQ(error_code(open_foreign(Scheme::kKek, {}, by_des_key())), kNotFound);
}

TEST(ForeignKeyProtectorTest, HostileSizesAreErrors) {
  // A seed longer than its buffer, and too long a file.
  auto raw = encode(rsa_protector());
  raw[0x402] = std::byte{1};
  EXPECT_EQ(error_code(open_foreign(Scheme::kKek, raw, by_kek())), kCorrupt);
  EXPECT_EQ(error_code(open_foreign(Scheme::kKek, base::Bytes(2061), by_kek())), kCorrupt);
  // RSA needs 256 bytes, and DES 40.
  EXPECT_EQ(error_code(open_foreign(Scheme::kKek, base::Bytes(255, std::byte{1}), by_kek())),
            kCorrupt);
  EXPECT_EQ(error_code(open_foreign(Scheme::kKek, base::Bytes(39, std::byte{1}), by_des_key())),
            kCorrupt);
  // An RSA wrapping where a DES key is in use.
  EXPECT_EQ(error_code(open_foreign(Scheme::kKek, encode(rsa_protector()), by_des_key())),
            kCorrupt);
  // A DES key of a wrong length.
  auto sources = by_des_key();
  sources.wrapped_des_key.push_back(std::byte{0});
  EXPECT_EQ(error_code(open_foreign(Scheme::kKek, encode(aes_protector()), sources)), kCorrupt);
  // What is encrypted to the KEK has five bytes.
  EXPECT_EQ(
      error_code(open_foreign(Scheme::kKek, encode(with_dek(vectors::kOaepSha256)), by_kek())),
      kCorrupt);
}

TEST(ForeignKeyProtectorTest, SourcesMustBeThereAndOfTheirSize) {
  EXPECT_EQ(error_code(open_foreign(Scheme::kKek, encode(rsa_protector()), {})), kInvalidArgument);
  auto sources = by_kek();
  EXPECT_EQ(error_code(open_foreign(Scheme::kKekAndHostSeed, encode(rsa_protector()), sources)),
            kInvalidArgument);
  EXPECT_EQ(error_code(open_foreign(Scheme::kKekAndSeedById, encode(rsa_protector()), sources)),
            kInvalidArgument);
  EXPECT_EQ(error_code(open_foreign(Scheme::kHostSeed, {}, sources)), kInvalidArgument);
  EXPECT_EQ(error_code(open_foreign(Scheme::kSeedById, {}, sources)), kInvalidArgument);
  sources.seed_by_id = base::SecretBytes(65);
  sources.host_seeds[0] = base::SecretBytes(65);
  for (const auto scheme :
       {Scheme::kKekAndHostSeed, Scheme::kKekAndSeedById, Scheme::kHostSeed, Scheme::kSeedById}) {
    EXPECT_EQ(error_code(open_foreign(scheme, encode(rsa_protector()), sources)), kInvalidArgument);
  }
  sources.kek = *PrivateKey::generate_ec(keybroker::crypto::Curve::kP384);
  EXPECT_EQ(error_code(open_foreign(Scheme::kKek, encode(rsa_protector()), sources)),
            kInvalidArgument);
}

base::Bytes release(std::string_view head) {
  auto blob = bytes(head);
  const auto tail = bytes(vectors::kReleaseTail);
  blob.insert(blob.end(), tail.begin(), tail.end());
  return blob;
}

TEST(ReleasedKekTest, OpensAnAnswerByEitherHash) {
  const auto by_sha1 = open_released_kek(kek(), Hash::kSha1, release(vectors::kReleaseHeadSha1));
  const auto by_sha384 =
      open_released_kek(kek(), Hash::kSha384, release(vectors::kReleaseHeadSha384));

  ASSERT_TRUE(by_sha1) << by_sha1.error().message;
  ASSERT_TRUE(by_sha384) << by_sha384.error().message;
  EXPECT_TRUE(by_sha1->public_key() == kek().public_key());
  EXPECT_TRUE(by_sha384->public_key() == kek().public_key());
}

TEST(ReleasedKekTest, AnotherHashKeyOrByteDoesNotOpen) {
  auto blob = release(vectors::kReleaseHeadSha384);
  EXPECT_EQ(error_code(open_released_kek(kek(), Hash::kSha1, blob)), kAuthentication);
  const auto other = *PrivateKey::generate_rsa(2048);
  EXPECT_EQ(error_code(open_released_kek(other, Hash::kSha384, blob)), kAuthentication);
  for (const std::size_t at : {std::size_t{10}, std::size_t{256}, blob.size() - 1}) {
    blob[at] ^= std::byte{1};
    EXPECT_EQ(error_code(open_released_kek(kek(), Hash::kSha384, blob)), kAuthentication) << at;
    blob[at] ^= std::byte{1};
  }
  for (const std::size_t size : {0U, 255U, 256U, 257U, 271U}) {
    EXPECT_EQ(error_code(open_released_kek(kek(), Hash::kSha384, base::ByteView(blob).first(size))),
              kCorrupt)
        << size;
  }
}

TEST(ReleasedKekTest, OnlyAnRsaKeyIsAKek) {
  const auto wrap = [](std::span<const std::byte> plaintext) {
    return *keybroker::crypto::wrap_rsa_aes(kek().public_key(), Hash::kSha384, plaintext);
  };
  const auto curve = *PrivateKey::generate_ec(keybroker::crypto::Curve::kP384);
  EXPECT_EQ(error_code(open_released_kek(kek(), Hash::kSha384, wrap(curve.to_pkcs8()->expose()))),
            kCorrupt);
  EXPECT_EQ(error_code(open_released_kek(kek(), Hash::kSha384, wrap(base::Bytes(32)))), kCorrupt);
  EXPECT_TRUE(open_released_kek(kek(), Hash::kSha384, wrap(kek().to_pkcs8()->expose())));
}

}  // namespace
}  // namespace vtpm::sealing
