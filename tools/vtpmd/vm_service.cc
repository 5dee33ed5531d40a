// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpmd/vm_service.h"

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "transport/rpc/within.h"
#include "vmgs/base/log.h"
#include "vmgs/crypto/random.h"
#include "vtpm/host/vm_view.h"

namespace tools::vtpmd {

namespace {

namespace api = strongroom::host::v1;
namespace asio = boost::asio;
namespace protocol = keybroker::protocol;
using base::ErrorCode;
using transport::rpc::CallContext;
using transport::rpc::Sink;
using vtpm::host::Call;
using vtpm::host::Phase;
using vtpm::host::Vm;
using vtpm::host::VmId;

constexpr std::size_t kMaxKeyBytes = 64;
constexpr std::int64_t kKeySeconds = 24 * 60 * 60;

// How long an instance may take to write its last state.
constexpr std::chrono::seconds kStopLimit{30};

// How long an instance may take to copy a store.
constexpr std::chrono::seconds kConversionLimit{60};

// How long a new instance may take until it serves.
constexpr std::chrono::seconds kReplaceLimit{60};

std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

base::Result<VmId> draw_vm_id() {
  VmId id;
  TRY(vmgs::crypto::random_bytes(id.bytes));
  // RFC 4122, 4.4: version 4, and the variant.
  id.bytes[6] = (id.bytes[6] & std::byte{0x0f}) | std::byte{0x40};
  id.bytes[8] = (id.bytes[8] & std::byte{0x3f}) | std::byte{0x80};
  return id;
}

template <typename Request>
Call call_of(const char* method, const Request& request) {
  const auto bytes = request.SerializeAsString();
  return {request.idempotency_key(), method, base::copy_of(base::bytes_of(bytes))};
}

// Only names that were checked come into the log.
void note_caller(const Call& call, const std::string& name, const CallContext& context) {
  base::log(base::LogLevel::kInfo,
            call.method + " of '" + name + "' asked for by " + describe(context.peer));
}

base::Result<vtpm::host::Conversion> plan_for(const Vm& vm, const api::ConvertVmRequest& request) {
  if (vm.broken) {
    return base::fail(*vm.broken);
  }
  if (!request.undo()) {
    return vtpm::host::plan_conversion(vm.document, request);
  }
  if (request.has_changes() || !request.launch_document().empty()) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "to take a conversion back is to go to the launch document before: name no "
                      "other");
  }
  return vtpm::host::plan_undo(vm.document, vm.record.launch_document_before);
}

api::ConvertVmResponse response_of(const vtpm::host::Conversion& conversion) {
  api::ConvertVmResponse response;
  const auto& document = conversion.launch_document;
  response.set_launch_document(document.data(), document.size());
  response.set_launch_digest(
      base::to_hex(protocol::launch_digest(document, conversion.document.tee_family).bytes));
  for (const auto& change : conversion.changes) {
    response.add_changes(change);
  }
  for (const auto& note : conversion.notes) {
    response.add_notes(note);
  }
  response.set_is_weaker(conversion.is_weaker);
  return response;
}

}  // namespace

void VmService::enter(transport::rpc::Methods& methods) {
  const auto& service = *api::Vm::descriptor()->file()->FindServiceByName("VmService");
  // Each handler is a coroutine of this object, which outlives the server.
  methods.unary<api::CreateVmRequest, api::CreateVmResponse>(
      service, "CreateVm",
      [this](api::CreateVmRequest r, CallContext c) { return create(std::move(r), std::move(c)); });
  methods.unary<api::ListVmsRequest, api::ListVmsResponse>(
      service, "ListVms",
      [this](api::ListVmsRequest r, CallContext c) { return list(std::move(r), std::move(c)); });
  methods.unary<api::GetVmRequest, api::GetVmResponse>(
      service, "GetVm",
      [this](api::GetVmRequest r, CallContext c) { return get(std::move(r), std::move(c)); });
  methods.unary<api::StartVmRequest, api::StartVmResponse>(
      service, "StartVm",
      [this](api::StartVmRequest r, CallContext c) { return start(std::move(r), std::move(c)); });
  methods.unary<api::StopVmRequest, api::StopVmResponse>(
      service, "StopVm",
      [this](api::StopVmRequest r, CallContext c) { return stop(std::move(r), std::move(c)); });
  methods.unary<api::ReplaceVmRequest, api::ReplaceVmResponse>(
      service, "ReplaceVm", [this](api::ReplaceVmRequest r, CallContext c) {
        return replace(std::move(r), std::move(c));
      });
  methods.unary<api::SetStateBlobsRequest, api::SetStateBlobsResponse>(
      service, "SetStateBlobs", [this](api::SetStateBlobsRequest r, CallContext c) {
        return set_state_blobs(std::move(r), std::move(c));
      });
  methods.unary<api::AwaitTpmRequest, api::AwaitTpmResponse>(
      service, "AwaitTpm", [this](api::AwaitTpmRequest r, CallContext c) {
        return await_tpm(std::move(r), std::move(c));
      });
  methods.unary<api::SendTpmRequest, api::SendTpmResponse>(
      service, "SendTpm", [this](api::SendTpmRequest r, CallContext c) {
        return send_tpm(std::move(r), std::move(c));
      });
  methods.unary<api::CancelMigrationRequest, api::CancelMigrationResponse>(
      service, "CancelMigration", [this](api::CancelMigrationRequest r, CallContext c) {
        return cancel_migration(std::move(r), std::move(c));
      });
  methods.unary<api::ConvertVmRequest, api::ConvertVmResponse>(
      service, "ConvertVm", [this](api::ConvertVmRequest r, CallContext c) {
        return convert(std::move(r), std::move(c));
      });
  methods.unary<api::DeleteVmRequest, api::DeleteVmResponse>(
      service, "DeleteVm",
      [this](api::DeleteVmRequest r, CallContext c) { return remove(std::move(r), std::move(c)); });
  methods.unary<api::GetReadinessRequest, api::GetReadinessResponse>(
      service, "GetReadiness", [this](api::GetReadinessRequest r, CallContext c) {
        return readiness(std::move(r), std::move(c));
      });
  methods.unary<api::GetLockoutRequest, api::GetLockoutResponse>(
      service, "GetLockout", [this](api::GetLockoutRequest r, CallContext c) {
        return lockout(std::move(r), std::move(c));
      });
  methods.unary<api::ResetLockoutRequest, api::ResetLockoutResponse>(
      service, "ResetLockout", [this](api::ResetLockoutRequest r, CallContext c) {
        return reset_lockout(std::move(r), std::move(c));
      });
  methods.stream<api::WatchVmsRequest, api::WatchVmsResponse>(
      service, "WatchVms",
      [this](api::WatchVmsRequest r, CallContext c, Sink<api::WatchVmsResponse> s) {
        return watch(std::move(r), std::move(c), std::move(s));
      });
}

base::Result<void> VmService::forget_old_calls() {
  return registry_.forget_calls_before(now() - kKeySeconds);
}

template <typename Response>
base::Result<std::optional<Response>> VmService::replay(const Call& call) {
  if (call.key.size() > kMaxKeyBytes) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "an idempotency key has at most " + std::to_string(kMaxKeyBytes) + " bytes");
  }
  if (call.key.empty()) {
    return std::optional<Response>();
  }
  TRY_ASSIGN(answered, registry_.replay(call));
  if (!answered) {
    return std::optional<Response>();
  }
  std::optional<Response> response(std::in_place);
  if (!response->ParseFromArray(answered->data(), static_cast<int>(answered->size()))) {
    return base::fail(ErrorCode::kCorrupt, "the registry holds an answer that cannot be read");
  }
  return response;
}

template <typename Response>
base::Result<void> VmService::remember(const Call& call, const Response& response) {
  if (call.key.empty()) {
    return {};
  }
  const auto bytes = response.SerializeAsString();
  return registry_.remember(call, base::bytes_of(bytes), now());
}

template <typename Response, typename Request>
base::Result<VmService::Begun<Response>> VmService::begin(const char* method,
                                                          const Request& request,
                                                          const Context& context) {
  Begun<Response> begun{call_of(method, request)};
  TRY_ASSIGN(answered, replay<Response>(begun.call));
  if (answered) {
    begun.answered = std::move(answered);
    return begun;
  }
  TRY_ASSIGN(vm, host_.find(request.vm()));
  begun.vm = vm;
  note_caller(begun.call, vm->record.name, context);
  return begun;
}

VmService::Answer<api::CreateVmResponse> VmService::create(api::CreateVmRequest request,
                                                           Context context) {
  const auto call = call_of("CreateVm", request);
  auto before = replay<api::CreateVmResponse>(call);
  CO_TRY_ASSIGN(answered, std::move(before));
  if (answered) {
    if (const auto made = vmgs::format::parse_vm_id(answered->vm().vm_id())) {
      make_tpm(request, *made, false);
    }
    co_return *std::move(answered);
  }
  auto drawn = draw_vm_id();
  CO_TRY_ASSIGN(id, std::move(drawn));
  auto decoded = vtpm::host::decode_spec(request, id);
  CO_TRY_ASSIGN(spec, std::move(decoded));
  note_caller(call, spec.name, context);

  // The answer becomes durable together with the VM.
  api::CreateVmResponse response;
  const auto keep_answer = [&](const Vm& vm) {
    *response.mutable_vm() = view_of(host_, vm);
    response.set_created(host_.find(vm.id()) == nullptr);
    return remember(call, response);
  };
  auto created = host_.create(spec, now(), keep_answer);
  CO_TRY_ASSIGN(outcome, std::move(created));
  make_tpm(request, outcome.first->id(), outcome.second);
  co_return response;
}

void VmService::make_tpm(const api::CreateVmRequest& request, const VmId& id, bool created) {
  const auto* vm = host_.find(id);
  const bool was_cut_short = vm != nullptr && vm->is_persistent() && !vm->record.has_state;
  if (vm == nullptr || vm->phase != Phase::kStopped || request.leave_stopped() ||
      !(created || was_cut_short)) {
    return;
  }
  // It is created; how it starts is its readiness.
  if (const auto started = host_.start(id); !started) {
    base::log(base::LogLevel::kWarning, started.error().message);
  }
}

VmService::Answer<api::ListVmsResponse> VmService::list(api::ListVmsRequest, Context) {
  api::ListVmsResponse response;
  for (const auto* vm : host_.all()) {
    *response.add_vms() = view_of(host_, *vm);
  }
  co_return response;
}

VmService::Answer<api::GetVmResponse> VmService::get(api::GetVmRequest request, Context) {
  auto found = host_.find(request.vm());
  CO_TRY_ASSIGN(vm, std::move(found));
  api::GetVmResponse response;
  *response.mutable_vm() = view_of(host_, *vm);
  co_return response;
}

VmService::Answer<api::StartVmResponse> VmService::start(api::StartVmRequest request,
                                                         Context context) {
  auto beginning = begin<api::StartVmResponse>("StartVm", request, context);
  CO_TRY_ASSIGN(begun, std::move(beginning));
  if (begun.answered) {
    co_return *std::move(begun.answered);
  }
  CO_TRY(host_.start(begun.vm->id()));
  api::StartVmResponse response;
  *response.mutable_vm() = view_of(host_, *begun.vm);
  CO_TRY(remember(begun.call, response));
  co_return response;
}

VmService::Answer<api::StopVmResponse> VmService::stop(api::StopVmRequest request,
                                                       Context context) {
  auto beginning = begin<api::StopVmResponse>("StopVm", request, context);
  CO_TRY_ASSIGN(begun, std::move(beginning));
  if (begun.answered) {
    co_return *std::move(begun.answered);
  }
  const auto id = begun.vm->id();
  CO_TRY(host_.stop(id, request.force()));
  const auto ended = co_await transport::rpc::within(kStopLimit, wait_for_end(id));
  if (!ended) {
    co_return base::fail(ErrorCode::kUnavailable,
                         "the instance of '" + request.vm() + "' has not ended in " +
                             std::to_string(kStopLimit.count()) +
                             " s; stopping it with force ends it at once, and what its TPM has "
                             "acknowledged is safe");
  }
  api::StopVmResponse response;
  if (const auto* still_there = host_.find(id)) {
    *response.mutable_vm() = view_of(host_, *still_there);
  }
  CO_TRY(remember(begun.call, response));
  co_return response;
}

asio::awaitable<bool> VmService::wait_for_end(VmId id) {
  Changes::Watch watch(changes_);
  for (const auto* vm = host_.find(id); vm != nullptr && vm->phase != Phase::kStopped;
       vm = host_.find(id)) {
    co_await watch.next();
  }
  co_return true;
}

VmService::Answer<api::ReplaceVmResponse> VmService::replace(api::ReplaceVmRequest request,
                                                             Context context) {
  auto beginning = begin<api::ReplaceVmResponse>("ReplaceVm", request, context);
  CO_TRY_ASSIGN(begun, std::move(beginning));
  if (begun.answered) {
    co_return *std::move(begun.answered);
  }
  const auto id = begun.vm->id();
  CO_TRY(host_.replace(id));
  const auto ended = co_await transport::rpc::within(kReplaceLimit, wait_for_replacement(id));
  const auto* after = host_.find(id);
  if (!ended || after == nullptr || !after->replaced) {
    co_return base::fail(ErrorCode::kUnavailable,
                         "it is not known whether '" + request.vm() +
                             "' has another instance by now; its guest is served either way");
  }
  if (after->replaced->failed) {
    co_return base::fail(base::Error(*after->replaced->failed)
                             .context("'" + request.vm() + "' is served as before"));
  }
  api::ReplaceVmResponse response;
  *response.mutable_vm() = view_of(host_, *after);
  response.set_pause_microseconds(static_cast<std::uint64_t>(after->replaced->pause.count()));
  CO_TRY(remember(begun.call, response));
  co_return response;
}

asio::awaitable<bool> VmService::wait_for_replacement(VmId id) {
  Changes::Watch watch(changes_);
  for (const auto* vm = host_.find(id); vm != nullptr && vm->replacing; vm = host_.find(id)) {
    co_await watch.next();
  }
  co_return true;
}

VmService::Answer<api::ConvertVmResponse> VmService::convert(api::ConvertVmRequest request,
                                                             Context context) {
  auto beginning = begin<api::ConvertVmResponse>("ConvertVm", request, context);
  CO_TRY_ASSIGN(begun, std::move(beginning));
  if (begun.answered) {
    co_return *std::move(begun.answered);
  }
  auto planned = plan_for(*begun.vm, request);
  CO_TRY_ASSIGN(conversion, std::move(planned));
  // The host may need it after whoever asked has gone.
  const auto response = std::make_shared<api::ConvertVmResponse>(response_of(conversion));
  if (request.dry_run() || conversion.changes.empty()) {
    *response->mutable_vm() = view_of(host_, *begun.vm);
    co_return *response;
  }
  const auto id = begun.vm->id();
  const auto keep_answer = [this, call = begun.call, response](const Vm& converted) {
    *response->mutable_vm() = view_of(host_, converted);
    return remember(call, *response);
  };
  CO_TRY(host_.convert(id, conversion, keep_answer));
  const auto ended = co_await transport::rpc::within(kConversionLimit, wait_while_converting(id));
  if (!ended) {
    co_return base::fail(ErrorCode::kUnavailable,
                         "'" + request.vm() + "' is still being converted after " +
                             std::to_string(kConversionLimit.count()) +
                             " s, and goes on: `vtpmctl show` tells how it ended");
  }
  const auto* converted = host_.find(id);
  if (converted == nullptr) {
    co_return base::fail(ErrorCode::kNotFound, "the VM was deleted");
  }
  if (converted->unconverted) {
    co_return base::fail(*converted->unconverted);
  }
  *response->mutable_vm() = view_of(host_, *converted);
  co_return *response;
}

asio::awaitable<bool> VmService::wait_while_converting(VmId id) {
  Changes::Watch watch(changes_);
  for (const auto* vm = host_.find(id); vm != nullptr && vm->phase == Phase::kConverting;
       vm = host_.find(id)) {
    co_await watch.next();
  }
  co_return true;
}

VmService::Answer<api::DeleteVmResponse> VmService::remove(api::DeleteVmRequest request,
                                                           Context context) {
  auto beginning = begin<api::DeleteVmResponse>("DeleteVm", request, context);
  CO_TRY_ASSIGN(begun, std::move(beginning));
  if (begun.answered) {
    co_return *std::move(begun.answered);
  }
  api::DeleteVmResponse response;
  response.set_vm_id(to_string(begun.vm->id()));
  const auto keep_answer = [&](const Vm&) { return remember(begun.call, response); };
  const auto id = begun.vm->id().bytes;
  CO_TRY(host_.remove(begun.vm->id(), keep_answer));
  // The VM is gone for good before its certificates are: no instance of it can ask for new ones.
  // What a crash leaves behind here, the next vtpmd ends when it starts.
  auto asked = authority_.run<bool>([id](EmbeddedAuthority::Desk& desk) -> base::Result<bool> {
    TRY(desk.authority.forget(id, now_in_seconds()));
    return true;
  });
  auto forgotten = co_await std::move(asked);
  if (!forgotten) {
    co_return base::fail(std::move(forgotten).error().context(
        "the VM is deleted, but its certificates are not revoked yet; vtpmd tries again within "
        "the hour"));
  }
  co_return response;
}

VmService::Answer<api::GetReadinessResponse> VmService::readiness(api::GetReadinessRequest request,
                                                                  Context) {
  Changes::Watch watch(changes_);
  for (;;) {
    auto found = host_.find(request.vm());
    CO_TRY_ASSIGN(vm, std::move(found));
    const auto readiness = host_.readiness(*vm);
    // A start that its broker has not answered is over: only another one asks again.
    const bool passes = request.wait() && readiness != protocol::Readiness::kBrokerAway &&
                        protocol::row(readiness).prospect == protocol::Prospect::kPasses;
    const bool starts = request.wait_for_start() && readiness == protocol::Readiness::kProvisioning;
    if (!passes && !starts) {
      api::GetReadinessResponse response;
      *response.mutable_readiness() = readiness_view_of(host_, *vm);
      co_return response;
    }
    co_await watch.next();
  }
}

VmService::Answer<void> VmService::watch(api::WatchVmsRequest request, Context,
                                         Sink<api::WatchVmsResponse> sink) {
  Changes::Watch watch(changes_);
  std::optional<VmId> only;
  if (!request.vm().empty()) {
    auto found = host_.find(request.vm());
    CO_TRY_ASSIGN(vm, std::move(found));
    only = vm->id();
  }
  std::set<VmId> changed;
  for (const auto* vm : host_.all()) {
    changed.insert(vm->id());
  }
  for (bool caught_up = false;; caught_up = true) {
    for (const auto& id : changed) {
      if (only && id != *only) {
        continue;
      }
      api::WatchVmsResponse response;
      if (const auto* vm = host_.find(id)) {
        *response.mutable_vm() = view_of(host_, *vm);
      } else {
        response.set_deleted_vm_id(to_string(id));
      }
      auto sent = co_await sink.send(response);
      CO_TRY(std::move(sent));
    }
    if (!caught_up) {
      api::WatchVmsResponse response;
      response.set_caught_up(true);
      auto sent = co_await sink.send(response);
      CO_TRY(std::move(sent));
    }
    changed = co_await watch.next();
  }
}

}  // namespace tools::vtpmd
