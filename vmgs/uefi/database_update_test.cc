// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/database_update.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_code.h"
#include "vmgs/uefi/authenticated_update.h"
#include "vmgs/uefi/signature_list.h"

namespace vmgs::uefi {
namespace {

using base::ErrorCode;
using testing::ElementsAre;
using testing::HasSubstr;
using tests::support::error_code;

base::Bytes lists(const Guid& type, std::vector<std::uint8_t> values) {
  SignatureList list;
  list.type = type;
  list.signature_bytes = kOwnerBytes + 32;
  for (const auto value : values) {
    list.signatures.emplace_back(list.signature_bytes, std::byte{value});
  }
  return encode_signature_lists({list});
}

base::Bytes hashes(std::vector<std::uint8_t> values) {
  return lists(kSha256Signature, std::move(values));
}

base::Bytes certificate(std::uint8_t value) { return lists(kX509Signature, {value}); }

// What a certificate() is without its owner.
base::Bytes der(std::uint8_t value) { return base::Bytes(32, std::byte{value}); }

base::Bytes signed_update(std::uint8_t day, base::Bytes payload) {
  AuthenticatedUpdate update;
  update.time = {std::byte{0xea}, std::byte{0x07}, std::byte{1}, std::byte{day}};
  update.signed_data = base::Bytes(8, std::byte{0x30});
  update.payload = std::move(payload);
  return encode(update);
}

class DatabaseUpdateTest : public testing::Test {
 protected:
  DatabaseUpdateTest() {
    enrol("PK", certificate(1));
    enrol("KEK", certificate(2));
    enrol("dbx", hashes({10, 11}));
  }

  void enrol(std::string_view name, base::Bytes content) {
    Variable variable;
    const auto database = *find_database(name);
    variable.vendor = database.vendor;
    variable.name = database.name;
    variable.attributes = 0x27;
    variable.timestamp = {2026, 1, 5, 0, 0, 0};
    variable.data = std::move(content);
    ASSERT_TRUE(store_.set(std::move(variable)));
  }

  base::Result<UpdateOutcome> update(std::string_view name, base::Bytes bytes,
                                     std::optional<UpdateMode> mode = std::nullopt,
                                     bool checked = true) {
    DatabaseUpdate wanted{*find_database(name), std::move(bytes), mode, nullptr};
    if (checked) {
      wanted.check = [this](base::ByteView, base::ByteView content,
                            const std::vector<base::Bytes>& certificates) {
        asked_ = certificates;
        return judge(content);
      };
    }
    return update_database(store_, wanted);
  }

  // The signature is over a call with these attributes.
  base::Result<std::string> judge(base::ByteView content) const {
    for (const std::string name : {"dbx", "KEK", "PK"}) {
      const auto at = 2 * name.size() + sizeof(Guid);
      if (text_of(*decode_name_start(content, name.size())) == name &&
          std::to_integer<std::uint32_t>(content[at]) == signed_attributes_) {
        return std::string("CN=signer");
      }
    }
    return base::fail(ErrorCode::kAuthentication, "it does not hold");
  }

  static base::Result<std::u16string> decode_name_start(base::ByteView content, std::size_t units) {
    auto bytes = base::copy_of(content.first(2 * units));
    bytes.resize(bytes.size() + 2);
    return decode_name(bytes);
  }

  [[nodiscard]] const Variable* find(std::string_view name) const {
    const auto database = *find_database(name);
    return store_.find(database.vendor, database.name);
  }

  VariableStore store_ = *VariableStore::open(StoreForm::kBiosNvram, {});
  std::uint32_t signed_attributes_ = 0x67;
  std::vector<base::Bytes> asked_;
};

TEST_F(DatabaseUpdateTest, AppendsWhatBareListsHaveWithoutDuplicates) {
  const auto outcome = *update("dbx", hashes({11, 12}));

  EXPECT_EQ(outcome.before, 2U);
  EXPECT_EQ(outcome.added, 1U);
  EXPECT_EQ(outcome.known, 1U);
  EXPECT_EQ(outcome.after, 3U);
  EXPECT_FALSE(outcome.is_signed);
  EXPECT_EQ(count(*decode_signature_lists(find("dbx")->data)), 3U);
  EXPECT_EQ(find("dbx")->timestamp.day, 5);
}

TEST_F(DatabaseUpdateTest, ChangesNothingWhereEverythingIsThere) {
  const auto before = store_.content();

  EXPECT_TRUE(update("dbx", hashes({11, 10}))->changes_nothing());
  EXPECT_EQ(store_.content(), before);
}

TEST_F(DatabaseUpdateTest, AsksForTheKeyThatHasToHaveSigned) {
  ASSERT_TRUE(update("dbx", signed_update(6, hashes({12}))));
  EXPECT_THAT(asked_, ElementsAre(der(2)));
  ASSERT_TRUE(update("KEK", signed_update(6, certificate(3))));
  EXPECT_THAT(asked_, ElementsAre(der(1)));
}

TEST_F(DatabaseUpdateTest, FindsOutWhetherTheSignatureIsOverAnAppend) {
  const auto appended = *update("dbx", signed_update(6, hashes({12})));
  EXPECT_EQ(appended.mode, UpdateMode::kAppend);
  EXPECT_EQ(appended.signed_by, "CN=signer");
  EXPECT_EQ(find("dbx")->timestamp.day, 6);

  signed_attributes_ = 0x27;
  const auto replaced = *update("dbx", signed_update(7, hashes({13})));
  EXPECT_EQ(replaced.mode, UpdateMode::kReplace);
  EXPECT_EQ(replaced.after, 1U);
  EXPECT_EQ(count(*decode_signature_lists(find("dbx")->data)), 1U);
  EXPECT_EQ(find("dbx")->timestamp.day, 7);
}

TEST_F(DatabaseUpdateTest, RefusesASignatureThatDoesNotHold) {
  signed_attributes_ = 0x07;
  const auto before = store_.content();

  const auto refused = update("dbx", signed_update(6, hashes({12})));

  ASSERT_EQ(error_code(refused), ErrorCode::kAuthentication);
  EXPECT_THAT(refused.error().message, HasSubstr("dbx"));
  EXPECT_EQ(store_.content(), before);
  EXPECT_EQ(error_code(update("dbx", signed_update(6, hashes({12})), UpdateMode::kReplace)),
            ErrorCode::kAuthentication);
}

TEST_F(DatabaseUpdateTest, LooksAtNoSignatureWhereItIsToldNotTo) {
  signed_attributes_ = 0x07;

  const auto outcome = update("dbx", signed_update(6, hashes({12})), std::nullopt, false);

  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->mode, UpdateMode::kAppend);
  EXPECT_TRUE(outcome->is_signed);
  EXPECT_EQ(outcome->signed_by, "");
}

TEST_F(DatabaseUpdateTest, RefusesAReplacementThatIsNotYounger) {
  signed_attributes_ = 0x27;

  EXPECT_EQ(error_code(update("dbx", signed_update(5, hashes({12})))), ErrorCode::kDenied);
  EXPECT_EQ(error_code(update("dbx", signed_update(4, hashes({12})))), ErrorCode::kDenied);
  EXPECT_TRUE(update("dbx", signed_update(6, hashes({12}))));
}

TEST_F(DatabaseUpdateTest, AppendsAnOlderUpdateAndKeepsTheTime) {
  ASSERT_TRUE(update("dbx", signed_update(4, hashes({12}))));

  EXPECT_EQ(find("dbx")->timestamp.day, 5);
}

TEST_F(DatabaseUpdateTest, ReplacesThePlatformKeyByOneCertificateOnly) {
  EXPECT_EQ(error_code(update("PK", lists(kX509Signature, {3, 4}))), ErrorCode::kDenied);
  EXPECT_EQ(error_code(update("PK", hashes({3}))), ErrorCode::kDenied);
  EXPECT_EQ(error_code(update("PK", certificate(3), UpdateMode::kAppend)), ErrorCode::kDenied);
  ASSERT_TRUE(update("PK", certificate(3)));
  EXPECT_EQ(find("PK")->data, certificate(3));
}

TEST_F(DatabaseUpdateTest, TakesTheFirstPlatformKeyByItsOwnSignature) {
  ASSERT_TRUE(store_.remove(kGlobalVariable, u"PK"));
  signed_attributes_ = 0x27;

  ASSERT_TRUE(update("PK", signed_update(6, certificate(7))));

  EXPECT_THAT(asked_, ElementsAre(der(7)));
}

TEST_F(DatabaseUpdateTest, WantsNoSignatureOfOthersInSetupMode) {
  ASSERT_TRUE(store_.remove(kGlobalVariable, u"PK"));

  EXPECT_TRUE(update("dbx", signed_update(6, hashes({12}))));

  EXPECT_TRUE(asked_.empty());
}

TEST_F(DatabaseUpdateTest, RemovesAPlatformKeyThatIsReplacedByNothing) {
  signed_attributes_ = 0x27;

  ASSERT_TRUE(update("PK", signed_update(6, {})));

  EXPECT_EQ(find("PK"), nullptr);
}

TEST_F(DatabaseUpdateTest, RefusesWhatIsNoUpdate) {
  EXPECT_EQ(error_code(update("dbx", base::Bytes(50, std::byte{3}))), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(find_database("DBX")), ErrorCode::kInvalidArgument);
}

TEST_F(DatabaseUpdateTest, RefusesListsThatFirmwareRefuses) {
  const auto before = store_.content();
  SignatureList list;
  list.type = kSha256Signature;
  list.signature_bytes = kOwnerBytes + 20;
  list.signatures.emplace_back(list.signature_bytes, std::byte{1});

  const auto refused = update("dbx", encode_signature_lists({list}));

  EXPECT_EQ(error_code(refused), ErrorCode::kCorrupt);
  EXPECT_THAT(refused.error().message, HasSubstr("dbx"));
  EXPECT_EQ(error_code(update("db", encode_signature_lists({list}), UpdateMode::kReplace)),
            ErrorCode::kCorrupt);
  EXPECT_EQ(store_.content(), before);
}

TEST_F(DatabaseUpdateTest, LooksAtEachCertificate) {
  DatabaseUpdate wanted{*find_database("db"), lists(kX509Signature, {3, 4}), std::nullopt, nullptr};
  std::vector<base::Bytes> seen;
  wanted.certificate_check = [&](base::ByteView der) -> base::Result<void> {
    seen.push_back(base::copy_of(der));
    if (der[0] == std::byte{4}) {
      return base::fail(ErrorCode::kCorrupt, "no certificate");
    }
    return {};
  };

  EXPECT_EQ(error_code(update_database(store_, wanted)), ErrorCode::kCorrupt);
  EXPECT_THAT(seen, ElementsAre(der(3), der(4)));
  EXPECT_EQ(find("db"), nullptr);
}

}  // namespace
}  // namespace vmgs::uefi
