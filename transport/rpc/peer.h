// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "transport/tls/peer_identity.h"
#include "vmgs/base/result.h"

namespace transport::rpc {

// UnixPeer is the process at the other end of a Unix socket, as the kernel knows it: who it was
// when it connected (SO_PEERCRED), and all its groups (SO_PEERGROUPS).
struct UnixPeer {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
};

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

// peer_of() asks the kernel about a connected Unix socket. kIo if it will not say.
base::Result<UnixPeer> peer_of(int socket);

// PeerPolicy says who may call over a Unix socket: root, the user the service runs as, and members
// of one group.
struct PeerPolicy {
  uid_t own_uid = 0;
  std::optional<gid_t> group;

  [[nodiscard]] bool admits(const UnixPeer& peer) const;
};

}  // namespace transport::rpc
