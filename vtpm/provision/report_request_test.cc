// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/report_request.h"

#include <gtest/gtest.h>

#include "tests/support/tpm_commands.h"
#include "vmgs/base/cursor.h"

namespace vtpm::provision {
namespace {

namespace tpm = tests::support;

base::Bytes nv_certify(std::uint32_t index) {
  base::Writer body;
  body.u32_be(0x81000003);
  body.u32_be(0x40000001);
  body.u32_be(index);
  base::Writer out;
  out.u16_be(0x8002);
  out.u32_be(static_cast<std::uint32_t>(10 + body.size()));
  out.u32_be(0x184);
  out.bytes(body.written());
  return std::move(out).take();
}

TEST(ReportRequestTest, IsAReadFromTheBeginning) {
  EXPECT_TRUE(asks_for_report(tpm::nv_read(0x01400001, 1024)));
  EXPECT_TRUE(asks_for_report(tpm::nv_read(0x01400003, 1024)));
  EXPECT_TRUE(asks_for_report(tpm::nv_read_by_owner(0x01400001, 4, 0)));
  EXPECT_TRUE(asks_for_report(nv_certify(0x01400001)));
}

TEST(ReportRequestTest, IsNotTheRestOfOne) {
  EXPECT_FALSE(asks_for_report(tpm::nv_read_by_owner(0x01400001, 1024, 1024)));
  EXPECT_FALSE(asks_for_report(tpm::nv_read_by_owner(0x01400001, 1024, 1)));
}

TEST(ReportRequestTest, IsNothingElse) {
  EXPECT_FALSE(asks_for_report(tpm::nv_read(0x01400002, 64)));
  EXPECT_FALSE(asks_for_report(tpm::nv_write(0x01400001, base::bytes_of("x"))));
  EXPECT_FALSE(asks_for_report(nv_certify(0x01400002)));
  EXPECT_FALSE(asks_for_report(tpm::get_random(8)));
  EXPECT_FALSE(asks_for_report({}));
}

TEST(ReportRequestTest, IsNoCommandThatEndsTooEarly) {
  const auto whole = tpm::nv_read(0x01400001, 1024);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    auto cut = base::copy_of(base::ByteView(whole).first(size));
    EXPECT_FALSE(asks_for_report(cut)) << size;
    if (size >= 6) {
      cut[5] = static_cast<std::byte>(size);  // and says so
      EXPECT_FALSE(asks_for_report(cut)) << size;
    }
  }
  auto huge_authorization = whole;
  huge_authorization[18] = std::byte{0xFF};
  EXPECT_FALSE(asks_for_report(huge_authorization));
}

}  // namespace
}  // namespace vtpm::provision
