// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "tools/vtpm-instance/setup.h"
#include "transport/net/unix_listener.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"

namespace tools::vtpm_instance {

// A socket that listens, and the path that goes with it if we made it.
struct Listening {
  base::Descriptor socket;
  std::optional<transport::net::UnixListener> ours;
};

// listen_at() takes the socket of an endpoint, or makes it; neither where there is none. Errors of
// UnixListener.
base::Result<Listening> listen_at(Endpoint endpoint);

// expect_bindable() tells whether there will be a socket, before a store is made for whoever
// connects to it.
base::Result<void> expect_bindable(const Endpoint& endpoint);

}  // namespace tools::vtpm_instance
