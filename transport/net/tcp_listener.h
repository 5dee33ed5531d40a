// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"

namespace transport::net {

// Whether other sockets may listen at the same address, each taking its part of the callers: a
// process with a listener to a thread.
enum class Sharing { kAlone, kShared };

// listen_tcp() is a listening socket at an IPv4 or IPv6 address, "::" for all of both; port 0 lets
// the system choose. kUnavailable if somebody listens there; kInvalidArgument for what is no
// address; kDenied for a port that this user may not have; else kIo.
base::Result<base::Descriptor> listen_tcp(const std::string& address, std::uint16_t port,
                                          Sharing sharing = Sharing::kAlone);

// port_of() is the port of a bound TCP socket, 0 for any other.
std::uint16_t port_of(const base::Descriptor& socket);

}  // namespace transport::net
