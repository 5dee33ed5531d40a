// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <memory>
#include <mutex>
#include <set>

#include "keybroker/broker/refusal.h"
#include "keybroker/protocol/uuid.h"
#include "keybroker/store/audit_log.h"
#include "tools/keybrokerd/admin.h"
#include "tools/keybrokerd/checkpoints.h"
#include "tools/keybrokerd/release_lines.h"

namespace tools::keybrokerd {

namespace {

namespace broker = keybroker::broker;
namespace json = boost::json;
namespace protocol = keybroker::protocol;
namespace store = keybroker::store;
using base::ErrorCode;
using transport::tls::Role;

constexpr const char* kService = "ReleaseLogService";
constexpr std::uint32_t kUsualPage = 100;
constexpr std::uint32_t kLargestPage = 1000;

std::string text_of(const json::object& object, std::string_view name) {
  const auto* member = object.if_contains(name);
  return member == nullptr     ? std::string()
         : member->is_string() ? std::string(member->as_string())
                               : json::serialize(*member);
}

api::Release release_message(const store::AuditRow& row) {
  api::Release release;
  release.set_release_id(release_id(row));
  release.set_vm_id(store::subject_text(row.subject));
  *release.mutable_time() = timestamp_of(row.time);
  release.set_kind(row.kind);
  release.set_reason(row.reason);
  if (const auto content = content_of(row)) {
    release.set_detail(text_of(content->told, "why"));
    if (const auto* epoch = content->facts.if_contains("epoch");
        epoch != nullptr && epoch->is_int64()) {
      release.set_epoch(static_cast<std::uint64_t>(epoch->as_int64()));
    }
    const auto* claims = content->told.if_contains("claims");
    if (claims != nullptr && claims->is_object()) {
      release.set_chip_id(text_of(claims->as_object(), "strongroom-chip-id"));
      const auto& object = claims->as_object();
      release.set_tcb(text_of(object, object.contains("strongroom-snp-tcb")
                                          ? "strongroom-snp-tcb"
                                          : "strongroom-tdx-tcb"));
    }
  }
  return release;
}

base::Result<api::ListReleasesResponse> list(Desk& desk, const api::ListReleasesRequest& request,
                                             const Caller& caller) {
  store::LogQuery query;
  if (caller.role == Role::kTenant) {
    TRY_ASSIGN(tenant, tenant_of(caller));
    if (request.vm_id().empty()) {
      query.vms_of = tenant;
    }
  }
  if (!request.vm_id().empty()) {
    TRY_ASSIGN(subject, subject_of(desk, request.vm_id()));
    if (caller.role == Role::kTenant) {
      TRY_ASSIGN(tenant, tenant_of(caller));
      TRY(expect_own(desk, subject, tenant));
    }
    query.subject = subject;
  }
  if (request.refused_only()) {
    query.kind = "refused";
  }
  if (!request.page_token().empty()) {
    TRY_ASSIGN(before, caller.role == Role::kTenant
                           ? line_of_tenant(desk, request.page_token(), *caller.tenant)
                           : line(desk, request.page_token()));
    query.before = before;
  }
  query.most = request.page_size() == 0 ? kUsualPage : std::min(request.page_size(), kLargestPage);
  TRY_ASSIGN(rows, desk.records.log(query));
  api::ListReleasesResponse response;
  for (const auto& row : rows) {
    *response.add_releases() = release_message(row);
  }
  if (rows.size() == query.most) {
    response.set_next_page_token(release_id(rows.back()));
  }
  return response;
}

// A tenant sees the trace of its own policy, and of others only what they decided.
void add_traces(const json::object& content, const std::optional<protocol::Uuid>& tenant,
                api::ExplainReleaseResponse& response) {
  const auto* traces = content.if_contains("policies");
  if (traces == nullptr || !traces->is_array()) {
    return;
  }
  for (const auto& trace : traces->as_array()) {
    const auto* owner = trace.is_object() ? trace.as_object().if_contains("owner") : nullptr;
    if (owner != nullptr && owner->is_string() && tenant &&
        std::string(owner->as_string()) == protocol::uuid_text(*tenant)) {
      response.add_traces_json(json::serialize(trace));
    }
  }
}

base::Result<api::ExplainReleaseResponse> explain(Desk& desk,
                                                  const api::ExplainReleaseRequest& request,
                                                  const Caller& caller) {
  const bool is_tenant = caller.role == Role::kTenant;
  if (is_tenant) {
    TRY(tenant_of(caller));
  }
  TRY_ASSIGN(row, is_tenant ? line_of_tenant(desk, request.release_id(), *caller.tenant)
                            : line(desk, request.release_id()));
  TRY_ASSIGN(content, content_of(row));
  api::ExplainReleaseResponse response;
  *response.mutable_release() = release_message(row);
  if (const auto meaning = broker::word_meaning(row.reason)) {
    response.set_advice(std::string(meaning->meaning) + " " + std::string(meaning->remedy));
  }
  if (is_tenant) {
    if (const auto* claims = content.told.if_contains("claims"); claims != nullptr) {
      response.set_claims_json(json::serialize(*claims));
    }
    add_traces(content.told, caller.tenant, response);
  }
  return response;
}

base::Result<std::uint64_t> verify_chains(store::Sql& sql) {
  constexpr std::size_t kPage = 1000;
  std::uint64_t rows = 0;
  std::optional<store::Subject> after;
  for (;;) {
    TRY_ASSIGN(page, store::subjects(sql, after, kPage));
    for (const auto& subject : page) {
      TRY_ASSIGN(lines, store::verify_chain(sql, subject));
      rows += lines;
    }
    if (page.size() < kPage) {
      return rows;
    }
    after = page.back();
  }
}

base::Result<void> verify_all(Desk& desk, const SeenCheckpoint& seen,
                              const api::VerifyAuditRequest& request,
                              api::VerifyAuditResponse& response) {
  auto& sql = desk.records.sql();
  const auto verifier = checkpoint_verifier(desk.office);
  if (const auto known = must_have(desk.office, seen, now_in_seconds())) {
    TRY(store::expect_checkpoint(sql, *known));
  }
  TRY_ASSIGN(rows, verify_chains(sql));
  response.set_rows(rows);
  TRY_ASSIGN(count, store::verify_checkpoints(sql, verifier));
  response.set_checkpoints(count);
  TRY_ASSIGN(newest, store::newest_checkpoint(sql));
  if (newest) {
    *response.mutable_checkpoint() = timestamp_of(newest->time);
    TRY(store::verify_checkpoint(sql, *newest, verifier));
  }
  if (request.has_checkpoint()) {
    TRY_ASSIGN(kept, checkpoint_of(request.checkpoint()));
    if (auto held = store::verify_checkpoint(sql, kept, verifier); !held) {
      return base::fail(std::move(held).error().context("your copy"));
    }
  }
  return {};
}

base::Result<void> verify_one(Desk& desk, const store::Subject& subject,
                              api::VerifyAuditResponse& response) {
  TRY_ASSIGN(lines, store::verify_chain(desk.records.sql(), subject));
  response.set_rows(lines);
  return {};
}

// VerificationsRunning are those of the whole log and of tenants. Each reads all there is, for as
// long as that takes: the whole log is read by one at a time, and for each tenant one. Any thread.
class VerificationsRunning {
 public:
  // One that runs until it dies.
  class Turn {
   public:
    Turn(VerificationsRunning& of, std::optional<protocol::Uuid> whose) : of_(of), whose_(whose) {
      const std::lock_guard lock(of_.mutex_);
      is_first_ = of_.running_.insert(whose_).second;
    }

    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    ~Turn() {
      if (is_first_) {
        const std::lock_guard lock(of_.mutex_);
        of_.running_.erase(whose_);
      }
    }

    [[nodiscard]] bool is_first() const { return is_first_; }

   private:
    VerificationsRunning& of_;
    const std::optional<protocol::Uuid> whose_;
    bool is_first_ = false;
  };

 private:
  std::mutex mutex_;
  std::set<std::optional<protocol::Uuid>> running_;
};

constexpr std::string_view kVerificationBudget = "verifications";

base::Result<api::VerifyAuditResponse> verify(Desk& desk, const SeenCheckpoint& seen,
                                              VerificationsRunning& running,
                                              const api::VerifyAuditRequest& request,
                                              const Caller& caller) {
  api::VerifyAuditResponse response;
  std::optional<store::Subject> only;
  if (!request.subject().empty()) {
    TRY_ASSIGN(subject, subject_of(desk, request.subject()));
    only = subject;
  }
  if (caller.role == Role::kTenant) {
    TRY_ASSIGN(tenant, tenant_of(caller));
    if (!only) {
      return base::fail(ErrorCode::kDenied,
                        "a tenant verifies the log of one of its VMs: name it. The whole log is "
                        "for role auditor");
    }
    TRY(expect_own(desk, *only, tenant));
    if (!desk.office.limit.take(kVerificationBudget, tenant, now_in_seconds())) {
      return base::fail(ErrorCode::kUnavailable,
                        "too-many-requests: the tenant verifies logs too often; wait");
    }
  }
  std::optional<VerificationsRunning::Turn> turn;
  if (!only || caller.role == Role::kTenant) {
    turn.emplace(running, only ? caller.tenant : std::nullopt);
    if (!turn->is_first()) {
      return base::fail(ErrorCode::kUnavailable, "another verification is running; wait for it");
    }
  }
  if (only && request.has_checkpoint()) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "a checkpoint speaks for the whole log: name no subject with it");
  }
  const auto verified =
      only ? verify_one(desk, *only, response) : verify_all(desk, seen, request, response);
  if (!verified && verified.error().code != ErrorCode::kCorrupt &&
      verified.error().code != ErrorCode::kAuthentication) {
    return base::fail(base::Error(verified.error()));
  }
  response.set_intact(verified.has_value());
  if (!verified) {
    response.set_finding(verified.error().message);
  }
  return response;
}

base::Result<api::SignedCheckpoint> newest(Desk& desk, const api::GetCheckpointRequest&,
                                           const Caller&) {
  TRY_ASSIGN(found, store::newest_checkpoint(desk.records.sql()));
  if (!found) {
    return base::fail(ErrorCode::kNotFound, "this broker has made no checkpoint yet");
  }
  return checkpoint_message(*found);
}

}  // namespace

void add_release_log_service(Services& services, const SeenCheckpoint& seen) {
  const transport::rpc::Roles readers = {Role::kTenant, Role::kAuditor};
  services.add<api::ListReleasesRequest, api::ListReleasesResponse>(kService, "ListReleases",
                                                                    readers, list);
  services.add<api::ExplainReleaseRequest, api::ExplainReleaseResponse>(kService, "ExplainRelease",
                                                                        readers, explain);
  services.add<api::VerifyAuditRequest, api::VerifyAuditResponse>(
      kService, "VerifyAudit", readers,
      [&seen, running = std::make_shared<VerificationsRunning>()](
          Desk& desk, const api::VerifyAuditRequest& request, const Caller& caller) {
        return verify(desk, seen, *running, request, caller);
      });
  services.add<api::GetCheckpointRequest, api::SignedCheckpoint>(kService, "GetCheckpoint",
                                                                 {Role::kAuditor}, newest);
}

}  // namespace tools::keybrokerd
