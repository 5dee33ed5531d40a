// SPDX-License-Identifier: Apache-2.0
#include "transport/net/tcp_listener.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace transport::net {
namespace {

using base::ErrorCode;

bool connects_to(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const base::Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(socket.number(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) ==
         0;
}

TEST(TcpListenerTest, ListensAtTheAddressOfEitherFamily) {
  for (const auto* address : {"127.0.0.1", "0.0.0.0", "::"}) {
    const auto socket = listen_tcp(address, 0);

    ASSERT_TRUE(socket) << socket.error().message;
    EXPECT_NE(port_of(*socket), 0);
    EXPECT_TRUE(connects_to(port_of(*socket))) << address;
    EXPECT_NE(fcntl(socket->number(), F_GETFD) & FD_CLOEXEC, 0);
  }
}

TEST(TcpListenerTest, RefusesAnAddressThatIsTaken) {
  const auto first = listen_tcp("127.0.0.1", 0);

  const auto second = listen_tcp("127.0.0.1", port_of(*first));

  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
}

TEST(TcpListenerTest, SharesAnAddressWithThoseThatShareItToo) {
  const auto first = listen_tcp("127.0.0.1", 0, Sharing::kShared);

  EXPECT_TRUE(listen_tcp("127.0.0.1", port_of(*first), Sharing::kShared));
  EXPECT_FALSE(listen_tcp("127.0.0.1", port_of(*first), Sharing::kAlone));
}

TEST(TcpListenerTest, RefusesWhatIsNoAddressOfThisHost) {
  EXPECT_EQ(listen_tcp("localhost", 0).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(listen_tcp("", 0).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(listen_tcp("192.0.2.1", 0).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace transport::net
