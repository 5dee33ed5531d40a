// SPDX-License-Identifier: Apache-2.0
#include "vmgs/crypto/pbkdf2.h"

#include <gtest/gtest.h>

namespace vmgs::crypto {
namespace {

std::string derived(std::string_view passphrase, std::string_view salt, std::uint32_t rounds,
                    std::size_t size) {
  base::Bytes out(size);
  const auto done = pbkdf2_sha512(base::bytes_of(passphrase), base::bytes_of(salt), rounds, out);
  return done ? base::to_hex(out) : done.error().message;
}

// From another implementation, hashlib of Python.
TEST(Pbkdf2Test, MatchesAnotherImplementation) {
  EXPECT_EQ(derived("password", "salt", 1, 64),
            "867f70cf1ade02cff3752599a3a53dc4af34c7a669815ae5d513554e1c8cf252"
            "c02d470a285a0501bad999bfe943c08f050235d7d68b1da55e63f73b60a57fce");
  EXPECT_EQ(derived("passwordPASSWORDpassword", "saltSALTsaltSALTsaltSALTsaltSALTsalt", 4096, 64),
            "8c0511f4c6e597c6ac6315d8f0362e225f3c501495ba23b868c005174dc4ee71"
            "115b59f9e60cd9532fa33e0f75aefe30225c583a186cd82bd4daea9724a3d3b8");
}

TEST(Pbkdf2Test, GivesTheBeginningWhereLessIsWanted) {
  EXPECT_EQ(derived("password", "salt", 1, 16), "867f70cf1ade02cff3752599a3a53dc4");
}

TEST(Pbkdf2Test, TakesAnEmptyPassphraseForWhatItIs) {
  EXPECT_EQ(derived({}, "salt", 2, 16), "cc5eacbb057f2a5982fce67bf70f79fc");
}

TEST(Pbkdf2Test, RefusesNoRoundsAndNoOutput) {
  base::Bytes out(16);

  EXPECT_FALSE(pbkdf2_sha512(base::bytes_of("p"), base::bytes_of("s"), 0, out));
  EXPECT_FALSE(pbkdf2_sha512(base::bytes_of("p"), base::bytes_of("s"), 1, {}));
}

}  // namespace
}  // namespace vmgs::crypto
