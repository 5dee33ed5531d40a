// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/tpm_nv_memory.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/error_code.h"
#include "vmgs/base/cursor.h"

namespace vmgs::format {
namespace {

using base::ErrorCode;
using tests::support::error_code;

// libtpms' NV memory as TPMs that we run write it; vtpm/provision reads theirs. Here it is built by
// hand, so that one thing at a time can be spoilt.
class Memory {
 public:
  Memory() {
    part(0x094F22C3);
    out_.u64_be(0x20000);
  }

  Memory& index(std::uint32_t number, std::uint32_t attributes, base::ByteView content) {
    out_.u32_be(200);
    out_.u32_be(number);
    part(0x2547265A);
    out_.u32_be(number);
    out_.u16_be(0x000B);
    out_.u32_be(attributes);
    sized(base::bytes_of("policy"));
    out_.u16_be(static_cast<std::uint16_t>(content.size()));
    sized(base::bytes_of("authorization"));
    block();
    const bool in_ram = (attributes & kTpmNvOrderly) != 0;
    out_.u32_be(in_ram ? 0 : static_cast<std::uint32_t>(content.size()));
    if (!in_ram) {
      out_.bytes(content);
    }
    return *this;
  }

  // A persistent object with this public area behind its policy.
  Memory& object(std::uint16_t type, std::string_view parameters_and_unique) {
    out_.u32_be(3000);
    out_.u32_be(0x81000001);
    part(0xFE9A3974);
    out_.u32_be(1U << 15);
    part(0x75BE73AF);
    out_.u16_be(type);
    out_.u16_be(0x000B);
    out_.u32_be(0x00030472);
    sized({});
    out_.bytes(*base::from_hex(parameters_and_unique));
    out_.u16_be(type);
    sized(base::bytes_of("authorization"));
    sized(base::bytes_of("seed"));
    out_.u16_be(type == 1 ? 0x8004 : 4);  // with libtpms' mark of a whole RSA key
    out_.bytes(base::bytes_of("prim"));
    block("private exponent");
    sized(base::bytes_of("qualified name"));
    out_.u32_be(0x81000001);
    sized(base::bytes_of("name"));
    block("later");
    block();
    return *this;
  }

  [[nodiscard]] base::Bytes state() const {
    base::Writer whole;
    whole.bytes(base::bytes_of("seeds, PCRs, clocks"));
    whole.bytes(out_.written());
    whole.u32_be(0);
    whole.u64_be(7);
    for (int block = 0; block < 2; ++block) {
      whole.u8(1);
      whole.u16_be(0);
    }
    whole.u32_be(0xAB364723);
    return std::move(whole).take();
  }

 private:
  void part(std::uint32_t magic) {
    out_.u16_be(2);
    out_.u32_be(magic);
    out_.u16_be(1);
  }

  void sized(base::ByteView bytes) {
    out_.u16_be(static_cast<std::uint16_t>(bytes.size()));
    out_.bytes(bytes);
  }

  void block(std::string_view content = "") {
    out_.u8(1);
    sized(base::bytes_of(content));
  }

  base::Writer out_;
};

constexpr std::uint32_t kPlain = 0x20020002;  // written, the owner's

TEST(TpmNvMemoryTest, OfATpmWithoutAnyIsEmpty) {
  EXPECT_TRUE(decode_tpm_nv_indices(Memory().state())->empty());
}

TEST(TpmNvMemoryTest, ReadsIndicesAmongObjects) {
  const std::string aes = "000600800043";
  const auto state = Memory()
                         .object(0x0001, aes +
                                             "0010"
                                             "0800"
                                             "00000000"
                                             "0001ff")
                         .index(0x01400002, kPlain, base::bytes_of("user data"))
                         .object(0x0001,
                                 "0010"
                                 "0014000b"
                                 "0800"
                                 "00000000"
                                 "0001ff")
                         .object(0x0023, aes +
                                             "0010"
                                             "0003"
                                             "0010"
                                             "0001aa"
                                             "0001bb")
                         .object(0x0023,
                                 "0010"
                                 "001a000b0000"
                                 "0003"
                                 "0020000b"
                                 "0001aa"
                                 "0001bb")
                         .object(0x0008,
                                 "0010"
                                 "0001aa")
                         .object(0x0008,
                                 "0005000b"
                                 "0001aa")
                         .object(0x0008,
                                 "000a000b0022"
                                 "0001aa")
                         .object(0x0025, aes + "0001aa")
                         .object(0x0001,
                                 "0010"
                                 "0015"
                                 "0800"
                                 "00000000"
                                 "0001ff")
                         .index(0x01500000, kPlain, {})
                         .state();

  const auto indices = decode_tpm_nv_indices(state);

  ASSERT_TRUE(indices) << indices.error().message;
  ASSERT_EQ(indices->size(), 2U);
  EXPECT_EQ(indices->at(0).index, 0x01400002U);
  EXPECT_EQ(indices->at(0).attributes, kPlain);
  EXPECT_EQ(base::to_hex(indices->at(0).content), base::to_hex(base::bytes_of("user data")));
  EXPECT_TRUE(indices->at(1).content.empty());
}

TEST(TpmNvMemoryTest, KnowsAnIndexThatIsKeptInRam) {
  const auto indices = decode_tpm_nv_indices(
      Memory().index(0x01400002, kPlain | kTpmNvOrderly, base::bytes_of("user data")).state());
  ASSERT_TRUE(indices) << indices.error().message;
  EXPECT_TRUE(indices->at(0).content.empty());
}

TEST(TpmNvMemoryTest, IsNotMistakenForABeginningInsideAnEarlierPart) {
  base::Writer state;
  state.u16_be(2);
  state.u32_be(0x094F22C3);
  state.u16_be(1);
  state.bytes(Memory().index(0x01400002, kPlain, base::bytes_of("x")).state());
  EXPECT_EQ(decode_tpm_nv_indices(state.written())->size(), 1U);
}

TEST(TpmNvMemoryTest, EndsWhereTheStateEnds) {
  const auto whole = Memory().index(0x01400002, kPlain, base::bytes_of("user data")).state();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(error_code(decode_tpm_nv_indices(base::ByteView(whole).first(size))),
              ErrorCode::kCorrupt)
        << size;
  }
  auto longer = whole;
  longer.push_back(std::byte{0});
  EXPECT_EQ(error_code(decode_tpm_nv_indices(longer)), ErrorCode::kCorrupt);
}

TEST(TpmNvMemoryTest, RefusesWhatContradictsItself) {
  const auto state = Memory().index(0x01400002, kPlain, base::bytes_of("user data")).state();
  const auto spoilt = [&](std::string_view from, std::string_view to) {
    auto hex = base::to_hex(state);
    const auto at = hex.rfind(from);
    EXPECT_NE(at, std::string::npos) << from;
    return decode_tpm_nv_indices(*base::from_hex(hex.replace(at, from.size(), to)));
  };
  EXPECT_FALSE(spoilt("01400002000b", "01400003000b")) << "another index than its handle";
  EXPECT_FALSE(spoilt("00000009", "00000008")) << "less stored than there is";
  EXPECT_FALSE(spoilt("0002254726", "0001254726")) << "a version without room for later ones";
  EXPECT_FALSE(spoilt("2547265a", "2547265b"));
  EXPECT_FALSE(spoilt("ab364723", "ab364724"));
  EXPECT_FALSE(spoilt("000000c801400002", "000000c802400002")) << "no such kind of handle";
}

}  // namespace
}  // namespace vmgs::format
