// SPDX-License-Identifier: Apache-2.0
#include "transport/net/receive.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>

#include "tests/support/error_code.h"
#include "tests/support/socket_client.h"

namespace transport::net {
namespace {

using base::ErrorCode;
using tests::support::error_code;
using tests::support::socket_pair;
using tests::support::SocketClient;

class ReceiveTest : public testing::Test {
 protected:
  ReceiveTest() : ReceiveTest(socket_pair()) {}

  explicit ReceiveTest(std::pair<base::Descriptor, base::Descriptor> ends)
      : socket_(std::move(ends.first)), client_(std::move(ends.second)) {}

  base::Descriptor socket_;
  SocketClient client_;
  std::array<std::byte, 64> buffer_{};
};

TEST_F(ReceiveTest, TakesWhatIsThere) {
  client_.send_hex("cafe");

  const auto received = receive(socket_.number(), buffer_);

  ASSERT_TRUE(received);
  EXPECT_EQ(base::to_hex(base::ByteView(buffer_).first(received->bytes)), "cafe");
  EXPECT_TRUE(received->descriptors.empty());
}

TEST_F(ReceiveTest, DoesNotWait) {
  EXPECT_EQ(error_code(receive(socket_.number(), buffer_)), ErrorCode::kUnavailable);
}

TEST_F(ReceiveTest, SeesThatThePeerHasClosed) {
  client_.close();

  const auto received = receive(socket_.number(), buffer_);

  ASSERT_TRUE(received);
  EXPECT_EQ(received->bytes, 0U);
}

TEST_F(ReceiveTest, BecomesTheOwnerOfDescriptorsThatClosesOnExec) {
  client_.send_with(*base::from_hex("00"), {STDERR_FILENO});

  auto received = receive(socket_.number(), buffer_);

  ASSERT_TRUE(received);
  ASSERT_EQ(received->descriptors.size(), 1U);
  const int number = received->descriptors[0].number();
  EXPECT_EQ(::fcntl(number, F_GETFD), FD_CLOEXEC);
  received->descriptors.clear();
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
}

TEST_F(ReceiveTest, LeavesDescriptorsBeyondItsLimitToTheKernel) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  base::Descriptor reader(ends[0]);
  base::Descriptor writer(ends[1]);
  client_.send_with(*base::from_hex("00"), std::vector<int>(20, writer.number()));

  auto received = receive(socket_.number(), buffer_);

  ASSERT_TRUE(received);
  EXPECT_EQ(received->descriptors.size(), kMaxDescriptors);
  received->descriptors.clear();
  writer = base::Descriptor();
  EXPECT_EQ(::read(reader.number(), buffer_.data(), 1), 0) << "somebody still has the other end";
}

TEST_F(ReceiveTest, SaysSoWhereThereIsNoSocket) {
  EXPECT_EQ(error_code(receive(-1, buffer_)), ErrorCode::kIo);
}

}  // namespace
}  // namespace transport::net
