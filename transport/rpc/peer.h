// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "transport/net/unix_peer.h"
#include "transport/tls/peer_identity.h"

namespace transport::rpc {

using net::peer_of;
using net::PeerPolicy;
using net::UnixPeer;

// TlsPeer is the owner of the certificate at the other end of a TLS connection.
struct TlsPeer {
  tls::PeerIdentity identity;
  std::string address;  // "10.0.0.7:41234"
};

// Stranger is somebody of whom only the address is known, at a listener that lets such in.
struct Stranger {
  std::string address;
};

// Peer is who calls.
using Peer = std::variant<UnixPeer, TlsPeer, Stranger>;

// describe() names a peer in a log: "user 0, process 17", "tenant ops, certificate 00112233, from
// 10.0.0.7:41234", "10.0.0.7:41234".
std::string describe(const Peer& peer);

// network_of() is where an address ("10.0.0.7:41234", "[2001:db8::1]:443") belongs to: the IPv4
// address, or the first 64 bits of an IPv6 address, which one caller has all addresses of. What is
// no address is given back as it is.
std::string network_of(std::string_view address);

}  // namespace transport::rpc
