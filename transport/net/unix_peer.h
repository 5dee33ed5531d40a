// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "vmgs/base/result.h"

namespace transport::net {

// UnixPeer is the process at the other end of a Unix socket, as the kernel knows it: who it was
// when it connected (SO_PEERCRED), and all its groups (SO_PEERGROUPS).
struct UnixPeer {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
};

// describe() names it in a log: "user 0, process 17".
std::string describe(const UnixPeer& peer);

// peer_of() asks the kernel about a connected Unix socket. kIo if it will not say.
base::Result<UnixPeer> peer_of(int socket);

// PeerPolicy says who may call over a Unix socket: root, the user the service runs as, and members
// of one group.
struct PeerPolicy {
  uid_t own_uid = 0;
  std::optional<gid_t> group;

  [[nodiscard]] bool admits(const UnixPeer& peer) const;
};

}  // namespace transport::net
