// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/method_roles.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace transport::rpc {

void MethodRoles::allow(const google::protobuf::ServiceDescriptor& service, std::string_view method,
                        Roles roles) {
  const auto* descriptor = service.FindMethodByName(std::string(method));
  if (descriptor == nullptr ||
      !by_name_.emplace(descriptor->full_name(), std::move(roles)).second) {
    std::fprintf(stderr, "table of roles: %s is no method of %s, or stands twice\n",
                 std::string(method).c_str(), service.full_name().c_str());
    std::abort();
  }
}

const Roles& MethodRoles::of(const google::protobuf::MethodDescriptor& method) const {
  static const Roles kNobody;
  const auto found = by_name_.find(method.full_name());
  return found == by_name_.end() ? kNobody : found->second;
}

std::string MethodRoles::missing(const google::protobuf::ServiceDescriptor& service) const {
  std::string names;
  for (int i = 0; i < service.method_count(); ++i) {
    if (!by_name_.contains(service.method(i)->full_name())) {
      names += (names.empty() ? "" : ", ") + service.method(i)->name();
    }
  }
  return names;
}

}  // namespace transport::rpc
