// SPDX-License-Identifier: Apache-2.0
#include "vmgs/crypto/running_digest.h"

#include <gtest/gtest.h>

namespace vmgs::crypto {
namespace {

TEST(RunningSha256Test, IsTheDigestOfAllPiecesInOrder) {
  RunningSha256 running;
  running.add(base::bytes_of("ab"));
  running.add({});
  running.add(base::bytes_of("c"));

  // FIPS 180-2, B.1.
  EXPECT_EQ(base::to_hex(running.finish()),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(RunningSha256Test, OfNothingIsThatOfTheEmptyString) {
  EXPECT_EQ(RunningSha256().finish(), sha256({}));
}

}  // namespace
}  // namespace vmgs::crypto
