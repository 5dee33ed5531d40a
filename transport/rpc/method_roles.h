// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/descriptor.h>

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "transport/tls/peer_identity.h"

namespace transport::rpc {

// Roles are those that may do a thing.
using Roles = std::set<tls::Role>;

// MethodRoles is the table of which roles may call which methods over TLS. What is not in it,
// nobody may call. It is filled before the server starts and then only read.
class MethodRoles {
 public:
  // allow() lets these roles call a method of `service`. That there is one is asserted, as in
  // Methods.
  void allow(const google::protobuf::ServiceDescriptor& service, std::string_view method,
             Roles roles);

  // of() is who may call a method.
  [[nodiscard]] const Roles& of(const google::protobuf::MethodDescriptor& method) const;

  // missing() names the methods of `service` that nobody may call, comma-separated.
  [[nodiscard]] std::string missing(const google::protobuf::ServiceDescriptor& service) const;

 private:
  std::map<std::string, Roles, std::less<>> by_name_;
};

}  // namespace transport::rpc
