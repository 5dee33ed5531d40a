// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/state_blob_codec.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/error_code.h"
#include "vmgs/format/swtpm_blob.h"

namespace tools::vtpm_instance {
namespace {

using base::ErrorCode;
using tests::support::error_code;
using transport::tpm_socket::StateBlob;
using vmgs::format::SwtpmCipher;
using vmgs::format::SwtpmKdf;
using vmgs::format::SwtpmKey;

SwtpmKey key_of(std::string_view passphrase) {
  return *SwtpmKey::from_passphrase(base::bytes_of(passphrase), SwtpmKdf::kSha512,
                                    SwtpmCipher::kAes256Cbc);
}

const base::ByteView kState = base::bytes_of("what libtpms wrote");

TEST(SwtpmStateBlobsTest, WrapsInTheClearWithoutKeys) {
  SwtpmStateBlobs codec;

  const auto blob = codec.wrap(StateBlob::kPermanent, kState, true);

  ASSERT_TRUE(blob) << blob.error().message;
  EXPECT_EQ(base::to_hex(blob->bytes.expose().first(6)), "0201000a0004");
  EXPECT_TRUE(std::ranges::equal(blob->bytes.expose().last(kState.size()), kState));
  EXPECT_FALSE(blob->under_file_key);
  EXPECT_FALSE(codec.keys_in_use().file);
  EXPECT_FALSE(codec.keys_in_use().migration);
}

TEST(SwtpmStateBlobsTest, WrapsUnderTheMigrationKeyAlways) {
  SwtpmStateBlobs codec(key_of("file"), key_of("migration"));
  SwtpmStateBlobs destination(std::nullopt, key_of("migration"));

  const auto blob = codec.wrap(StateBlob::kPermanent, kState, true);

  ASSERT_TRUE(blob) << blob.error().message;
  EXPECT_EQ(base::to_hex(blob->bytes.expose().first(6)), "0201000a0016");
  EXPECT_FALSE(blob->under_file_key);
  const auto state = destination.unwrap(StateBlob::kPermanent, blob->bytes.expose(), false);
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_TRUE(std::ranges::equal(state->expose(), kState));
  EXPECT_TRUE(codec.keys_in_use().file);
  EXPECT_TRUE(codec.keys_in_use().migration);
}

TEST(SwtpmStateBlobsTest, LeavesTheFileKeyOnWhereThatIsAskedFor) {
  SwtpmStateBlobs codec(key_of("file"), std::nullopt);

  const auto blob = codec.wrap(StateBlob::kVolatile, kState, false);

  ASSERT_TRUE(blob) << blob.error().message;
  EXPECT_TRUE(blob->under_file_key);
  EXPECT_EQ(error_code(SwtpmStateBlobs().unwrap(StateBlob::kVolatile, blob->bytes.expose(), true)),
            ErrorCode::kNotFound);
  EXPECT_TRUE(codec.unwrap(StateBlob::kVolatile, blob->bytes.expose(), true));
}

TEST(SwtpmStateBlobsTest, RefusesWhatItsKeysDoNotOpen) {
  SwtpmStateBlobs source(std::nullopt, key_of("migration"));
  const auto blob = source.wrap(StateBlob::kPermanent, kState, true);
  ASSERT_TRUE(blob);

  SwtpmStateBlobs none;
  SwtpmStateBlobs other(std::nullopt, key_of("other"));

  EXPECT_EQ(error_code(none.unwrap(StateBlob::kPermanent, blob->bytes.expose(), false)),
            ErrorCode::kNotFound);
  EXPECT_EQ(error_code(other.unwrap(StateBlob::kPermanent, blob->bytes.expose(), false)),
            ErrorCode::kAuthentication);
  EXPECT_EQ(error_code(other.unwrap(StateBlob::kPermanent, base::bytes_of("garbage"), false)),
            ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace tools::vtpm_instance
