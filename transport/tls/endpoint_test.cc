// SPDX-License-Identifier: Apache-2.0
#include "transport/tls/endpoint.h"

#include <gtest/gtest.h>

namespace transport::tls {
namespace {

TEST(EndpointTest, IsTheHostAndThePortOfTheUrl) {
  EXPECT_EQ(parse_endpoint("https://Broker.Example:8443"),
            (Endpoint{"broker.example", 8443, false}));
  EXPECT_EQ(parse_endpoint("https://broker.example/"), (Endpoint{"broker.example", 443, false}));
  EXPECT_EQ(parse_endpoint("https://10.0.0.7:1"), (Endpoint{"10.0.0.7", 1, true}));
  EXPECT_EQ(parse_endpoint("https://[2001:db8::1]:65535"), (Endpoint{"2001:db8::1", 65535, true}));
}

TEST(EndpointTest, PutsBracketsAroundAnIpv6AddressInTheHostHeader) {
  EXPECT_EQ(parse_endpoint("https://[::1]:8443")->authority(), "[::1]:8443");
  EXPECT_EQ(parse_endpoint("https://localhost:8443")->authority(), "localhost:8443");
}

TEST(EndpointTest, RefusesWhatIsNoServiceOverTls) {
  for (const auto* url :
       {"", "broker.example:8443", "http://broker.example:8443", "https://", "https://:8443",
        "https://user@broker.example", "https://broker.example/path", "https://broker.example?a=b",
        "https://broker.example#a", "https://broker.example:0", "https://broker.example:65536",
        "https://bro%20ker.example", "https://[v1.a]:8443", "https://broker.example:8443 "}) {
    const auto endpoint = parse_endpoint(url);
    ASSERT_FALSE(endpoint) << url;
    EXPECT_EQ(endpoint.error().code, base::ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace transport::tls
