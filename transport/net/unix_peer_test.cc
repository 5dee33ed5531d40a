// SPDX-License-Identifier: Apache-2.0
#include "transport/net/unix_peer.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

namespace transport::net {
namespace {

TEST(UnixPeerTest, IsThisProcessAtTheOtherEndOfAPair) {
  std::array<int, 2> ends{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);

  const auto peer = peer_of(ends[0]);

  ASSERT_TRUE(peer);
  EXPECT_EQ(peer->pid, getpid());
  EXPECT_EQ(peer->uid, getuid());
  EXPECT_EQ(peer->gid, getgid());
  close(ends[0]);
  close(ends[1]);
}

TEST(UnixPeerTest, IsUnknownForWhatIsNoSocket) { EXPECT_FALSE(peer_of(-1)); }

TEST(PeerPolicyTest, AdmitsRootAndTheServicesOwnUser) {
  const PeerPolicy policy{1000, {}};

  EXPECT_TRUE(policy.admits({1, 0, 0, {}}));
  EXPECT_TRUE(policy.admits({1, 1000, 5, {}}));
  EXPECT_FALSE(policy.admits({1, 1001, 0, {0}}));
}

TEST(PeerPolicyTest, AdmitsMembersOfItsGroupByPrimaryAndBySupplementaryGroup) {
  const PeerPolicy policy{1000, 50};

  EXPECT_TRUE(policy.admits({1, 1001, 50, {}}));
  EXPECT_TRUE(policy.admits({1, 1001, 7, {8, 50}}));
  EXPECT_FALSE(policy.admits({1, 1001, 7, {8, 51}}));
}

TEST(UnixPeerTest, IsNamedInALogByUserAndProcess) {
  EXPECT_EQ(describe(UnixPeer{17, 0, 0, {}}), "user 0, process 17");
}

}  // namespace
}  // namespace transport::net
