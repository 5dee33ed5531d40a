// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/peer.h"

#include <gtest/gtest.h>

namespace transport::rpc {
namespace {

TEST(PeerTest, IsNamedInALogByWhatIsKnown) {
  tls::PeerIdentity identity{};
  identity.role = tls::Role::kHypervisor;
  identity.name = "host-7";

  EXPECT_EQ(describe(UnixPeer{17, 0, 0, {}}), "user 0, process 17");
  EXPECT_EQ(describe(TlsPeer{identity, "10.0.0.7:41234"}),
            "hypervisor host-7, certificate 00000000, from 10.0.0.7:41234");
  EXPECT_EQ(describe(Stranger{"[::1]:80"}), "[::1]:80");
}

TEST(PeerTest, ANetworkIsWhatOneCallerHasAllAddressesOf) {
  EXPECT_EQ(network_of("10.0.0.7:41234"), "10.0.0.7");
  EXPECT_EQ(network_of("[2001:db8:0:1:2:3:4:5]:443"), "2001:db8:0:1::/64");
  EXPECT_EQ(network_of("[2001:db8:0:1:ffff::]:444"), network_of("[2001:db8:0:1:2:3:4:5]:443"));
  EXPECT_NE(network_of("[2001:db8:0:2::1]:443"), network_of("[2001:db8:0:1::1]:443"));
  EXPECT_EQ(network_of("[::ffff:10.0.0.7]:443"), "10.0.0.7");
  EXPECT_EQ(network_of("somewhere"), "somewhere");
}

}  // namespace
}  // namespace transport::rpc
