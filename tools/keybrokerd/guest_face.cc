// SPDX-License-Identifier: Apache-2.0
#include "tools/keybrokerd/guest_face.h"

#include <boost/json/serialize.hpp>
#include <functional>
#include <optional>

#include "keybroker/broker/workload_release.h"
#include "tools/keybrokerd/services.h"
#include "transport/rpc/run_on.h"
#include "vmgs/base/log.h"

namespace tools::keybrokerd {

namespace {

namespace asio = boost::asio;
namespace broker = keybroker::broker;
namespace json = boost::json;
namespace rpc = transport::rpc;
using base::ErrorCode;

constexpr const char* kJson = "application/json; charset=utf-8";
constexpr std::string_view kKeys = "/keys/";
constexpr std::string_view kTooMany = "too-many-requests";

rpc::RouteAnswer answer(unsigned status, const json::object& object) {
  rpc::RouteAnswer made;
  made.status = status;
  made.content_type = kJson;
  made.body = json::serialize(object);
  return made;
}

rpc::RouteAnswer error(unsigned status, std::string_view code, std::string_view message) {
  json::object inner;
  inner["code"] = code;
  inner["message"] = message;
  json::object object;
  object["error"] = std::move(inner);
  return answer(status, object);
}

rpc::RouteAnswer failure(const broker::Failure& why) {
  if (const auto* refused = std::get_if<broker::Refusal>(&why)) {
    if (refused->before_evidence) {
      return error(403, "not-attested",
                   "this evidence is not that of a VM that is attested here; the VM's log at the "
                   "broker has the reason, for its tenant");
    }
    return error(403, refused->word, refused->detail);
  }
  const auto& trouble = std::get<base::Error>(why);
  if (trouble.code == ErrorCode::kInvalidArgument) {
    return error(400, "bad-request", trouble.message);
  }
  if (trouble.message.starts_with(kTooMany)) {
    return error(429, kTooMany, trouble.message);
  }
  base::log(base::LogLevel::kWarning, "for a guest: " + trouble.message);
  if (trouble.code == ErrorCode::kUnavailable) {
    return error(503, "unavailable", "the broker cannot say now; ask again later");
  }
  return error(500, "internal", "the broker is in trouble; its log has more");
}

// Where a request comes from: what a budget is for.
std::string caller_of(const rpc::Peer& peer) {
  const auto* stranger = std::get_if<rpc::Stranger>(&peer);
  return stranger == nullptr ? describe(peer) : rpc::network_of(stranger->address);
}

using Answering = std::function<broker::Outcome<json::object>(
    Desk&, const broker::TokenRules&, const rpc::RouteRequest&, const std::string& caller)>;

// handler() has a request answered at a desk. Routes outlive all that is answered by them.
rpc::RouteHandler handler(const GuestWork& with, Answering answering) {
  return [with, answering = std::move(answering)](
             rpc::RouteRequest request) -> asio::awaitable<rpc::RouteAnswer> {
    auto work = [&with, &answering, &request] {
      return with.desks.with([&](Desk& desk) {
        const auto made = answering(desk, with.rules, request, caller_of(request.peer));
        return made ? answer(200, *made) : failure(made.error());
      });
    };
    auto answered = co_await rpc::run_on(*with.pool, std::move(work));
    co_return answered;
  };
}

// from_memory() gives everybody the same.
rpc::RouteHandler from_memory(const json::object& object) {
  return [made = answer(200, object)](rpc::RouteRequest) -> asio::awaitable<rpc::RouteAnswer> {
    co_return made;
  };
}

broker::Outcome<json::object> release(Desk& desk, const broker::TokenRules& rules,
                                      const rpc::RouteRequest& request, const std::string& caller) {
  const auto path =
      broker::parse_workload_key_path(std::string_view(request.path).substr(kKeys.size()));
  if (!path) {
    return tl::unexpected<broker::Failure>(base::Error{ErrorCode::kInvalidArgument,
                                                       "the path is not /keys/NAME/release or "
                                                       "/keys/NAME/VERSION/release"});
  }
  return broker::answer_key_release(desk.worker, rules, caller, *path, request.body,
                                    now_in_seconds());
}

}  // namespace

void add_guest_routes(rpc::Routes& routes, const GuestWork& work) {
  routes.get("/.well-known/openid-configuration",
             from_memory(broker::openid_configuration(work.rules)));
  routes.get("/certs", from_memory(work.rules.keys.jwks()));
  routes.post(
      "/challenge",
      handler(work, [](Desk& desk, const auto&, const auto& request, const std::string& caller) {
        return broker::answer_guest_challenge(desk.worker, caller, request.body, now_in_seconds());
      }));
  routes.post("/attest/guest", handler(work, [](Desk& desk, const broker::TokenRules& rules,
                                                const auto& request, const std::string& caller) {
                return broker::answer_attestation(desk.worker, rules, caller, request.body,
                                                  now_in_seconds());
              }));
  routes.post(std::string(kKeys), handler(work, release));
}

}  // namespace tools::keybrokerd
