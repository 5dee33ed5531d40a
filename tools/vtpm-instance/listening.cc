// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/listening.h"

#include <utility>

namespace tools::vtpm_instance {

base::Result<Listening> listen_at(Endpoint endpoint) {
  Listening listening;
  if (endpoint.listening.is_open()) {
    listening.socket = std::move(endpoint.listening);
  } else if (!endpoint.path.empty()) {
    TRY_ASSIGN(listener, transport::net::UnixListener::bind(endpoint.path));
    listening.socket = listener.release();
    listening.ours.emplace(std::move(listener));
  }
  return listening;
}

base::Result<void> expect_bindable(const Endpoint& endpoint) {
  return endpoint.listening.is_open() || endpoint.path.empty()
             ? base::Result<void>()
             : transport::net::UnixListener::expect_bindable(endpoint.path);
}

}  // namespace tools::vtpm_instance
