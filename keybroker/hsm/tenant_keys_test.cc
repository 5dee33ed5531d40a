// SPDX-License-Identifier: Apache-2.0
#include "keybroker/hsm/tenant_keys.h"

#include <gtest/gtest.h>

#include "tests/support/error_code.h"
#include "vmgs/crypto/random.h"

namespace keybroker::hsm {
namespace {

using base::ErrorCode;
using tests::support::error_code;

// The keys of a broker whose configuration has lost the line of its tenant's token.
class TenantKeysTest : public ::testing::Test {
 protected:
  static TenantKeys without_tokens() {
    std::vector<MasterKey> masters;
    masters.push_back({1, *vmgs::crypto::random_secret<32>()});
    TokenOptions options;
    options.read_pin = [](const std::filesystem::path&) -> base::Result<base::SecretBytes> {
      return base::fail(ErrorCode::kNotFound, "no PIN");
    };
    return {*SoftwareKeys::create(std::move(masters)), *TokenKeys::create({}, std::move(options))};
  }

  const Uuid tenant_{std::byte{7}};
  const KekRecord in_token_{tenant_, Provider::kToken, kTokenRecordVersion,
                            base::copy_of(base::bytes_of("pkcs11:token=alpha;object=one"))};
  TenantKeys keys_ = without_tokens();
};

// It went to the software keys, which called it damaged: a release then sought a backup in vain.
TEST_F(TenantKeysTest, ATokensRecordIsTokenAbsentWhereNoTokenIsConfigured) {
  const auto secret = base::Secret<32>::zero();
  const auto wrapped = keys_.wrap(in_token_, {}, secret);
  ASSERT_FALSE(wrapped);
  EXPECT_EQ(wrapped.error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(wrapped.error().message.starts_with("token-absent: ")) << wrapped.error().message;
  EXPECT_EQ(error_code(keys_.unwrap(in_token_, {}, base::Bytes(61, std::byte{1}))),
            ErrorCode::kUnavailable);
  const auto status = keys_.status(in_token_);
  EXPECT_EQ(status.state, KekState::kTokenAbsent);
  EXPECT_NE(status.remedy.find("[hsm] tokens"), std::string::npos);
}

// Rotating once made a software key in the token's place.
TEST_F(TenantKeysTest, AfterATokensKeyComesNoSoftwareKey) {
  const auto next = keys_.make_after(in_token_, "two");
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(next.error().message.starts_with("token-absent: ")) << next.error().message;

  const auto software = *keys_.make(tenant_, "one");
  EXPECT_EQ(keys_.make_after(software, "two")->provider, Provider::kSoftware);
}

}  // namespace
}  // namespace keybroker::hsm
