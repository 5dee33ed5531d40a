// SPDX-License-Identifier: Apache-2.0
#include "transport/nbd/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_code.h"
#include "transport/nbd/fake_block_export.h"

namespace transport::nbd {
namespace {

using base::ErrorCode;
using testing::ElementsAre;
using testing::IsEmpty;
using tests::support::error_code;

constexpr std::size_t kSize = 8192;

const std::string kFlags = "00000003";
const std::string kOption = "49484156454f5054";
const std::string kReply = "0003e889045565a9";
const std::string kGo = kOption +
                        "00000007"
                        "00000006"
                        "00000000"
                        "0000";
const std::string kCookie = "1122334455667788";
const std::string kDone =
    "67446698"
    "00000000" +
    kCookie;
const std::string kIoError =
    "67446698"
    "00000005" +
    kCookie;
const std::string kInvalid =
    "67446698"
    "00000016" +
    kCookie;
const std::string kNoSpace =
    "67446698"
    "0000001c" +
    kCookie;

std::string hex(std::uint64_t value, int digits) {
  std::string text(static_cast<std::size_t>(digits), '0');
  for (auto at = text.rbegin(); at != text.rend(); ++at, value >>= 4) {
    *at = "0123456789abcdef"[value & 15];
  }
  return text;
}

std::string request(int flags, int command, std::uint64_t offset, std::uint32_t length) {
  return "25609513" + hex(static_cast<std::uint64_t>(flags), 4) +
         hex(static_cast<std::uint64_t>(command), 4) + kCookie + hex(offset, 16) + hex(length, 8);
}

std::string repeated(const std::string& piece, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    text += piece;
  }
  return text;
}

class NbdSessionTest : public testing::Test {
 protected:
  // say() gives what the session answers to that, all of it.
  std::string say(const std::string& hex_text) {
    session_.take(*base::from_hex(hex_text));
    return answers();
  }

  // Byte by byte.
  std::string spell(const std::string& hex_text) {
    std::string all;
    for (std::size_t i = 0; i < hex_text.size(); i += 2) {
      all += say(hex_text.substr(i, 2));
    }
    return all;
  }

  std::string answers() {
    std::string all;
    for (;;) {
      auto next = session_.next_answer();
      if (!next) {
        left_protocol_ = next.error().code;
        return all;
      }
      if (!*next) {
        return all;
      }
      all += base::to_hex((*next)->expose());
    }
  }

  void choose() {
    say(kFlags + kGo);
    ASSERT_FALSE(session_.is_negotiating());
  }

  FakeBlockExport export_{kSize};
  Session session_{export_};
  std::optional<ErrorCode> left_protocol_;
};

TEST_F(NbdSessionTest, TellsTheSizeAndLetsAClientIn) {
  EXPECT_EQ(say(kFlags), "");
  EXPECT_TRUE(session_.is_negotiating());

  EXPECT_EQ(say(kGo), kReply +
                          "00000007"
                          "00000003"
                          "0000000c"
                          "0000"
                          "0000000000002000"
                          "000d" +
                          kReply +
                          "00000007"
                          "00000001"
                          "00000000");
  EXPECT_FALSE(session_.is_negotiating());
}

TEST_F(NbdSessionTest, UnderstandsMessagesInAnyPieces) {
  const auto all = kFlags + kGo + request(0, 1, 1, 2) + "abcd" + request(0, 0, 0, 4);

  const auto whole = say(all);
  FakeBlockExport other(kSize);
  Session spelt(other);
  std::string answered;
  for (std::size_t i = 0; i < all.size(); i += 2) {
    spelt.take(*base::from_hex(all.substr(i, 2)));
    while (const auto answer = *spelt.next_answer()) {
      answered += base::to_hex(answer->expose());
    }
  }

  EXPECT_EQ(answered, whole);
  EXPECT_THAT(whole, testing::EndsWith(kDone + kDone + "00abcd00"));
}

TEST_F(NbdSessionTest, TellsTheBlockSizesOnlyToWhoAsks) {
  EXPECT_EQ(say(kFlags + kOption +
                "00000006"
                "00000008"
                "00000000"
                "0001"
                "0003"),
            kReply +
                "00000006"
                "00000003"
                "0000000c"
                "0000"
                "0000000000002000"
                "000d" +
                kReply +
                "00000006"
                "00000003"
                "0000000e"
                "0003"
                "00000001"
                "00001000"
                "00100000" +
                kReply +
                "00000006"
                "00000001"
                "00000000");
  EXPECT_TRUE(session_.is_negotiating()) << "INFO does not choose";
}

TEST_F(NbdSessionTest, LetsAClientInByTheOldestOption) {
  EXPECT_EQ(say(kFlags + kOption +
                "00000001"
                "0000000e" +
                base::to_hex(base::bytes_of(kExportName))),
            "0000000000002000"
            "000d");
  EXPECT_FALSE(session_.is_negotiating());
}

TEST_F(NbdSessionTest, KnowsNoOtherExport) {
  EXPECT_EQ(say(kFlags + kOption +
                "00000007"
                "00000007"
                "00000001"
                "78"
                "0000"),
            kReply +
                "00000007"
                "80000006"
                "00000000");
  EXPECT_TRUE(session_.is_negotiating());

  say(kOption +
      "00000001"
      "00000001"
      "78");
  EXPECT_EQ(left_protocol_, ErrorCode::kCorrupt) << "which that option has no word for";
}

TEST_F(NbdSessionTest, ListsItsOneExport) {
  EXPECT_EQ(say(kFlags + kOption +
                "00000003"
                "00000000"),
            kReply +
                "00000003"
                "00000002"
                "00000012"
                "0000000e" +
                base::to_hex(base::bytes_of("uefi-variables")) + kReply +
                "00000003"
                "00000001"
                "00000000");
  EXPECT_EQ(say(kOption + "00000003"
                          "00000001"
                          "00"),
            kReply +
                "00000003"
                "80000003"
                "00000000");
}

TEST_F(NbdSessionTest, RefusesOptionsThatItDoesNotSpeakAndGoesOn) {
  // STARTTLS, STRUCTURED_REPLY, SET_META_CONTEXT with data, and one that nobody knows.
  for (const std::string option : {"00000005", "00000008", "7fffffff"}) {
    EXPECT_EQ(say((option == "00000005" ? kFlags : "") + kOption + option + "00000000"),
              kReply + option +
                  "80000001"
                  "00000000");
  }
  EXPECT_EQ(say(kOption + "0000000a"
                          "00000004"
                          "01020304"),
            kReply +
                "0000000a"
                "80000001"
                "00000000");
  EXPECT_THAT(say(kGo), testing::EndsWith("00000001"
                                          "00000000"));
}

TEST_F(NbdSessionTest, PassesOverAnOptionThatIsTooLong) {
  say(kFlags);
  EXPECT_EQ(say(kOption + "00000007"
                          "00010000"),
            "");
  EXPECT_EQ(say(repeated("00", 0xffff)), "");

  EXPECT_EQ(say("00"), kReply +
                           "00000007"
                           "80000009"
                           "00000000");
  EXPECT_THAT(say(kGo), testing::EndsWith("00000001"
                                          "00000000"));
}

TEST_F(NbdSessionTest, CallsAChoiceInvalidWhoseLengthsDoNotFit) {
  EXPECT_EQ(say(kFlags + kOption +
                "00000007"
                "00000006"
                "ffffffff"
                "0000"),
            kReply +
                "00000007"
                "80000003"
                "00000000");
  EXPECT_TRUE(session_.is_negotiating());
}

TEST_F(NbdSessionTest, EndsWhenTheClientAborts) {
  EXPECT_EQ(say(kFlags + kOption +
                "00000002"
                "00000000"),
            kReply +
                "00000002"
                "00000001"
                "00000000");
  EXPECT_TRUE(session_.is_over());
}

TEST_F(NbdSessionTest, HasLeftTheProtocolAfterWhatIsNoMessage) {
  say("ffffffff");
  EXPECT_EQ(left_protocol_, ErrorCode::kCorrupt);
}

TEST_F(NbdSessionTest, HasLeftTheProtocolAfterWhatIsNoRequest) {
  choose();
  EXPECT_EQ(say(request(0, 3, 0, 0)), kDone);
  EXPECT_FALSE(left_protocol_);

  say(repeated("00", 28));
  EXPECT_EQ(left_protocol_, ErrorCode::kCorrupt);
}

TEST_F(NbdSessionTest, WritesAndReads) {
  choose();
  EXPECT_EQ(say(request(0, 1, 512, 3) + "0a0b0c"), kDone);
  EXPECT_EQ(say(request(0, 0, 511, 5)), kDone + "000a0b0c00");
  EXPECT_THAT(export_.events, ElementsAre("write 512 3"));
}

TEST_F(NbdSessionTest, WritesNothingBeforeAllOfItIsThere) {
  choose();
  EXPECT_EQ(say(request(0, 1, 0, 512) + repeated("aa", 511)), "");
  EXPECT_THAT(export_.events, IsEmpty());

  EXPECT_EQ(say("aa"), kDone);
  EXPECT_THAT(export_.events, ElementsAre("write 0 512"));
}

TEST_F(NbdSessionTest, FlushesWhenAskedAndWithEachWriteThrough) {
  choose();
  EXPECT_EQ(say(request(0, 3, 0, 0)), kDone);
  EXPECT_EQ(say(request(1, 1, 0, 1) + "00"), kDone);
  EXPECT_EQ(say(request(1, 0, 0, 1)), kDone + "00") << "a read has nothing to write through";
  EXPECT_THAT(export_.events, ElementsAre("flush", "write 0 1", "flush"));
}

TEST_F(NbdSessionTest, SaysWhatFails) {
  choose();
  export_.fails = "flush";
  EXPECT_EQ(say(request(0, 3, 0, 0)), kIoError);
  EXPECT_EQ(say(request(1, 1, 0, 1) + "00"), kIoError);
  EXPECT_EQ(say(request(0, 1, 0, 1) + "00"), kDone);
  export_.fails = "write";
  EXPECT_EQ(say(request(0, 1, 0, 1) + "00"), kIoError);
  export_.fails = "read";
  EXPECT_EQ(say(request(0, 0, 0, 1)), kIoError);
}

TEST_F(NbdSessionTest, RefusesWhatLiesOutsideAndGoesOn) {
  choose();
  EXPECT_EQ(say(request(0, 0, kSize, 1)), kInvalid);
  EXPECT_EQ(say(request(0, 0, 0xffffffffffffffff, 2)), kInvalid);
  EXPECT_EQ(say(request(0, 1, kSize - 1, 2) + "0000"), kNoSpace);
  EXPECT_EQ(say(request(0, 1, 0xffffffffffffffff, 2) + "0000"), kNoSpace);
  EXPECT_EQ(say(request(0, 0, kSize, 0)), kDone);
  EXPECT_THAT(export_.events, IsEmpty());
}

TEST_F(NbdSessionTest, PassesOverTheDataOfAWriteThatIsTooLong) {
  FakeBlockExport large(2 * kMaxTransferBytes);
  Session session(large);
  session.take(*base::from_hex(kFlags + kGo + request(0, 1, 0, kMaxTransferBytes + 1)));
  std::string answered;
  const auto collect = [&] {
    while (const auto answer = *session.next_answer()) {
      answered = base::to_hex(answer->expose());
    }
  };
  collect();
  const base::Bytes piece(kMaxTransferBytes / 4);
  for (int i = 0; i < 4; ++i) {
    session.take(piece);
    collect();
  }
  EXPECT_NE(answered, kInvalid) << "a byte of its data is still to come";

  session.take(*base::from_hex("00"));
  collect();
  EXPECT_EQ(answered, kInvalid);
  session.take(*base::from_hex(request(0, 0, 0, kMaxTransferBytes + 1)));
  answered.clear();
  collect();
  EXPECT_EQ(answered, kInvalid);
  EXPECT_THAT(large.events, IsEmpty());
}

TEST_F(NbdSessionTest, RefusesCommandsAndFlagsThatItDidNotOffer) {
  choose();
  for (const int command : {4, 5, 6, 7, 8, 0xffff}) {
    EXPECT_EQ(say(request(0, command, 0, 512)), kInvalid) << command;
  }
  EXPECT_EQ(say(request(2, 0, 0, 1)), kInvalid);
  EXPECT_EQ(say(request(2, 1, 0, 1) + "00"), kInvalid);
  EXPECT_EQ(say(request(2, 3, 0, 0)), kInvalid);
  EXPECT_THAT(export_.events, IsEmpty());
}

TEST_F(NbdSessionTest, LeavesARequestToAnotherSessionAtEachOfItsBytes) {
  choose();
  const std::string write = request(0, 1, 4, 2) + "abcd";
  for (std::size_t at = 0; at < write.size(); at += 2) {
    EXPECT_EQ(say(write.substr(0, at)), "");
    auto rest = session_.at_rest();
    ASSERT_TRUE(rest) << rest.error().message;
    EXPECT_EQ(base::to_hex(rest->expose()), write.substr(0, at));
    Session next(export_, *std::move(rest));

    next.take(*base::from_hex(write.substr(at) + request(0, 0, 3, 4)));

    std::string answered;
    while (const auto answer = *next.next_answer()) {
      answered += base::to_hex(answer->expose());
    }
    EXPECT_EQ(answered, kDone + kDone + "00abcd00") << at;
    export_.bytes.assign(kSize, std::byte{0});
    say(write.substr(at));
    export_.bytes.assign(kSize, std::byte{0});
  }
}

TEST_F(NbdSessionTest, IsLeftToNobodyBeforeItHasChosenNorWithDataThatArePassedOver) {
  EXPECT_EQ(error_code(session_.at_rest()), ErrorCode::kUnavailable);
  choose();
  EXPECT_EQ(say(request(0, 1, kSize, 4) + "0000"), "");
  EXPECT_EQ(error_code(session_.at_rest()), ErrorCode::kUnavailable);
  EXPECT_EQ(say("0000"), kNoSpace);
  EXPECT_TRUE(session_.at_rest());
  say(request(0, 2, 0, 0));
  EXPECT_EQ(error_code(session_.at_rest()), ErrorCode::kUnavailable);
}

TEST_F(NbdSessionTest, IsOverWhenTheClientDisconnects) {
  choose();
  EXPECT_EQ(say(request(0, 2, 0, 0) + request(0, 3, 0, 0)), "");
  EXPECT_TRUE(session_.is_over());
  EXPECT_THAT(export_.events, IsEmpty());
}

}  // namespace
}  // namespace transport::nbd
