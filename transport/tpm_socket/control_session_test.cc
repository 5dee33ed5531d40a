// SPDX-License-Identifier: Apache-2.0
#include "transport/tpm_socket/control_session.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "transport/tpm_socket/fake_control_handler.h"

namespace transport::tpm_socket {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

bool is_open(int descriptor) { return ::fcntl(descriptor, F_GETFD) >= 0; }

base::Descriptor some_descriptor() {
  return base::Descriptor(::open("/dev/null", O_RDWR | O_CLOEXEC));
}

class ControlSessionTest : public testing::Test {
 protected:
  // The answers to what arrives, in hexadecimal.
  std::vector<std::string> answers(const std::string& hex,
                                   std::vector<base::Descriptor> descriptors = {}) {
    session_->take(*base::from_hex(hex), std::move(descriptors));
    std::vector<std::string> given;
    while (const auto answer = session_->next_answer()) {
      given.push_back(base::to_hex(answer->expose()));
    }
    return given;
  }

  // The same if the bytes arrive one by one.
  std::vector<std::string> answers_byte_by_byte(const std::string& hex) {
    std::vector<std::string> given;
    for (std::size_t i = 0; i < hex.size(); i += 2) {
      for (auto& answer : answers(hex.substr(i, 2))) {
        given.push_back(std::move(answer));
      }
    }
    return given;
  }

  void connect_anew() {
    handler_.asked.clear();
    handler_.blob = *base::from_hex("cafe");
    session_.emplace(handler_);
  }

  FakeControlHandler handler_;
  std::optional<ControlSession> session_{std::in_place, handler_};
};

struct Exchange {
  std::string request;
  std::string asked;  // of the handler, if anything
  std::string answer;
};

const std::vector<Exchange> kExchanges = {
    {"00000001", "", "000000000001ffff"},
    {"0000000200000000", "init", "00000000"},
    {"0000000200000001", "init, delete volatile", "00000000"},
    {"00000003", "shutdown", "00000000"},
    {"00000004", "established", "0000000001000000"},
    {"0000000503", "locality 3", "00000000"},
    {"00000006", "hash start", "00000000"},
    {"0000000700000001ab", "hash data", "00000000"},
    {"0000000700000000", "hash data", "00000000"},
    {"00000008", "hash end", "00000000"},
    {"00000009", "cancel", "00000000"},
    {"0000000a", "store volatile", "00000000"},
    {"0000000b04", "reset established from 4", "00000000"},
    {"0000000c000000010000000100000000", "get permanent, file key off",
     "00000000000000000000000200000002cafe"},
    {"0000000c000000010000000200000001", "get volatile, file key off",
     "00000000000000000000000100000001fe"},
    {"0000000c000000010000000300000000", "state is taken", "00000800000000000000000000000000"},
    {"0000000c000000010000000400000000", "", "00000003000000000000000000000000"},
    {"0000000d000000000000000100000002beef", "set permanent", "00000000"},
    {"0000000d000000000000000200000000", "set volatile", "00000000"},
    {"0000000d000000000000000300000000", "", "00000000"},
    {"0000000d000000000000000300000002beef", "", "00000003"},
    {"0000000d000000000000000900000002beef", "", "00000003"},
    {"0000000d000000020000000100000002beef", "set permanent, under the file key", "00000000"},
    {"0000000e", "stop", "00000000"},
    {"0000000f", "", "0000000000000000"},
    {"0000001100000000", "buffer size 0", "0000000000000f8000000af800001000"},
    {"0000001200000000000000010000000000000000", "info 1", "0000000000000003000000037b7d00"},
    {"000000130000012c", "lock 300", "00000000"},
    {"00000014", "", "0000000a"},
    {"00000000", "", "0000000a"},
};

TEST_F(ControlSessionTest, CarriesOutAndAnswersEveryRequest) {
  handler_.bit = true;
  for (const auto& exchange : kExchanges) {
    connect_anew();
    EXPECT_THAT(answers(exchange.request), ElementsAre(exchange.answer)) << exchange.request;
    const auto asked = exchange.asked.empty() ? std::vector<std::string>()
                                              : std::vector<std::string>{exchange.asked};
    EXPECT_EQ(handler_.asked, asked) << exchange.request;
    EXPECT_FALSE(session_->waits_for_rest()) << exchange.request;
  }
}

TEST_F(ControlSessionTest, CarriesOutRequestsThatArriveByteByByte) {
  handler_.bit = true;
  for (const auto& exchange : kExchanges) {
    connect_anew();
    EXPECT_THAT(answers_byte_by_byte(exchange.request), ElementsAre(exchange.answer))
        << exchange.request;
  }
}

TEST_F(ControlSessionTest, KnowsWhenItWaitsForTheRestOfARequest) {
  EXPECT_FALSE(session_->waits_for_rest());
  EXPECT_THAT(answers("0000"), IsEmpty());
  EXPECT_TRUE(session_->waits_for_rest());
  EXPECT_THAT(answers("000d0000000000000001"), IsEmpty());
  EXPECT_TRUE(session_->waits_for_rest());
  EXPECT_THAT(answers("00000002be"), IsEmpty());
  EXPECT_TRUE(session_->waits_for_rest());
  EXPECT_THAT(answers("ef"), ElementsAre("00000000"));
  EXPECT_FALSE(session_->waits_for_rest());
}

TEST_F(ControlSessionTest, TakesQemusPaddingEarlyAndLate) {
  EXPECT_THAT(answers("0000000501000000"), ElementsAre("00000000"));
  EXPECT_THAT(answers("0000000502"), ElementsAre("00000000"));
  EXPECT_THAT(answers("000000"), IsEmpty());
  EXPECT_FALSE(session_->waits_for_rest()) << "that may be padding and no more";
  EXPECT_THAT(answers("0000000e"), ElementsAre("00000000"));
  EXPECT_THAT(answers("0000000503"), ElementsAre("00000000"));
  EXPECT_THAT(answers("0000000e"), ElementsAre("00000000")) << "no padding came";

  EXPECT_THAT(handler_.asked,
              ElementsAre("locality 1", "locality 2", "stop", "locality 3", "stop"));
}

TEST_F(ControlSessionTest, GivesBlobsWholeToTheHandler) {
  std::string blob;
  for (int i = 0; i < 5000; ++i) {
    blob += "5a";
  }
  // As QEMU sends it: header, then body.
  EXPECT_THAT(answers("0000000d000000000000000200001388"), IsEmpty());
  EXPECT_THAT(answers(blob), ElementsAre("00000000"));

  EXPECT_EQ(base::to_hex(handler_.blob), blob);
  EXPECT_THAT(handler_.asked, ElementsAre("set volatile"));
}

TEST_F(ControlSessionTest, PassesOverABlobThatIsTooLarge) {
  EXPECT_THAT(answers("0000000d000000000000000100080001"), IsEmpty());
  const std::string piece(2 * 65536, '0');
  for (int i = 0; i < 8; ++i) {
    EXPECT_THAT(answers(piece), IsEmpty());
  }
  EXPECT_THAT(answers("00"
                      "0000000e"),
              ElementsAre("00000017", "00000000"));
  EXPECT_THAT(handler_.asked, ElementsAre("stop"));
}

TEST_F(ControlSessionTest, TakesABlobOfTheLargestSize) {
  EXPECT_THAT(answers("0000000d000000000000000100080000"), IsEmpty());
  EXPECT_THAT(answers(std::string(2 * 524288, '0')), ElementsAre("00000000"));
  EXPECT_EQ(handler_.blob.size(), 524288U);
}

TEST_F(ControlSessionTest, HashesDataOfAnyLengthAsItComes) {
  EXPECT_THAT(answers("0000000700200000"), IsEmpty());
  const std::string piece(2 * 65536, 'a');
  for (int i = 0; i < 31; ++i) {
    EXPECT_THAT(answers(piece), IsEmpty());
  }
  EXPECT_EQ(handler_.hashed.size(), 31U * 65536U);
  EXPECT_THAT(answers(piece), ElementsAre("00000000"));
  EXPECT_EQ(handler_.hashed.size(), 2U * 1024U * 1024U);
}

TEST_F(ControlSessionTest, PassesOverTheRestOfDataThatWasRefused) {
  handler_.error = base::ErrorCode::kDenied;

  EXPECT_THAT(answers("0000000700000004aabb"), IsEmpty());
  EXPECT_THAT(answers("ccdd"), ElementsAre("0000000a"));
  EXPECT_THAT(handler_.asked, ElementsAre("hash data"));
}

TEST_F(ControlSessionTest, AnswersFailuresInTheLengthThatClientsRead) {
  handler_.error = base::ErrorCode::kDenied;
  EXPECT_THAT(answers("00000004"), ElementsAre("0000000a00000000"));
  EXPECT_THAT(answers("0000000c000000010000000100000000"),
              ElementsAre("0000000a000000000000000000000000"));
  EXPECT_THAT(answers("0000001100001000"), ElementsAre("0000000a"));
  EXPECT_THAT(answers("0000001200000000000000010000000000000000"), ElementsAre("0000000a"));
  EXPECT_THAT(answers("0000000200000000"), ElementsAre("0000000a"));
}

TEST_F(ControlSessionTest, SaysOfAStateThatDoesNotStartWhatLibtpmsDoes) {
  for (const auto code : {base::ErrorCode::kAuthentication, base::ErrorCode::kCorrupt}) {
    handler_.error = code;
    EXPECT_THAT(answers("0000000200000000"), ElementsAre("00000101"));
  }
}

TEST_F(ControlSessionTest, BlamesTheLocalityWhereNothingElseCanBeWrong) {
  handler_.error = base::ErrorCode::kInvalidArgument;

  EXPECT_THAT(answers("0000000509000000"), ElementsAre("0000003d"));
  EXPECT_THAT(answers("0000000b02000000"), ElementsAre("0000003d"));
  EXPECT_THAT(answers("0000001100001000"), ElementsAre("00000003"));
}

TEST_F(ControlSessionTest, DoesNotOfferStateBlobsWhereTheHandlerHasNone) {
  handler_.state_blobs = false;

  EXPECT_THAT(answers("00000001"), ElementsAre("000000000001fcff"));
}

TEST_F(ControlSessionTest, SaysWhatItsSenderSaidOfABlobsKey) {
  EXPECT_THAT(answers("0000000d000000020000000100000001aa"), ElementsAre("00000000"));
  EXPECT_THAT(answers("0000000d000000000000000200000001bb"), ElementsAre("00000000"));

  EXPECT_THAT(handler_.asked, ElementsAre("set permanent, under the file key", "set volatile"));
}

TEST_F(ControlSessionTest, AsksForABlobUnderTheFileKeyOrNot) {
  handler_.keys = {.file = true, .migration = true};
  handler_.blob = {std::byte{0x5a}};

  EXPECT_THAT(answers("0000000f"), ElementsAre("0000000000000003"));
  EXPECT_THAT(answers("0000000c000000010000000100000000"),
              ElementsAre("000000000000000000000001000000015a"));
  EXPECT_THAT(answers("0000000c000000000000000200000000"),
              ElementsAre("000000000000000200000001000000015a"));
  EXPECT_THAT(handler_.asked, ElementsAre("get permanent, file key off", "get volatile"));
}

TEST_F(ControlSessionTest, TellsThatTheLastBlobWasAskedFor) {
  EXPECT_THAT(answers("0000000c000000010000000300000000"),
              ElementsAre("00000800000000000000000000000000"));

  EXPECT_THAT(handler_.asked, ElementsAre("state is taken"));
}

TEST_F(ControlSessionTest, TellsWhatIsWrongWithTheKeyOfABlob) {
  const std::string set = "0000000d000000000000000100000001aa";
  handler_.error = base::ErrorCode::kNotFound;
  EXPECT_THAT(answers(set), ElementsAre("0000000d"));
  handler_.error = base::ErrorCode::kInvalidArgument;
  EXPECT_THAT(answers(set), ElementsAre("00000028"));
  handler_.error = base::ErrorCode::kAuthentication;
  EXPECT_THAT(answers(set), ElementsAre("00000021"));
}

TEST_F(ControlSessionTest, HandsTheDataChannelOver) {
  std::vector<base::Descriptor> descriptors;
  descriptors.push_back(some_descriptor());
  const int number = descriptors.front().number();

  EXPECT_THAT(answers("00000010", std::move(descriptors)), ElementsAre("00000000"));

  EXPECT_EQ(handler_.channel.number(), number);
  EXPECT_TRUE(session_->owns_data_channel());
}

TEST_F(ControlSessionTest, HandsTheDataChannelOverThoughItsRequestComesInPieces) {
  std::vector<base::Descriptor> descriptors;
  descriptors.push_back(some_descriptor());

  EXPECT_THAT(answers("0000", std::move(descriptors)), IsEmpty());
  EXPECT_THAT(answers("0010"), ElementsAre("00000000"));
  EXPECT_TRUE(handler_.channel.is_open());
}

TEST_F(ControlSessionTest, ClosesDescriptorsThatItDoesNotUse) {
  std::vector<base::Descriptor> two;
  two.push_back(some_descriptor());
  two.push_back(some_descriptor());
  const int first = two[0].number();
  const int second = two[1].number();
  EXPECT_THAT(answers("00000010", std::move(two)), ElementsAre("00000003"));
  EXPECT_FALSE(is_open(first));
  EXPECT_FALSE(is_open(second));

  std::vector<base::Descriptor> unasked;
  unasked.push_back(some_descriptor());
  const int third = unasked[0].number();
  EXPECT_THAT(answers("0000000e", std::move(unasked)), ElementsAre("00000000"));
  EXPECT_FALSE(is_open(third));
  EXPECT_FALSE(session_->owns_data_channel());
}

TEST_F(ControlSessionTest, ClosesDescriptorsThatComeWithData) {
  EXPECT_THAT(answers("0000000d0000000000000001ffffffff"), IsEmpty());
  for (int i = 0; i < 20; ++i) {
    std::vector<base::Descriptor> descriptors;
    descriptors.push_back(some_descriptor());
    const int number = descriptors[0].number();
    EXPECT_THAT(answers("00", std::move(descriptors)), IsEmpty());
    EXPECT_FALSE(is_open(number)) << i;
  }
}

TEST_F(ControlSessionTest, KeepsADescriptorThatComesWithTheEndOfDataAndTheNextRequest) {
  EXPECT_THAT(answers("0000000700000002aa"), IsEmpty());
  std::vector<base::Descriptor> descriptors;
  descriptors.push_back(some_descriptor());

  EXPECT_THAT(answers("bb00000010", std::move(descriptors)), ElementsAre("00000000", "00000000"));
  EXPECT_TRUE(handler_.channel.is_open());
}

TEST_F(ControlSessionTest, KeepsFewDescriptorsWhileARequestComesInPieces) {
  std::vector<int> numbers;
  for (const char* piece : {"00", "00", "00"}) {
    std::vector<base::Descriptor> descriptors;
    for (int i = 0; i < 4; ++i) {
      descriptors.push_back(some_descriptor());
      numbers.push_back(descriptors.back().number());
    }
    EXPECT_THAT(answers(piece, std::move(descriptors)), IsEmpty());
  }

  EXPECT_LE(std::count_if(numbers.begin(), numbers.end(), is_open), 2);
  EXPECT_THAT(answers("10"), ElementsAre("00000003")) << "there was more than one";
}

TEST_F(ControlSessionTest, RefusesADataChannelWithoutADescriptor) {
  EXPECT_THAT(answers("00000010"), ElementsAre("00000003"));
  EXPECT_FALSE(session_->owns_data_channel());
}

TEST_F(ControlSessionTest, DoesNotOwnAChannelThatWasRefused) {
  handler_.error = base::ErrorCode::kIo;
  std::vector<base::Descriptor> descriptors;
  descriptors.push_back(some_descriptor());

  EXPECT_THAT(answers("00000010", std::move(descriptors)), ElementsAre("0000001f"));
  EXPECT_FALSE(session_->owns_data_channel());
}

TEST_F(ControlSessionTest, KnowsThatItWasShutDown) {
  EXPECT_FALSE(session_->shut_down());
  answers("00000003");
  EXPECT_TRUE(session_->shut_down());
}

}  // namespace
}  // namespace transport::tpm_socket
