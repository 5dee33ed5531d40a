// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "keybroker/hsm/tenant_keys.h"
#include "tests/integration/softhsm.h"
#include "tests/support/error_code.h"

namespace tests::integration {
namespace {

using base::ErrorCode;
using keybroker::hsm::KekState;
using tests::support::error_code;

TEST_F(HsmTest, EachTenantWrapsAndUnwrapsInItsOwnToken) {
  auto keys = both();
  for (const auto& tenant : {kAlpha, kBeta}) {
    const auto record = keys->make(tenant, "guest state");
    ASSERT_TRUE(record) << record.error().message;
    EXPECT_EQ(record->provider, Provider::kToken);

    const auto wrapped = keys->wrap(*record, kContext, secret_);
    ASSERT_TRUE(wrapped) << wrapped.error().message;
    const auto secret = keys->unwrap(*record, kContext, *wrapped);

    ASSERT_TRUE(secret) << secret.error().message;
    EXPECT_TRUE(secret->equals_in_constant_time(secret_));
    EXPECT_EQ(keys->status(*record).state, KekState::kReady);
  }
}

TEST_F(HsmTest, OpensAfterARestart) {
  auto record = KekRecord{};
  auto wrapped = base::Bytes{};
  {
    auto keys = both();
    record = *keys->make(kAlpha, "guest state");
    wrapped = *keys->wrap(record, kContext, secret_);
  }
  const auto secret = both()->unwrap(record, kContext, wrapped);
  ASSERT_TRUE(secret) << secret.error().message;
  EXPECT_TRUE(secret->equals_in_constant_time(secret_));
}

TEST_F(HsmTest, TheKeyCannotBeExported) {
  auto keys = both();
  ASSERT_TRUE(keys->make(kAlpha, "guest state"));

  Session tenant("alpha", kAlphaPin);
  const auto key = tenant.key();

  std::array<std::byte, 64> out{};
  CK_ATTRIBUTE value{CKA_VALUE, out.data(), out.size()};
  EXPECT_EQ(tenant.calls().C_GetAttributeValue(tenant.handle(), key, &value, 1),
            CKR_ATTRIBUTE_SENSITIVE);
  CK_MECHANISM mechanism{CKM_AES_KEY_WRAP, nullptr, 0};
  CK_ULONG size = out.size();
  EXPECT_EQ(
      tenant.calls().C_WrapKey(tenant.handle(), &mechanism, tenant.generate("wrapper", false, true),
                               key, reinterpret_cast<CK_BYTE*>(out.data()), &size),
      CKR_KEY_UNEXTRACTABLE);
  CK_BBOOL yes = CK_TRUE;
  CK_ATTRIBUTE extractable{CKA_EXTRACTABLE, &yes, 1};
  EXPECT_NE(tenant.calls().C_SetAttributeValue(tenant.handle(), key, &extractable, 1), CKR_OK);
}

TEST_F(HsmTest, DoesNotUseAKeyThatCouldBeExported) {
  auto keys = both();
  Session tenant("alpha", kAlphaPin);
  tenant.generate("loose", true);
  tenant.generate("kept", false);

  const auto loose = key_named(kAlpha, "pkcs11:token=alpha;object=loose");
  EXPECT_EQ(error_code(keys->wrap(loose, kContext, secret_)), ErrorCode::kNotFound);
  EXPECT_NE(keys->status(loose).finding.find("exported"), std::string::npos);

  const auto kept = key_named(kAlpha, "pkcs11:token=alpha;object=kept");
  const auto wrapped = keys->wrap(kept, kContext, secret_);
  ASSERT_TRUE(wrapped) << wrapped.error().message;
  EXPECT_TRUE(keys->unwrap(kept, kContext, *wrapped));

  tenant.generate("kept", false);
  EXPECT_EQ(error_code(both()->wrap(kept, kContext, secret_)), ErrorCode::kNotFound);
}

TEST_F(HsmTest, AnotherTenantCannotUnwrap) {
  auto keys = both();
  const auto record = *keys->make(kAlpha, "guest state");
  const auto wrapped = *keys->wrap(record, kContext, secret_);

  // The record in the other tenant's row: its login does not reach that token.
  auto moved = record;
  moved.tenant = kBeta;
  EXPECT_EQ(error_code(keys->unwrap(moved, kContext, wrapped)), ErrorCode::kNotFound);
  EXPECT_EQ(keys->status(moved).state, KekState::kKeyAbsent);

  // The same id under the other token's name: the key is not in there.
  auto text =
      std::string(reinterpret_cast<const char*>(record.content.data()), record.content.size());
  const auto renamed = text.replace(text.find("alpha"), 5, "beta");
  EXPECT_EQ(error_code(keys->unwrap(key_named(kBeta, renamed), kContext, wrapped)),
            ErrorCode::kNotFound);

  // Its own key does not open the bytes.
  const auto own = *keys->make(kBeta, "guest state");
  EXPECT_EQ(error_code(keys->unwrap(own, kContext, wrapped)), ErrorCode::kAuthentication);
}

TEST_F(HsmTest, AnotherTenantsLoginDoesNotOpenTheToken) {
  const auto record = *both()->make(kAlpha, "guest state");

  auto keys = *TokenKeys::create({{kAlpha, uri("alpha", "beta.pin")}}, options());

  const auto status = keys->status(record);
  EXPECT_EQ(status.state, KekState::kTokenLoginFailed);
  EXPECT_NE(status.finding.find("CKR_PIN_INCORRECT"), std::string::npos) << status.finding;
  EXPECT_EQ(status.finding.find(kBetaPin), std::string::npos);
  EXPECT_EQ(error_code(keys->wrap(record, kContext, secret_)), ErrorCode::kUnavailable);
}

TEST_F(HsmTest, TwoTenantsCannotShareAToken) {
  EXPECT_EQ(
      error_code(TokenKeys::create(
          {{kAlpha, uri("alpha", "alpha.pin")}, {kBeta, uri("alpha", "beta.pin")}}, options())),
      ErrorCode::kInvalidArgument);

  // Under two names, which only the token can tell to be one. The wrong PIN would do, for the
  // process is logged in already.
  auto keys = *TokenKeys::create(
      {{kAlpha, uri("alpha", "alpha.pin")}, {kBeta, uri("alpha;model=SoftHSM%20v2", "beta.pin")}},
      options());
  const auto record = keys->make(kAlpha, "guest state");
  ASSERT_TRUE(record) << record.error().message;
  auto moved = *record;
  moved.tenant = kBeta;
  const auto status = keys->status(moved);
  EXPECT_EQ(status.state, KekState::kTokenLoginFailed);
  EXPECT_NE(status.finding.find("cannot share"), std::string::npos) << status.finding;
}

TEST_F(HsmTest, BindsTheContextAndEveryByte) {
  auto keys = both();
  const auto record = *keys->make(kAlpha, "guest state");
  const auto wrapped = *keys->wrap(record, kContext, secret_);

  EXPECT_EQ(error_code(keys->unwrap(record, kOtherContext, wrapped)), ErrorCode::kAuthentication);
  for (std::size_t i = 0; i < wrapped.size(); ++i) {
    auto altered = wrapped;
    altered[i] ^= std::byte{0x80};
    EXPECT_EQ(error_code(keys->unwrap(record, kContext, altered)),
              i == 0 ? ErrorCode::kCorrupt : ErrorCode::kAuthentication)
        << i;
  }
  EXPECT_TRUE(keys->unwrap(record, kContext, wrapped));
  EXPECT_NE(*keys->wrap(record, kContext, secret_), wrapped);
}

TEST_F(HsmTest, TellsTwoKeysOfATenantApart) {
  auto keys = both();
  const auto first = *keys->make(kAlpha, "guest state");
  const auto second = *keys->make(kAlpha, "guest state");
  EXPECT_NE(first, second);

  const auto under_first = *keys->wrap(first, kContext, secret_);
  const auto under_second = *keys->wrap(second, kContext, secret_);

  EXPECT_EQ(error_code(keys->unwrap(second, kContext, under_first)), ErrorCode::kAuthentication);
  EXPECT_EQ(error_code(keys->unwrap(first, kContext, under_second)), ErrorCode::kAuthentication);
  EXPECT_TRUE(keys->unwrap(second, kContext, under_second));
}

TEST_F(HsmTest, DoesNotTakeAKeyOfTheSameNameInAnotherToken) {
  auto keys = both();
  Session tenant("beta", kBetaPin);
  tenant.generate("mine", false);

  const auto status = keys->status(key_named(kBeta, "pkcs11:token=alpha;object=mine"));

  EXPECT_EQ(status.state, KekState::kKeyAbsent);
  EXPECT_EQ(keys->status(key_named(kBeta, "pkcs11:token=beta;object=mine")).state,
            KekState::kReady);
}

TEST_F(HsmTest, ATenantWithoutATokenGetsSoftwareKeys) {
  std::vector<keybroker::hsm::MasterKey> master;
  master.push_back({1, *vmgs::crypto::random_secret<32>()});
  keybroker::hsm::TenantKeys keys(
      *keybroker::hsm::SoftwareKeys::create(std::move(master)),
      *TokenKeys::create({{kAlpha, uri("alpha", "alpha.pin")}}, options()));

  const auto in_token = keys.make(kAlpha, "guest state");
  const auto in_software = keys.make(kBeta, "guest state");

  ASSERT_TRUE(in_token) << in_token.error().message;
  ASSERT_TRUE(in_software) << in_software.error().message;
  EXPECT_EQ(in_token->provider, Provider::kToken);
  EXPECT_EQ(in_software->provider, Provider::kSoftware);
  for (const auto& record : {*in_token, *in_software}) {
    const auto wrapped = keys.wrap(record, kContext, secret_);
    ASSERT_TRUE(wrapped) << wrapped.error().message;
    EXPECT_TRUE(keys.unwrap(record, kContext, *wrapped));
    EXPECT_EQ(keys.status(record).state, KekState::kReady);
  }
}

}  // namespace
}  // namespace tests::integration
