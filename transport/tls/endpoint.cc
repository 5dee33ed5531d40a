// SPDX-License-Identifier: Apache-2.0
#include "transport/tls/endpoint.h"

#include <algorithm>
#include <boost/url/parse.hpp>

namespace transport::tls {

namespace {

namespace urls = boost::urls;

auto refuse(std::string_view url, const std::string& why) {
  return base::fail(
      base::ErrorCode::kInvalidArgument,
      "\"" + std::string(url) + "\" " + why + "; a service is named as https://HOST:PORT");
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// RFC 1123, 2.1, without an internationalised form: such a name is written in its ASCII form.
bool is_dns_name(const std::string& name) {
  return !name.empty() && name.size() <= 253 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
  });
}

}  // namespace

std::string Endpoint::authority() const {
  const bool brackets = host.find(':') != std::string::npos;
  return (brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

base::Result<Endpoint> parse_endpoint(std::string_view url) {
  const auto parsed = urls::parse_uri({url.data(), url.size()});
  if (!parsed) {
    return refuse(url, "is no URL");
  }
  if (parsed->scheme_id() != urls::scheme::https) {
    return refuse(url, "is not of the scheme https");
  }
  const std::string path(parsed->encoded_path().data(), parsed->encoded_path().size());
  if (parsed->has_userinfo() || parsed->has_query() || parsed->has_fragment() ||
      !(path.empty() || path == "/")) {
    return refuse(url, "has more than a host and a port");
  }
  Endpoint endpoint;
  endpoint.host = parsed->host_address();
  std::transform(endpoint.host.begin(), endpoint.host.end(), endpoint.host.begin(), lower);
  switch (parsed->host_type()) {
    case urls::host_type::ipv4:
    case urls::host_type::ipv6:
      endpoint.is_address = true;
      break;
    case urls::host_type::name:
      if (is_dns_name(endpoint.host)) {
        break;
      }
      [[fallthrough]];
    default:
      return refuse(url, "names no host");
  }
  if (parsed->has_port()) {
    endpoint.port = parsed->port_number();
    if (endpoint.port == 0) {
      return refuse(url, "has no port of 1 to 65535");
    }
  }
  return endpoint;
}

}  // namespace transport::tls
