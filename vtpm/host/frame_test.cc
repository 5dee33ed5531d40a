// SPDX-License-Identifier: Apache-2.0
#include "vtpm/host/frame.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "keybroker/protocol/instance.pb.h"

namespace vtpm::host {
namespace {

namespace instance = strongroom::instance::v1;
using base::ErrorCode;

struct Pair {
  Pair() {
    std::array<int, 2> ends{};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
    ours = base::Descriptor(ends[0]);
    theirs = base::Descriptor(ends[1]);
  }

  base::Descriptor ours;
  base::Descriptor theirs;
};

instance::ForkRequest request(std::uint64_t serial) {
  instance::ForkRequest message;
  message.set_serial(serial);
  message.set_process_name("vtpm-a");
  return message;
}

TEST(FrameTest, CarriesMessagesInOrder) {
  Pair pair;
  ASSERT_TRUE(send_frame(pair.ours.number(), request(1)));
  ASSERT_TRUE(send_frame(pair.ours.number(), request(2)));
  FrameReader reader;
  ASSERT_TRUE(reader.receive(pair.theirs.number()));

  instance::ForkRequest message;
  ASSERT_TRUE(*reader.next(message));
  EXPECT_EQ(message.serial(), 1U);
  ASSERT_TRUE(*reader.next(message));
  EXPECT_EQ(message.serial(), 2U);
  EXPECT_FALSE(*reader.next(message));
}

TEST(FrameTest, CarriesDescriptorsThatAreClosedOnExec) {
  Pair pair;
  Pair passed;
  const std::array<int, 2> numbers{passed.ours.number(), passed.theirs.number()};
  ASSERT_TRUE(send_frame(pair.ours.number(), request(1), numbers));
  FrameReader reader;
  ASSERT_TRUE(reader.receive(pair.theirs.number()));

  const auto descriptors = reader.take_descriptors();

  ASSERT_EQ(descriptors.size(), 2U);
  ASSERT_EQ(write(descriptors[0].number(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(read(passed.theirs.number(), &byte, 1), 1);
  EXPECT_EQ(fcntl(descriptors[0].number(), F_GETFD), FD_CLOEXEC);
  EXPECT_TRUE(reader.take_descriptors().empty());
}

TEST(FrameTest, WaitsForTheRestOfAFrame) {
  Pair pair;
  const std::string payload = request(7).SerializeAsString();
  const std::string bytes = std::string("\0\0\0", 3) + static_cast<char>(payload.size()) + payload;
  FrameReader reader;
  instance::ForkRequest message;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    EXPECT_FALSE(*reader.next(message)) << i;
    ASSERT_EQ(write(pair.ours.number(), &bytes[i], 1), 1);
    ASSERT_TRUE(reader.receive(pair.theirs.number()));
  }

  ASSERT_TRUE(*reader.next(message));
  EXPECT_EQ(message.serial(), 7U);
}

TEST(FrameTest, SaysThatNothingHasArrived) {
  Pair pair;
  FrameReader reader;

  const auto silent = reader.receive(pair.theirs.number());

  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error().code, ErrorCode::kUnavailable);
}

TEST(FrameTest, EndsWhenThePeerCloses) {
  Pair pair;
  { const auto closed = std::move(pair.ours); }
  FrameReader reader;

  EXPECT_FALSE(*reader.receive(pair.theirs.number()));
  EXPECT_EQ(send_frame(pair.theirs.number(), request(1)).error().code, ErrorCode::kUnavailable);
}

TEST(FrameTest, RefusesAFrameThatClaimsTooMuch) {
  Pair pair;
  ASSERT_EQ(write(pair.ours.number(), "\0\1\0\1", 4), 4);
  FrameReader reader;
  ASSERT_TRUE(reader.receive(pair.theirs.number()));
  instance::ForkRequest message;

  EXPECT_EQ(reader.next(message).error().code, ErrorCode::kCorrupt);
}

TEST(FrameTest, RefusesBytesThatAreNoMessage) {
  Pair pair;
  ASSERT_EQ(write(pair.ours.number(), "\0\0\0\1\xff", 5), 5);
  FrameReader reader;
  ASSERT_TRUE(reader.receive(pair.theirs.number()));
  instance::ForkRequest message;

  EXPECT_EQ(reader.next(message).error().code, ErrorCode::kCorrupt);
}

TEST(FrameTest, DoesNotWaitForAPeerThatDoesNotRead) {
  Pair pair;
  auto large = request(1);
  large.set_process_name(std::string(60'000, 'x'));
  base::Result<void> sent;
  for (int i = 0; i < 100 && sent; ++i) {
    sent = send_frame(pair.ours.number(), large);
  }

  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, ErrorCode::kUnavailable);
}

TEST(FrameTest, RefusesAMessageThatDoesNotFit) {
  Pair pair;
  auto large = request(1);
  large.set_process_name(std::string(kMaxFrameBytes, 'x'));

  EXPECT_EQ(send_frame(pair.ours.number(), large).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace vtpm::host
