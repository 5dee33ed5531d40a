// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "keybroker/protocol/instance.pb.h"
#include "keybroker/protocol/vm_service.pb.h"
#include "vmgs/base/result.h"
#include "vtpm/host/instances.h"

namespace tools::vtpmd {

// LockoutCalls asks instances how the dictionary attack protection of their TPM stands, and has
// them reset it. One thread.
class LockoutCalls {
 public:
  using VmId = vtpm::host::Instances::VmId;

  // `instances` must outlive it.
  LockoutCalls(boost::asio::any_io_executor executor, vtpm::host::Instances& instances)
      : executor_(std::move(executor)), instances_(instances) {}

  // ask() waits for the instance's answer. With an authorization, the TPM is reset by it first, and
  // the caller's copy is wiped. kAuthentication if it was wrong; kUnavailable if the instance does
  // not answer, or if it may do so later; else kDenied.
  boost::asio::awaitable<base::Result<strongroom::host::v1::Lockout>> ask(
      VmId id, std::optional<std::string> authorization);

  // take() is given what an instance answers; what nobody has asked for it drops.
  void take(const VmId& id, const strongroom::instance::v1::LockoutAnswer& answer);

 private:
  struct Pending;

  boost::asio::any_io_executor executor_;
  vtpm::host::Instances& instances_;
  std::map<std::pair<VmId, std::uint64_t>, std::weak_ptr<Pending>> pending_;
  std::uint64_t last_serial_ = 0;
};

}  // namespace tools::vtpmd
