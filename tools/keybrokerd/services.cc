// SPDX-License-Identifier: Apache-2.0
#include "tools/keybrokerd/services.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cassert>
#include <cerrno>

#include "keybroker/protocol/broker_admin.pb.h"
#include "keybroker/protocol/broker_service.pb.h"
#include "vmgs/base/log.h"
#include "vmgs/storage/system_error.h"

namespace tools::keybrokerd {

base::Result<base::Descriptor> lock_state_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const auto file = folder / "lock";
  base::Descriptor lock(::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (!lock.is_open()) {
    return base::fail(vmgs::storage::system_error(errno, "cannot open " + file.string()));
  }
  if (::flock(lock.number(), LOCK_EX | LOCK_NB) != 0) {
    return base::fail(base::ErrorCode::kUnavailable,
                      "another keybrokerd has locked " + file.string() + "; stop it first");
  }
  return lock;
}

keybroker::crypto::Time now_in_seconds() {
  return std::chrono::time_point_cast<keybroker::crypto::Time::duration>(
      std::chrono::system_clock::now());
}

const google::protobuf::ServiceDescriptor& Services::service_of(const char* name) {
  namespace api = strongroom::broker::v1;
  const auto* found = api::Relayed::descriptor()->file()->FindServiceByName(name);
  if (found == nullptr) {
    found = api::Vm::descriptor()->file()->FindServiceByName(name);
  }
  assert(found != nullptr);
  return *found;
}

base::Result<Caller> Services::caller_of(const transport::rpc::CallContext& context) {
  const auto* peer = std::get_if<transport::rpc::TlsPeer>(&context.peer);
  if (peer == nullptr) {
    return base::fail(base::ErrorCode::kDenied, "this is called over mutual TLS");
  }
  return Caller{peer->identity.role, peer->identity.tenant, peer->identity.name};
}

// What is asked and by whom; never what is in it.
void Services::note(const char* method, const transport::rpc::CallContext& context,
                    std::chrono::steady_clock::time_point began, const base::Error* error) {
  const auto took = std::chrono::steady_clock::now() - began;
  metrics_.called(method, error == nullptr, took);
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(took).count();
  base::log(error == nullptr ? base::LogLevel::kDebug : base::LogLevel::kInfo,
            std::string(method) + " by " + describe(context.peer) + ": " +
                (error == nullptr ? "done" : error->message) + ", " + std::to_string(milliseconds) +
                " ms");
}

}  // namespace tools::keybrokerd
