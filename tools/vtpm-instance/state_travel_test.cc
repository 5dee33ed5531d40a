// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/state_travel.h"

#include <gtest/gtest.h>

#include "tests/support/error_code.h"
#include "tests/support/fake_tee.h"

namespace tools::vtpm_instance {
namespace {

using base::ErrorCode;
using tests::support::error_code;
using transport::tpm_socket::StateBlob;
using vmgs::format::SwtpmKey;

std::shared_ptr<const SwtpmKey> key() {
  return std::make_shared<const SwtpmKey>(
      *SwtpmKey::from_passphrase(base::bytes_of("correct horse"), vmgs::format::SwtpmKdf::kSha512,
                                 vmgs::format::SwtpmCipher::kAes256Cbc));
}

TEST(StateTravelTest, CarriesAnOrdinaryVmsStateAsSwtpmDoesWhereThatIsAskedFor) {
  const LaunchChoice ordinary;
  const auto state = base::bytes_of("state");

  const auto plain = state_travel_of({.state_blobs = StateBlobForm::kPlain}, ordinary);
  const auto keyed =
      state_travel_of({.state_blobs = StateBlobForm::kPlain, .migration_key = key()}, ordinary);

  ASSERT_TRUE(plain && *plain && keyed && *keyed);
  EXPECT_FALSE((*plain)->keys_in_use().migration);
  EXPECT_TRUE((*keyed)->keys_in_use().migration);
  const auto blob = (*keyed)->wrap(StateBlob::kPermanent, state, true);
  ASSERT_TRUE(blob);
  EXPECT_FALSE((*plain)->unwrap(StateBlob::kPermanent, blob->bytes.expose(), false));
  EXPECT_TRUE((*keyed)->unwrap(StateBlob::kPermanent, blob->bytes.expose(), false));
}

TEST(StateTravelTest, KeepsWhatItIsToldToKeep) {
  const auto refused = state_travel_of({}, LaunchChoice());
  const auto sealed = state_travel_of({.state_blobs = StateBlobForm::kSealed}, LaunchChoice());
  const auto paravisor = state_travel_of({.home = Home::kParavisor}, LaunchChoice());

  ASSERT_TRUE(refused && sealed && paravisor);
  EXPECT_EQ(*refused, nullptr);
  EXPECT_EQ(*sealed, nullptr) << "not as swtpm has it";
  EXPECT_EQ(*paravisor, nullptr);
}

// Its host is not to have its TPM, whatever form the host asks for.
TEST(StateTravelTest, KeepsAConfidentialVmsState) {
  LaunchChoice confidential;
  confidential.tee = std::make_unique<tests::support::FakeTee>();

  const auto unasked = state_travel_of({}, confidential);

  ASSERT_TRUE(unasked);
  EXPECT_EQ(*unasked, nullptr);
  EXPECT_EQ(error_code(state_travel_of({.state_blobs = StateBlobForm::kPlain}, confidential)),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(state_travel_of({.state_blobs = StateBlobForm::kSealed}, confidential)),
            ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace tools::vtpm_instance
