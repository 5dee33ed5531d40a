// SPDX-License-Identifier: Apache-2.0
#include "vmgs/crypto/digest.h"

#include <gtest/gtest.h>

namespace vmgs::crypto {
namespace {

TEST(DigestTest, MatchesFips180Examples) {
  const auto abc = base::bytes_of("abc");

  EXPECT_EQ(base::to_hex(sha1(abc)), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(base::to_hex(sha224(abc)), "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7");
  EXPECT_EQ(base::to_hex(sha256(abc)),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(base::to_hex(sha384(abc)),
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
            "8086072ba1e7cc2358baeca134c825a7");
  EXPECT_EQ(base::to_hex(sha512(abc)),
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

TEST(DigestTest, PiecesAreOneString) {
  EXPECT_EQ(sha256({base::bytes_of("a"), {}, base::bytes_of("bc")}), sha256(base::bytes_of("abc")));
}

TEST(DigestTest, HmacMatchesRfc4231Case2) {
  EXPECT_EQ(base::to_hex(hmac_sha256(base::bytes_of("Jefe"),
                                     base::bytes_of("what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(DigestTest, ValuesOfDifferentLengthDiffer) {
  EXPECT_FALSE(equal_in_constant_time(base::bytes_of("ab"), base::bytes_of("abc")));
  EXPECT_TRUE(equal_in_constant_time(base::bytes_of("abc"), base::bytes_of("abc")));
}

}  // namespace
}  // namespace vmgs::crypto
