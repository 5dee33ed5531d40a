// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/message_lite.h>
#include <google/protobuf/timestamp.pb.h>

#include <string>
#include <string_view>

#include "keybroker/broker/registration.h"
#include "keybroker/protocol/broker_admin.pb.h"
#include "tools/keybrokerd/services.h"

namespace tools::keybrokerd {

namespace api = strongroom::broker::v1;

// What the services for people have in common.

// tenant_of() is the caller's own tenant. kDenied for a caller without one.
base::Result<keybroker::protocol::Uuid> tenant_of(const Caller& caller);

// act_of() is what a caller does now of its own accord, under a new id.
base::Result<keybroker::store::Act> act_of(const Caller& caller);

// act_of() is what a caller does now by a request, under the id that it has, or a new one if that
// is empty. kInvalidArgument for one that is not of 16 bytes.
base::Result<keybroker::store::Act> act_of(Desk& desk, const Caller& caller,
                                           std::string_view request_id,
                                           const google::protobuf::MessageLite& request);

template <typename Request>
base::Result<keybroker::store::Act> act_of(Desk& desk, const Caller& caller,
                                           const Request& request) {
  return act_of(desk, caller, request.request_id(), request);
}

// uuid_of(), digest_of() read a field. kInvalidArgument names it.
base::Result<keybroker::protocol::Uuid> uuid_of(std::string_view field, const std::string& text);
base::Result<keybroker::protocol::Sha256Digest> digest_of(const std::string& hex);

google::protobuf::Timestamp timestamp_of(keybroker::crypto::Time time);

// registrar_of() is what registration works with, for the provider of a tenant's newest key.
base::Result<keybroker::broker::Registrar> registrar_of(Desk& desk,
                                                        const keybroker::protocol::Uuid& tenant);

// vm_message() is a VM as `tenant` may see it.
base::Result<api::Vm> vm_message(Desk& desk, const keybroker::store::VmRecord& record,
                                 const keybroker::protocol::Uuid& tenant);

}  // namespace tools::keybrokerd
