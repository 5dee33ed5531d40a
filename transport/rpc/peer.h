// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <optional>
#include <vector>

#include "vmgs/base/result.h"

namespace transport::rpc {

// Peer is the process at the other end of a Unix socket, as the kernel knows it: who it was when
// it connected (SO_PEERCRED), and all its groups (SO_PEERGROUPS).
struct Peer {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
};

// peer_of() asks the kernel about a connected Unix socket. kIo if it will not say.
base::Result<Peer> peer_of(int socket);

// PeerPolicy says who may call: root, the user the service runs as, and members of one group.
struct PeerPolicy {
  uid_t own_uid = 0;
  std::optional<gid_t> group;

  [[nodiscard]] bool admits(const Peer& peer) const;
};

}  // namespace transport::rpc
