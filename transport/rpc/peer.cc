// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/peer.h"

#include <algorithm>
#include <boost/asio/ip/address.hpp>

namespace transport::rpc {

namespace asio = boost::asio;

namespace {

struct Description {
  std::string operator()(const UnixPeer& peer) const { return net::describe(peer); }

  std::string operator()(const TlsPeer& peer) const {
    return tls::describe(peer.identity) + ", from " + peer.address;
  }

  std::string operator()(const Stranger& peer) const { return peer.address; }
};

}  // namespace

std::string describe(const Peer& peer) { return std::visit(Description{}, peer); }

std::string network_of(std::string_view address) {
  auto host = address.substr(0, address.rfind(':'));
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  }
  boost::system::error_code none;
  const auto parsed = asio::ip::make_address(std::string(host), none);
  if (none) {
    return std::string(address);
  }
  if (parsed.is_v4()) {
    return parsed.to_string();
  }
  if (parsed.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, parsed.to_v6()).to_string();
  }
  auto bytes = parsed.to_v6().to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), 0);
  return asio::ip::make_address_v6(bytes).to_string() + "/64";
}

}  // namespace transport::rpc
