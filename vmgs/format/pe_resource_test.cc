// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/pe_resource.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/error_code.h"
#include "vmgs/base/cursor.h"

namespace vmgs::format {
namespace {

using base::ErrorCode;
using tests::support::error_code;

constexpr std::size_t kHeaderAt = 0x80;
constexpr std::size_t kSectionAt = 0x200;
constexpr std::uint32_t kAddress = 0x3000;
const base::Bytes kFirmware = base::copy_of(base::bytes_of("firmware image"));

// An image of one section with one resource VMFW of number 13510, and little else.
base::Bytes image() {
  base::Writer out;
  out.bytes(base::bytes_of("MZ"));
  out.bytes(base::Bytes(0x3c - 2));
  out.u32_le(kHeaderAt);
  out.bytes(base::Bytes(kHeaderAt - out.size()));
  out.bytes(base::bytes_of(std::string_view("PE\0\0", 4)));
  out.u16_le(0x8664);
  out.u16_le(1);  // sections
  out.bytes(base::Bytes(12));
  out.u16_le(112 + 16 * 8);
  out.u16_le(0);
  out.u16_le(0x20b);
  out.bytes(base::Bytes(112 - 2 - 4));
  out.u32_le(16);  // directories
  out.bytes(base::Bytes(16));
  out.u32_le(kAddress);
  out.u32_le(0x100);
  out.bytes(base::Bytes(13 * 8));
  out.bytes(base::bytes_of(std::string_view(".rsrc\0\0\0", 8)));
  out.u32_le(0x200);
  out.u32_le(kAddress);
  out.u32_le(0x200);
  out.u32_le(kSectionAt);
  out.bytes(base::Bytes(16));
  out.bytes(base::Bytes(kSectionAt - out.size()));

  const auto table = [&](std::uint16_t named, std::uint16_t numbered, std::uint32_t name,
                         std::uint32_t target) {
    out.bytes(base::Bytes(12));
    out.u16_le(named);
    out.u16_le(numbered);
    out.u32_le(name);
    out.u32_le(target);
  };
  table(1, 0, 0x80000000 | 88, 0x80000000 | 24);  // at 0: type
  table(0, 1, 13510, 0x80000000 | 48);            // at 24: number
  table(0, 1, 1033, 72);                          // at 48: language
  out.u32_le(kAddress + 104);                     // at 72: the data
  out.u32_le(static_cast<std::uint32_t>(kFirmware.size()));
  out.bytes(base::Bytes(8));
  out.u16_le(4);  // at 88: the type's name
  for (const char each : {'V', 'm', 'F', 'W'}) {
    out.u16_le(static_cast<std::uint16_t>(each));
  }
  out.bytes(base::Bytes(6));
  out.bytes(kFirmware);  // at 104
  out.bytes(base::Bytes(0x200 - (out.size() - kSectionAt)));
  return std::move(out).take();
}

base::Bytes with(std::size_t at, std::uint32_t value) {
  auto bytes = image();
  base::U32Le raw;
  raw = value;
  std::ranges::copy(base::view(raw), bytes.begin() + static_cast<std::ptrdiff_t>(at));
  return bytes;
}

TEST(PeResourceTest, FindsAResourceByTypeAndNumber) {
  const auto bytes = image();

  const auto found = find_pe_resource(bytes, "VMFW", 13510);

  ASSERT_TRUE(found) << found.error().message;
  EXPECT_TRUE(std::ranges::equal(*found, kFirmware));
}

TEST(PeResourceTest, SaysWhatIsNotThere) {
  const auto bytes = image();

  EXPECT_EQ(error_code(find_pe_resource(bytes, "VMFW", 13511)), ErrorCode::kNotFound);
  EXPECT_EQ(error_code(find_pe_resource(bytes, "VMFX", 13510)), ErrorCode::kNotFound);
  EXPECT_EQ(error_code(find_pe_resource(bytes, "VMF", 13510)), ErrorCode::kNotFound);
  EXPECT_EQ(error_code(find_pe_resource(with(kHeaderAt + 24 + 128, 0x9000), "VMFW", 13510)),
            ErrorCode::kNotFound);
}

TEST(PeResourceTest, RefusesWhatIsNoPeImage) {
  EXPECT_EQ(error_code(find_pe_resource({}, "VMFW", 1)), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(find_pe_resource(base::Bytes(600), "VMFW", 1)), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(find_pe_resource(with(0x3c, 0xffffffff), "VMFW", 1)), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(find_pe_resource(with(kHeaderAt, 0), "VMFW", 1)), ErrorCode::kCorrupt);
}

TEST(PeResourceTest, RefusesTablesThatLeadOutOfTheImage) {
  const auto in_section = [](std::size_t at, std::uint32_t value) {
    return with(kSectionAt + at, value);
  };

  for (const auto& bytes : {in_section(20, 0x80000000 | 0x300), in_section(16, 0xffffffff),
                            in_section(44, 0xfffffff0), in_section(68, 0x1fe), in_section(72, 0x10),
                            in_section(72, 0xfffffff0), in_section(76, 0x1000)}) {
    EXPECT_EQ(error_code(find_pe_resource(bytes, "VMFW", 13510)), ErrorCode::kCorrupt);
  }
  EXPECT_EQ(error_code(find_pe_resource(base::ByteView(image()).first(0x25a), "VMFW", 13510)),
            ErrorCode::kCorrupt)
      << "the section is cut, and with it the name of the type or the data";
}

}  // namespace
}  // namespace vmgs::format
