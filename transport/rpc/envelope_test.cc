// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/envelope.h"

#include <gtest/gtest.h>

namespace transport::rpc {
namespace {

using namespace std::string_literals;

TEST(EnvelopeTest, HasFlagsAndBigEndianLengthInFront) {
  EXPECT_EQ(wrap({0x02, "abc"}), "\x02\x00\x00\x00\x03"s + "abc");
}

TEST(EnvelopeReaderTest, FindsEnvelopesInPiecesOfAnySize) {
  const auto stream = wrap({0, "first"}) + wrap({0, ""}) + wrap({Envelope::kEndStream, "{}"});
  for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
    EnvelopeReader reader(16);
    std::string seen;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      reader.feed(std::string_view(stream).substr(at, piece));
      for (auto next = reader.next(); next && *next; next = reader.next()) {
        seen += (*next)->payload + (((*next)->flags & Envelope::kEndStream) != 0 ? "!" : ";");
      }
    }
    EXPECT_EQ(seen, "first;;{}!") << "in pieces of " << piece;
    EXPECT_EQ(reader.pending_bytes(), 0U);
  }
}

TEST(EnvelopeReaderTest, RefusesALengthOverTheLimitBeforeThePayloadArrives) {
  EnvelopeReader reader(4);
  reader.feed("\x00\x00\x00\x00\x05"s);

  EXPECT_FALSE(reader.next());
}

TEST(EnvelopeReaderTest, TakesALengthAtTheLimit) {
  EnvelopeReader reader(4);
  reader.feed(wrap({0, "four"}));

  const auto next = reader.next();

  ASSERT_TRUE(next);
  EXPECT_TRUE(*next);
}

TEST(EnvelopeReaderTest, RefusesCompressedMessages) {
  EnvelopeReader reader(4);
  reader.feed(wrap({Envelope::kCompressed, "x"}));

  EXPECT_FALSE(reader.next());
}

TEST(EnvelopeReaderTest, RefusesUnknownFlags) {
  EnvelopeReader reader(4);
  reader.feed(wrap({0x40, "x"}));

  EXPECT_FALSE(reader.next());
}

}  // namespace
}  // namespace transport::rpc
