// SPDX-License-Identifier: Apache-2.0
#include "transport/net/unix_peer.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace transport::net {

namespace {

base::Result<std::vector<gid_t>> groups_of(int socket) {
  std::vector<gid_t> groups(32);
  for (;;) {
    auto bytes = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &bytes) == 0) {
      groups.resize(bytes / sizeof(gid_t));
      return groups;
    }
    if (errno != ERANGE) {
      return base::fail(base::ErrorCode::kIo, "cannot learn the groups of a caller: " +
                                                  std::generic_category().message(errno));
    }
    // The kernel has put the size it needs into `bytes`.
    groups.resize(bytes / sizeof(gid_t));
  }
}

}  // namespace

std::string describe(const UnixPeer& peer) {
  return "user " + std::to_string(peer.uid) + ", process " + std::to_string(peer.pid);
}

base::Result<UnixPeer> peer_of(int socket) {
  ucred credentials{};
  socklen_t bytes = sizeof(credentials);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) != 0) {
    return base::fail(base::ErrorCode::kIo,
                      "cannot learn who a caller is: " + std::generic_category().message(errno));
  }
  TRY_ASSIGN(groups, groups_of(socket));
  return UnixPeer{credentials.pid, credentials.uid, credentials.gid, std::move(groups)};
}

bool PeerPolicy::admits(const UnixPeer& peer) const {
  if (peer.uid == 0 || peer.uid == own_uid) {
    return true;
  }
  return group && (peer.gid == *group ||
                   std::find(peer.groups.begin(), peer.groups.end(), *group) != peer.groups.end());
}

}  // namespace transport::net
