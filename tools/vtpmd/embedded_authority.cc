// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpmd/embedded_authority.h"

#include <chrono>

#include "keybroker/evidence/policy_json.h"
#include "keybroker/protocol/uuid.h"
#include "tools/collateral/folder.h"
#include "tools/collateral/read.h"
#include "tools/collateral/simulators.h"
#include "vmgs/base/log.h"

namespace tools::vtpmd {

namespace {

namespace asio = boost::asio;
namespace authority = keybroker::authority;
namespace evidence = keybroker::evidence;

base::Result<std::optional<evidence::Policy>> read_policy(const std::filesystem::path& file) {
  if (file.empty()) {
    return std::optional<evidence::Policy>();
  }
  TRY_ASSIGN(text, collateral::read_text(file.string(), evidence::kMaxPolicyBytes));
  auto policy = evidence::decode_policy(text);
  if (!policy) {
    return base::fail(std::move(policy).error().context(file.string()));
  }
  return std::optional(*std::move(policy));
}

base::Result<std::optional<evidence::TrustStore>> read_simulated(
    const std::filesystem::path& file) {
  if (file.empty()) {
    return std::optional<evidence::TrustStore>();
  }
  TRY_ASSIGN(store, collateral::read_simulators({file.string()}));
  return std::optional(std::move(store));
}

// Collateral is read whenever it is needed, for it is renewed while vtpmd runs. Now, only to see
// whether it can be.
base::Result<authority::ConfidentialRules> read_rules(const config::VtpmdSettings& settings) {
  authority::ConfidentialRules rules;
  TRY_ASSIGN(policy, read_policy(settings.authority_policy));
  TRY_ASSIGN(simulated, read_simulated(settings.simulated_roots));
  TRY(collateral::read_collateral(settings.collateral));
  rules.policy = std::move(policy);
  rules.simulated = std::move(simulated);
  rules.collateral = [folder = settings.collateral](
                         evidence::Evidence& shown) -> base::Result<evidence::Collateral> {
    TRY(collateral::add_kept_vcek(folder, shown));
    return collateral::read_collateral(folder);
  };
  return rules;
}

void warn(const std::string& what) { base::log(base::LogLevel::kWarning, what); }

}  // namespace

keybroker::crypto::Time now_in_seconds() {
  return std::chrono::time_point_cast<keybroker::crypto::Time::duration>(
      std::chrono::system_clock::now());
}

base::Result<std::unique_ptr<EmbeddedAuthority>> EmbeddedAuthority::start(
    asio::io_context& io, const std::filesystem::path& folder,
    const config::VtpmdSettings& settings) {
  TRY_ASSIGN(rules, read_rules(settings));
  const auto kind =
      settings.authority_key == "rsa3072" ? authority::CaKey::kRsa3072 : authority::CaKey::kP384;
  TRY_ASSIGN(opened, daemon::open_authority_folder(folder, rules.simulated.has_value(), kind,
                                                   now_in_seconds()));
  authority::AuthorityRules terms;
  terms.certificate_life = std::chrono::hours(24) * settings.certificate_days;
  auto view = std::move(opened.view);
  auto desk = std::make_unique<Desk>(std::move(opened), terms, std::move(rules));
  return std::unique_ptr<EmbeddedAuthority>(
      new EmbeddedAuthority(io, std::move(view), std::move(desk)));
}

EmbeddedAuthority::~EmbeddedAuthority() { pool_.join(); }

void EmbeddedAuthority::ask(const authority::RegisteredVm& vm, Request request,
                            std::function<void(const Answer&)> reply) {
  if (!budget_.take(vm.vm_id, std::chrono::steady_clock::now())) {
    Answer refused;
    refused.set_serial(request.serial());
    refused.mutable_refusal()->set_reason("this VM asks for certificates too often");
    refused.mutable_refusal()->set_may_pass(true);
    asio::post(io_, [reply = std::move(reply), refused] { reply(refused); });
    return;
  }
  asio::post(pool_, [this, vm, request = std::move(request), reply = std::move(reply)] {
    auto answer = desk_->requests.answer(vm, request, now_in_seconds());
    asio::post(io_, [reply, answer = std::move(answer)] { reply(answer); });
  });
}

bool EmbeddedAuthority::has_certified(const keybroker::protocol::Uuid& vm_id) {
  const auto certified = view_.has_certified(vm_id, now_in_seconds());
  if (!certified) {
    warn(certified.error().message);
    return true;  // its instance judges by what it has
  }
  return *certified;
}

void EmbeddedAuthority::forget_all_but(std::set<keybroker::protocol::Uuid> vms) {
  asio::post(pool_, [this, vms = std::move(vms)] {
    const auto now = now_in_seconds();
    const auto known = desk_->records.vms(now);
    if (!known) {
      warn(known.error().message);
      return;
    }
    for (const auto& vm_id : *known) {
      if (vms.contains(vm_id)) {
        continue;
      }
      if (const auto done = desk_->authority.forget(vm_id, now); !done) {
        warn("the certificates of VM " + keybroker::protocol::uuid_text(vm_id) +
             ", which is gone, are not revoked yet: " + done.error().message);
      }
    }
  });
}

void EmbeddedAuthority::keep_house() {
  asio::post(pool_, [this] {
    if (const auto done = desk_->authority.keep_house(now_in_seconds()); !done) {
      warn(done.error().message);
    }
  });
}

}  // namespace tools::vtpmd
