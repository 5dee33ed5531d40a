// SPDX-License-Identifier: Apache-2.0
#include "vmgs/base/passed_descriptors.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace base {
namespace {

constexpr std::size_t kMost = 3;

class PassedDescriptorsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    here_ = Descriptor(ends[0]);
    there_ = Descriptor(ends[1]);
  }

  void send(std::span<const int> numbers) const {
    std::byte word{0x5a};
    iovec piece{&word, 1};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    PassingRoom<kMost> room;
    if (!numbers.empty()) {
      pass_descriptors(message, room.bytes, numbers);
    }
    ASSERT_EQ(::sendmsg(here_.number(), &message, 0), 1);
  }

  void receive() {
    std::byte word{};
    iovec piece{&word, 1};
    PassingRoom<kMost> room;
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = room.bytes.data();
    message.msg_controllen = room.bytes.size();
    ASSERT_EQ(::recvmsg(there_.number(), &message, MSG_CMSG_CLOEXEC), 1);
    take_descriptors(message, taken_);
  }

  static bool is_same(int a, int b) {
    struct stat of_a {};

    struct stat of_b {};

    return ::fstat(a, &of_a) == 0 && ::fstat(b, &of_b) == 0 && of_a.st_ino == of_b.st_ino;
  }

  Descriptor here_;
  Descriptor there_;
  std::vector<Descriptor> taken_;
};

TEST_F(PassedDescriptorsTest, ArriveInTheirOrder) {
  send(std::array{here_.number(), there_.number(), here_.number()});

  receive();

  ASSERT_EQ(taken_.size(), 3U);
  EXPECT_TRUE(is_same(taken_[0].number(), here_.number()));
  EXPECT_TRUE(is_same(taken_[1].number(), there_.number()));
  EXPECT_TRUE(is_same(taken_[2].number(), here_.number()));
}

TEST_F(PassedDescriptorsTest, AreAddedToThoseThatCameBefore) {
  send(std::array{here_.number()});
  receive();
  send({});
  receive();
  send(std::array{there_.number()});

  receive();

  ASSERT_EQ(taken_.size(), 2U);
  EXPECT_TRUE(is_same(taken_[1].number(), there_.number()));
}

}  // namespace
}  // namespace base
