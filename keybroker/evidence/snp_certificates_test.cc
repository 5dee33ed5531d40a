// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/snp_certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_code.h"
#include "vmgs/base/cursor.h"

namespace keybroker::evidence {
namespace {

using ::testing::HasSubstr;

base::Bytes bytes_of_size(std::size_t size) { return base::Bytes(size, std::byte{0x5a}); }

std::vector<SnpCertificate> two() {
  return {{kVcekGuid, bytes_of_size(100)}, {kAskGuid, bytes_of_size(50)}};
}

// A table whose entries are written as given, with `content` bytes behind them.
struct Entry {
  SnpGuid guid;
  std::uint32_t offset;
  std::uint32_t length;
};

base::Bytes table_of(const std::vector<Entry>& entries, std::size_t content) {
  base::Writer out;
  for (const auto& entry : entries) {
    out.bytes(entry.guid);
    out.u32_le(entry.offset);
    out.u32_le(entry.length);
  }
  out.bytes(base::Bytes(24));
  out.bytes(bytes_of_size(content));
  return std::move(out).take();
}

void expect_corrupt(const base::Bytes& table, const std::string& why) {
  const auto certificates = decode_snp_certificates(table);
  ASSERT_EQ(tests::support::error_code(certificates), base::ErrorCode::kCorrupt) << why;
  EXPECT_THAT(certificates.error().message, HasSubstr(why));
}

TEST(SnpCertificatesTest, RoundTrip) {
  EXPECT_EQ(*decode_snp_certificates(encode_snp_certificates(two())), two());
  EXPECT_EQ(encode_snp_certificates(two()).size(), 3 * 24 + 150U);
}

TEST(SnpCertificatesTest, GuidsAreInTheOrderOfTheirText) {
  EXPECT_EQ(base::to_hex(kVcekGuid), "63da758de6644564adc5f4b93be8accd");
  EXPECT_EQ(base::to_hex(kArkGuid), "c0b406a4a803495297433fb6014cd0ae");
}

TEST(SnpCertificatesTest, NothingAndOnlyZeroAreAnEmptyTable) {
  EXPECT_TRUE(decode_snp_certificates({})->empty());
  EXPECT_TRUE(decode_snp_certificates(base::Bytes(4096))->empty());
  EXPECT_TRUE(decode_snp_certificates(encode_snp_certificates({}))->empty());
}

TEST(SnpCertificatesTest, ZeroBehindTheLastObjectIsNoFault) {
  auto table = encode_snp_certificates(two());
  table.resize(4096);

  EXPECT_EQ(*decode_snp_certificates(table), two());
}

TEST(SnpCertificatesTest, RejectsATableWithoutEnd) {
  auto table = table_of({{kVcekGuid, 48, 1}}, 1);
  table.resize(24);
  expect_corrupt(table, "no entry that ends it");
  table.resize(23);
  expect_corrupt(table, "no entry that ends it");
}

TEST(SnpCertificatesTest, RejectsObjectsOutsideTheContent) {
  EXPECT_TRUE(decode_snp_certificates(table_of({{kVcekGuid, 48, 10}}, 10)));
  expect_corrupt(table_of({{kVcekGuid, 47, 10}}, 10), "outside");
  expect_corrupt(table_of({{kVcekGuid, 48, 11}}, 10), "outside");
  expect_corrupt(table_of({{kVcekGuid, 0xFFFFFFF0, 0x20}}, 10), "outside");
}

TEST(SnpCertificatesTest, RejectsOverlapInEitherOrder) {
  EXPECT_TRUE(decode_snp_certificates(table_of({{kAskGuid, 77, 5}, {kVcekGuid, 72, 5}}, 10)));
  expect_corrupt(table_of({{kAskGuid, 76, 5}, {kVcekGuid, 72, 5}}, 10), "overlap");
  expect_corrupt(table_of({{kVcekGuid, 72, 6}, {kAskGuid, 77, 5}}, 10), "overlap");
}

TEST(SnpCertificatesTest, RejectsAnObjectThatAppearsTwice) {
  expect_corrupt(table_of({{kVcekGuid, 72, 5}, {kVcekGuid, 77, 5}}, 10),
                 "63da758de6644564adc5f4b93be8accd appears twice");
}

TEST(SnpCertificatesTest, RejectsTooManyAndTooLong) {
  std::vector<Entry> entries;
  for (std::uint32_t i = 0; i < 17; ++i) {
    SnpGuid guid{};
    guid[0] = static_cast<std::byte>(i + 1);
    entries.push_back({guid, 17 * 24 + i, 1});
  }
  const std::vector<Entry> sixteen(entries.begin(), entries.end() - 1);
  EXPECT_TRUE(decode_snp_certificates(table_of(sixteen, 17)));
  expect_corrupt(table_of(entries, 100), "more than 16");
  EXPECT_TRUE(decode_snp_certificates(table_of({{kVcekGuid, 48, 16384}}, 20000)));
  expect_corrupt(table_of({{kVcekGuid, 48, 16385}}, 20000), "at most 16384");
}

}  // namespace
}  // namespace keybroker::evidence
