// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/support/error_code.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/format/swtpm_blob.h"

namespace vmgs::format {
namespace {

using base::ErrorCode;
using tests::support::error_code;

// A file of tests/data/swtpm, whose README says how swtpm was made to write it.
base::Bytes of_swtpm(const std::string& name) {
  std::ifstream file(std::string(STRONGROOM_TEST_DATA) + "/swtpm/" + name, std::ios::binary);
  const std::string content((std::istreambuf_iterator<char>(file)), {});
  EXPECT_FALSE(content.empty()) << name;
  return base::copy_of(base::bytes_of(content));
}

SwtpmKey counting_key(SwtpmCipher cipher) {
  base::Bytes bytes(static_cast<std::size_t>(cipher));
  std::generate(bytes.begin(), bytes.end(),
                [next = 0]() mutable { return static_cast<std::byte>(next++); });
  return *SwtpmKey::from_binary(bytes, cipher);
}

SwtpmKey passphrase_key(SwtpmKdf kdf) {
  return *SwtpmKey::from_passphrase(base::bytes_of("correct horse"), kdf, SwtpmCipher::kAes256Cbc);
}

class SwtpmSealedBlobTest : public testing::Test {
 protected:
  const SwtpmKey key_128_ = counting_key(SwtpmCipher::kAes128Cbc);
  const SwtpmKey key_256_ = counting_key(SwtpmCipher::kAes256Cbc);
  const SwtpmKey pbkdf2_ = passphrase_key(SwtpmKdf::kPbkdf2);
  const SwtpmKey sha512_ = passphrase_key(SwtpmKdf::kSha512);
};

std::string digest_of(const base::Result<OpenedSwtpmBlob>& opened) {
  return opened ? base::to_hex(crypto::sha256(opened->state.expose())) : opened.error().message;
}

// The digests were computed by Python and the openssl program.
TEST_F(SwtpmSealedBlobTest, ReadsFilesThatSwtpmEncrypted) {
  EXPECT_EQ(digest_of(open_swtpm_blob(of_swtpm("key-128.permall"), {.file = &key_128_})),
            "ea46dc3c8ade24fa9cb8d21317d132c6aba1e714f60c4c36a67bec0cb3672a29");
  EXPECT_EQ(digest_of(open_swtpm_blob(of_swtpm("passphrase-256.permall"), {.file = &pbkdf2_})),
            "9fbb02e5ea8f004a98f709204465da7ffdd12ce71b398342f1bb904536fe2c79");
  EXPECT_EQ(digest_of(open_swtpm_blob(of_swtpm("sha512-256.permall"), {.file = &sha512_})),
            "ca860577a1866d65fd042b4f08f09bc0c403956d3dfdf014f669f71c48b9de79");
}

// A digest and the state, encrypted without an IV: made by Python's hashlib and the openssl
// program.
TEST_F(SwtpmSealedBlobTest, ReadsVersionOneWithItsKeyOnly) {
  auto travelled = *base::from_hex(
      "0101000a00020000003a3eac75954651cea61f0e9d8bbad0f058b382a89ca8df70519ddeeda2dcfc9d4fbccfe005"
      "cd"
      "e5a915ddd8f820ad040e26");
  const auto file = *base::from_hex(
      "0101000a00010000004a8e4d37ae9afdc005ee7fb9b008cac67cac0bff54341f74617113f616c54bd02228c1ef80"
      "a1"
      "511f1ad02ba6ac9c655c9c75de5831b3ef6d3733950086e378a95d");
  const auto plain = *base::from_hex("0101000a00000000000ccafe");

  const auto opened = open_swtpm_blob(travelled, {.migration = &key_128_});
  const auto opened_file = open_swtpm_blob(file, {.file = &key_256_});
  const auto opened_plain = open_swtpm_blob(plain, {});

  ASSERT_TRUE(opened && opened_file && opened_plain);
  EXPECT_EQ(base::to_hex(opened->state.expose()), "cafe");
  EXPECT_TRUE(opened->under_migration_key);
  EXPECT_EQ(base::to_hex(opened_file->state.expose()), "cafe");
  EXPECT_EQ(base::to_hex(opened_plain->state.expose()), "cafe");
  EXPECT_EQ(error_code(open_swtpm_blob(travelled, {.file = &key_128_})), ErrorCode::kNotFound);
  EXPECT_EQ(error_code(open_swtpm_blob(travelled, {.migration = &key_256_})),
            ErrorCode::kAuthentication);
  travelled[20] ^= std::byte{1};
  EXPECT_EQ(error_code(open_swtpm_blob(travelled, {.migration = &key_128_})),
            ErrorCode::kAuthentication);
  travelled.resize(25);
  travelled[9] = std::byte{25};
  EXPECT_EQ(error_code(open_swtpm_blob(travelled, {.migration = &key_128_})), ErrorCode::kCorrupt);
}

TEST_F(SwtpmSealedBlobTest, ReadsBlobsThatSwtpmEncrypted) {
  EXPECT_EQ(
      digest_of(open_swtpm_blob(of_swtpm("migration-key-128.blob"), {.migration = &key_128_})),
      "45a806d2af2952d8c546c57d898e2e7923ab1884918e4b93e0db9adeda8d05fc");
  EXPECT_EQ(
      digest_of(open_swtpm_blob(of_swtpm("migration-key-256.blob"), {.migration = &key_256_})),
      "5663b423d9f5569e73a5ed3065556707f0a2c07473008a2781a9b6ae71c68ab9");
  const auto both =
      open_swtpm_blob(of_swtpm("both-keys-256.blob"), {.file = &sha512_, .migration = &key_256_});
  EXPECT_EQ(digest_of(both), "ca860577a1866d65fd042b4f08f09bc0c403956d3dfdf014f669f71c48b9de79");
  EXPECT_TRUE(both->under_file_key);
  EXPECT_TRUE(both->under_migration_key);
  EXPECT_EQ(both->use, SwtpmUse::kMigration);
}

TEST_F(SwtpmSealedBlobTest, ReadsWhatIsNotEncryptedWhateverKeysThereAre) {
  for (const char* name : {"tpm2-00.permall", "permanent.blob"}) {
    const auto bytes = of_swtpm(name);
    const auto opened = open_swtpm_blob(bytes, {.file = &key_128_, .migration = &key_256_});

    ASSERT_TRUE(opened) << name << opened.error().message;
    EXPECT_TRUE(std::ranges::equal(opened->state.expose(), decode_swtpm_blob(bytes)->state));
    EXPECT_FALSE(opened->under_file_key);
    EXPECT_FALSE(opened->under_migration_key);
  }
}

TEST_F(SwtpmSealedBlobTest, NamesTheKeyThatIsMissing) {
  EXPECT_EQ(error_code(open_swtpm_blob(of_swtpm("key-128.permall"), {.migration = &key_128_})),
            ErrorCode::kNotFound);
  EXPECT_EQ(error_code(open_swtpm_blob(of_swtpm("migration-key-128.blob"), {.file = &key_128_})),
            ErrorCode::kNotFound);
  EXPECT_EQ(error_code(open_swtpm_blob(of_swtpm("both-keys-256.blob"), {.migration = &key_256_})),
            ErrorCode::kNotFound);
}

TEST_F(SwtpmSealedBlobTest, TakesTheSendersWordThatABlobIsUnderTheFileKey) {
  const auto plain = of_swtpm("permanent.blob");

  EXPECT_EQ(error_code(open_swtpm_blob(plain, {}, true)), ErrorCode::kNotFound);
  EXPECT_EQ(error_code(open_swtpm_blob(plain, {.file = &key_128_}, true)), ErrorCode::kCorrupt);
}

TEST_F(SwtpmSealedBlobTest, TellsAWrongKeyFromAKeyOfTheWrongSize) {
  EXPECT_EQ(error_code(open_swtpm_blob(of_swtpm("sha512-256.permall"), {.file = &pbkdf2_})),
            ErrorCode::kAuthentication);
  EXPECT_EQ(error_code(open_swtpm_blob(of_swtpm("sha512-256.permall"), {.file = &key_128_})),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(open_swtpm_blob(of_swtpm("key-128.permall"), {.file = &sha512_})),
            ErrorCode::kInvalidArgument);
}

TEST_F(SwtpmSealedBlobTest, NoticesEveryChangedByte) {
  const auto written = of_swtpm("key-128.permall");
  for (std::size_t at = 0; at < written.size(); at += at < 40 || at > 1320 ? 1 : 97) {
    auto bytes = written;
    bytes[at] ^= std::byte{1};
    // The header is not under the MAC: of it, versions that can be read and flags that mean nothing
    // say nothing here.
    if (at == 0 || at == 1 || at == 4) {
      continue;
    }
    EXPECT_FALSE(open_swtpm_blob(bytes, {.file = &key_128_})) << at;
  }
}

// What is encrypted with IV and MAC left out or cut, as somebody could who has no key.
TEST_F(SwtpmSealedBlobTest, RejectsRecordsThatAreNotThere) {
  const auto cut_to = [](std::size_t size) {
    auto bytes = of_swtpm("key-128.permall");
    bytes.resize(size);
    bytes[8] = static_cast<std::byte>(size >> 8);
    bytes[9] = static_cast<std::byte>(size & 0xff);
    return bytes;
  };
  constexpr std::size_t kIvRecord = 6 + 16;
  constexpr std::size_t kMacRecord = 6 + 32;

  EXPECT_EQ(error_code(open_swtpm_blob(cut_to(1388 - kIvRecord), {.file = &key_128_})),
            ErrorCode::kAuthentication);
  EXPECT_EQ(error_code(open_swtpm_blob(cut_to(1388 - kIvRecord - kMacRecord), {.file = &key_128_})),
            ErrorCode::kCorrupt);
}

TEST_F(SwtpmSealedBlobTest, ReadsWhatItWrites) {
  const SwtpmKeys keys[] = {{},
                            {.file = &key_128_},
                            {.file = &key_256_},
                            {.migration = &key_128_},
                            {.file = &key_256_, .migration = &key_128_}};
  for (const std::size_t size : {0U, 1U, 15U, 16U, 17U, 31U, 32U, 33U, 1299U}) {
    const base::Bytes state(size, std::byte{0x5a});
    for (const auto& some : keys) {
      const auto file = open_swtpm_blob(seal_swtpm_file(state, some)->expose(), some);
      const auto under = open_swtpm_blob(
          seal_swtpm_travel(state, some, SwtpmTravel::kUnderFileKey)->expose(), some);
      const auto off =
          open_swtpm_blob(seal_swtpm_travel(state, some, SwtpmTravel::kFileKeyTakenOff)->expose(),
                          {.migration = some.migration});

      for (const auto* opened : {&file, &under, &off}) {
        ASSERT_TRUE(*opened) << size << (*opened).error().message;
        EXPECT_TRUE(std::ranges::equal((*opened)->state.expose(), state)) << size;
      }
      EXPECT_EQ(file->under_file_key, some.file != nullptr);
      EXPECT_EQ(under->under_file_key, some.file != nullptr);
      EXPECT_EQ(under->under_migration_key, some.migration != nullptr);
      EXPECT_FALSE(off->under_file_key);
    }
  }
}

TEST_F(SwtpmSealedBlobTest, WritesTheLayoutOfSwtpmWithAFreshIv) {
  const auto theirs = of_swtpm("key-128.permall");
  const auto state = open_swtpm_blob(theirs, {.file = &key_128_});
  ASSERT_TRUE(state);

  const auto first = seal_swtpm_file(state->state.expose(), {.file = &key_128_});
  const auto second = seal_swtpm_file(state->state.expose(), {.file = &key_128_});

  ASSERT_TRUE(first && second);
  ASSERT_EQ(first->size(), theirs.size());
  // Header and the heads of the three records are as swtpm has them; what is encrypted is not.
  EXPECT_TRUE(std::ranges::equal(first->expose().first(16), base::ByteView(theirs).first(16)));
  EXPECT_TRUE(std::ranges::equal(first->expose().subspan(1328, 6),
                                 base::ByteView(theirs).subspan(1328, 6)));
  EXPECT_TRUE(std::ranges::equal(first->expose().subspan(1366, 6),
                                 base::ByteView(theirs).subspan(1366, 6)));
  EXPECT_FALSE(
      std::ranges::equal(first->expose().subspan(16, 16), second->expose().subspan(16, 16)));
  EXPECT_FALSE(std::ranges::equal(first->expose().last(16), second->expose().last(16)));
}

}  // namespace
}  // namespace vmgs::format
