// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/peer.h"

namespace transport::rpc {

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

}  // namespace transport::rpc
