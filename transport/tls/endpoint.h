// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "vmgs/base/result.h"

namespace transport::tls {

// Endpoint is where a service listens for TLS.
struct Endpoint {
  std::string host;  // a DNS name in lower case, or an address without brackets
  std::uint16_t port = 443;
  bool is_address = false;

  // authority() is what a Host header says: brackets around an IPv6 address, then the port.
  [[nodiscard]] std::string authority() const;

  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// parse_endpoint() reads "https://host:port"; port 443 if none is named. kInvalidArgument for
// another scheme, a user, a path but "/", a query or a fragment.
base::Result<Endpoint> parse_endpoint(std::string_view url);

}  // namespace transport::tls
