// SPDX-License-Identifier: Apache-2.0
#include "vmgs/inspect/file_kind.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "vmgs/format/tpm_state.h"

namespace vmgs::inspect {
namespace {

FileKind kind_of(std::string_view text, std::size_t at = 0, std::size_t size = 8192) {
  base::Bytes content(std::max(size, at + text.size()));
  const auto bytes = base::bytes_of(text);
  std::copy(bytes.begin(), bytes.end(), content.begin() + static_cast<std::ptrdiff_t>(at));
  return recognise_file(content);
}

TEST(FileKindTest, KnowsWhatPeopleTakeForAStore) {
  EXPECT_EQ(recognise_file({}), FileKind::kEmpty);
  EXPECT_EQ(recognise_file(base::Bytes(9000)), FileKind::kZeros);
  EXPECT_EQ(kind_of("GUESTRTS"), FileKind::kStore);
  EXPECT_EQ(kind_of("GUESTRTS", 512), FileKind::kStore);
  EXPECT_EQ(kind_of("GUESTRTS", 4096), FileKind::kStore);
  EXPECT_EQ(kind_of("EFI PART", 512), FileKind::kVersion1);
  EXPECT_EQ(kind_of("vhdxfile"), FileKind::kVhdx);
  EXPECT_EQ(kind_of("conectix"), FileKind::kDynamicVhd);
  EXPECT_EQ(kind_of("QFI\xFB"), FileKind::kQcow2);
  EXPECT_EQ(kind_of("KDMV"), FileKind::kVmdk);
  EXPECT_EQ(kind_of("PK\x03\x04"), FileKind::kZip);
  EXPECT_EQ(kind_of("\x1F\x8B\x08"), FileKind::kCompressed);
  EXPECT_EQ(kind_of("\x7F"
                    "ELF"),
            FileKind::kElf);
  EXPECT_EQ(kind_of("-----BEGIN CERTIFICATE-----"), FileKind::kPem);
  EXPECT_EQ(kind_of("_FVH", 40), FileKind::kUefiFlash);
  EXPECT_EQ(kind_of("\x55\xAA", 510), FileKind::kDiskImage);
  EXPECT_EQ(recognise_file(base::bytes_of("a line of text\n")), FileKind::kText);
  EXPECT_EQ(kind_of("\x01\x02 noise"), FileKind::kUnknown);
}

TEST(FileKindTest, KnowsATpmThatIsInNoStore) {
  format::TpmState state;
  const auto file = format::encode_tpm_state(state);
  EXPECT_EQ(recognise_file(file.expose()), FileKind::kTpmOfOurs);
  EXPECT_EQ(recognise_file(*base::from_hex("0003ab364723000300000000")), FileKind::kLibtpms);
}

// A mark that would begin behind the end of a short file is not there.
TEST(FileKindTest, ReadsNoFurtherThanTheFile) {
  for (std::size_t size = 1; size < 600; ++size) {
    recognise_file(base::Bytes(size, std::byte{0x55}));
  }
}

TEST(FileKindTest, HasWordsForEachKind) {
  std::set<std::string_view> names;
  for (int kind = 0; kind <= static_cast<int>(FileKind::kUnknown); ++kind) {
    const auto each = static_cast<FileKind>(kind);
    names.insert(name(each));
    EXPECT_FALSE(describe(each).empty());
    EXPECT_EQ(advise(each).empty(), each == FileKind::kStore || each == FileKind::kUnknown);
  }
  EXPECT_EQ(names.size(), static_cast<std::size_t>(FileKind::kUnknown) + 1);
}

}  // namespace
}  // namespace vmgs::inspect
