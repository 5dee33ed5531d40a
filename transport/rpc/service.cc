// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/service.h"

#include <google/protobuf/descriptor.pb.h>

#include <cstdio>

namespace transport::rpc {

namespace {

namespace protobuf = google::protobuf;

std::string path_of(const protobuf::MethodDescriptor& method) {
  return "/" + method.service()->full_name() + "/" + method.name();
}

// A table that contradicts the schema is a program that was built wrong.
void require(bool holds, const std::string& what) {
  if (!holds) {
    std::fprintf(stderr, "table of calls: %s\n", what.c_str());
    std::abort();
  }
}

}  // namespace

bool Method::has_no_side_effects() const {
  return descriptor->options().idempotency_level() == protobuf::MethodOptions::NO_SIDE_EFFECTS;
}

void Methods::enter(const protobuf::ServiceDescriptor& service, std::string_view name,
                    const protobuf::Message& request, const protobuf::Message& response,
                    Method method) {
  const std::string method_name(name);
  const auto* descriptor = service.FindMethodByName(method_name);
  require(descriptor != nullptr, service.full_name() + " has no method " + method_name);
  require(descriptor->input_type() == request.GetDescriptor() &&
              descriptor->output_type() == response.GetDescriptor(),
          method_name + " has other messages in the schema");
  require(!descriptor->client_streaming() &&
              descriptor->server_streaming() == (method.stream != nullptr),
          method_name + " is of another kind in the schema");
  method.descriptor = descriptor;
  method.request_prototype = &request;
  const bool is_new = by_path_.emplace(path_of(*descriptor), std::move(method)).second;
  require(is_new, method_name + " was entered twice");
}

void Methods::set_urgent(const protobuf::ServiceDescriptor& service, std::string_view name) {
  const std::string method_name(name);
  const auto* descriptor = service.FindMethodByName(method_name);
  require(descriptor != nullptr, service.full_name() + " has no method " + method_name);
  const auto found = by_path_.find(path_of(*descriptor));
  require(found != by_path_.end(), method_name + " was not entered");
  found->second.urgency = Urgency::kUrgent;
}

const Method* Methods::find(std::string_view path) const {
  const auto found = by_path_.find(path);
  return found == by_path_.end() ? nullptr : &found->second;
}

std::string Methods::missing(const protobuf::ServiceDescriptor& service) const {
  std::string names;
  for (int i = 0; i < service.method_count(); ++i) {
    if (find(path_of(*service.method(i))) == nullptr) {
      names += (names.empty() ? "" : ", ") + service.method(i)->name();
    }
  }
  return names;
}

}  // namespace transport::rpc
