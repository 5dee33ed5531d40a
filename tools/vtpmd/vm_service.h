// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>

#include "keybroker/protocol/vm_service.pb.h"
#include "tools/vtpmd/changes.h"
#include "tools/vtpmd/embedded_authority.h"
#include "tools/vtpmd/lockout_calls.h"
#include "transport/rpc/service.h"
#include "vtpm/host/host.h"
#include "vtpm/host/registry.h"

namespace tools::vtpmd {

// VmService answers the calls of vm_service.proto. The rules are Host's; here is what calls add:
// idempotency keys, waiting, and views. It outlives the server. One thread.
class VmService {
 public:
  VmService(vtpm::host::Host& host, vtpm::host::Registry& registry, Changes& changes,
            EmbeddedAuthority& authority, LockoutCalls& lockouts)
      : host_(host),
        registry_(registry),
        changes_(changes),
        authority_(authority),
        lockouts_(lockouts) {}

  // enter() puts every method into the server's table.
  void enter(transport::rpc::Methods& methods);

  // forget_old_calls() drops answers that are kept no longer.
  base::Result<void> forget_old_calls();

 private:
  template <typename T>
  using Answer = boost::asio::awaitable<base::Result<T>>;
  using Context = transport::rpc::CallContext;
  Answer<strongroom::host::v1::CreateVmResponse> create(
      strongroom::host::v1::CreateVmRequest request, Context context);
  Answer<strongroom::host::v1::ListVmsResponse> list(strongroom::host::v1::ListVmsRequest request,
                                                     Context context);
  Answer<strongroom::host::v1::GetVmResponse> get(strongroom::host::v1::GetVmRequest request,
                                                  Context context);
  Answer<strongroom::host::v1::StartVmResponse> start(strongroom::host::v1::StartVmRequest request,
                                                      Context context);
  Answer<strongroom::host::v1::StopVmResponse> stop(strongroom::host::v1::StopVmRequest request,
                                                    Context context);
  Answer<strongroom::host::v1::ReplaceVmResponse> replace(
      strongroom::host::v1::ReplaceVmRequest request, Context context);
  Answer<strongroom::host::v1::SetStateBlobsResponse> set_state_blobs(
      strongroom::host::v1::SetStateBlobsRequest request, Context context);
  Answer<strongroom::host::v1::AwaitTpmResponse> await_tpm(
      strongroom::host::v1::AwaitTpmRequest request, Context context);
  Answer<strongroom::host::v1::SendTpmResponse> send_tpm(
      strongroom::host::v1::SendTpmRequest request, Context context);
  Answer<strongroom::host::v1::CancelMigrationResponse> cancel_migration(
      strongroom::host::v1::CancelMigrationRequest request, Context context);
  Answer<strongroom::host::v1::ConvertVmResponse> convert(
      strongroom::host::v1::ConvertVmRequest request, Context context);
  Answer<strongroom::host::v1::DeleteVmResponse> remove(
      strongroom::host::v1::DeleteVmRequest request, Context context);
  Answer<strongroom::host::v1::GetReadinessResponse> readiness(
      strongroom::host::v1::GetReadinessRequest request, Context context);
  Answer<strongroom::host::v1::GetLockoutResponse> lockout(
      strongroom::host::v1::GetLockoutRequest request, Context context);
  Answer<strongroom::host::v1::ResetLockoutResponse> reset_lockout(
      strongroom::host::v1::ResetLockoutRequest request, Context context);
  Answer<void> watch(strongroom::host::v1::WatchVmsRequest request, Context context,
                     transport::rpc::Sink<strongroom::host::v1::WatchVmsResponse> sink);

  // replay() gives the answer that a call with this key had before; remember() keeps one. A call
  // without a key has none.
  template <typename Response>
  base::Result<std::optional<Response>> replay(const vtpm::host::Call& call);
  template <typename Response>
  base::Result<void> remember(const vtpm::host::Call& call, const Response& response);

  // begin() is how a call that changes a VM begins: with the answer that it had before, or else
  // with the VM and a line about its caller in the log.
  template <typename Response>
  struct Begun {
    vtpm::host::Call call;
    std::optional<Response> answered = std::nullopt;
    const vtpm::host::Vm* vm = nullptr;  // where there is no answer yet
  };

  template <typename Response, typename Request>
  base::Result<Begun<Response>> begin(const char* method, const Request& request,
                                      const Context& context);

  // make_tpm() starts a VM that was created just now, or whose creation was cut short before.
  void make_tpm(const strongroom::host::v1::CreateVmRequest& request, const vtpm::host::VmId& id,
                bool created);

  boost::asio::awaitable<bool> wait_for_end(vtpm::host::VmId id);
  boost::asio::awaitable<bool> wait_while_converting(vtpm::host::VmId id);
  boost::asio::awaitable<bool> wait_for_replacement(vtpm::host::VmId id);
  boost::asio::awaitable<bool> wait_for_start(vtpm::host::VmId id);
  boost::asio::awaitable<bool> wait_while_awaited(vtpm::host::VmId id);
  boost::asio::awaitable<bool> wait_while_taking_back(vtpm::host::VmId id);
  [[nodiscard]] base::Bytes kept_releases(const vtpm::host::Vm& vm) const;
  Answer<void> give_back(vtpm::host::VmId id);
  Answer<void> take_back(vtpm::host::VmId id, std::string releases);

  vtpm::host::Host& host_;
  vtpm::host::Registry& registry_;
  Changes& changes_;
  EmbeddedAuthority& authority_;
  LockoutCalls& lockouts_;
};

}  // namespace tools::vtpmd
