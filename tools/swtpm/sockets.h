// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "transport/net/unix_listener.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"

namespace tools::swtpm {

// A channel as --ctrl or --server names it: somewhere to listen, or a connection that was passed.
struct Channel {
  base::Descriptor listening;
  base::Descriptor connected;
  std::optional<transport::net::UnixListener> ours;  // removes the path at the end
  bool terminate = false;   // the process ends with a connection of this channel
  bool disconnect = false;  // a connection ends with the first response
};

// open_control() opens what --ctrl names, open_server() what --server names. kInvalidArgument for a
// wrong option, or a descriptor that is no socket; errors of listening.
base::Result<Channel> open_control(std::string_view value);
base::Result<Channel> open_server(std::string_view value);

// passed_data_channel() takes the descriptor of --fd, on which TPM commands come.
base::Result<Channel> passed_data_channel(std::string_view value);

}  // namespace tools::swtpm
