// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/vm_id.h"

#include <gtest/gtest.h>

#include "vmgs/base/bytes.h"

namespace vmgs::format {
namespace {

TEST(VmIdTest, RoundTripsInNetworkByteOrder) {
  const auto id = parse_vm_id("00112233-4455-6677-8899-AABBCCDDEEFF");

  ASSERT_TRUE(id);
  EXPECT_EQ(id->bytes[0], std::byte{0x00});
  EXPECT_EQ(id->bytes[3], std::byte{0x33});
  EXPECT_EQ(to_string(*id), "00112233-4455-6677-8899-aabbccddeeff");
}

TEST(VmIdTest, AGuidHasItsFirstThreeFieldsTurned) {
  const auto id = *parse_vm_id("00112233-4455-6677-8899-aabbccddeeff");

  EXPECT_EQ(base::to_hex(guid_bytes(id)), "33221100554477668899aabbccddeeff");
  EXPECT_EQ(vm_id_of_guid(guid_bytes(id)), id);
}

TEST(VmIdTest, RefusesWhatIsNoUuid) {
  EXPECT_FALSE(parse_vm_id(""));
  EXPECT_FALSE(parse_vm_id("00112233-4455-6677-8899-AABBCCDDEEF"));
  EXPECT_FALSE(parse_vm_id("00112233-4455-6677-8899-AABBCCDDEEFG"));
  EXPECT_FALSE(parse_vm_id("{0112233-4455-6677-8899-AABBCCDDEEF}"));
}

}  // namespace
}  // namespace vmgs::format
