// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/release_load.h"

#include <algorithm>

#include "tests/support/simulated_mints.h"
#include "vmgs/base/layout.h"
#include "vmgs/crypto/random.h"

namespace tests::bench {

namespace {

using base::ErrorCode;
namespace protocol = keybroker::protocol;

// The host that relays.
constexpr std::string_view kHost = "host-1";

// Mailbox gives challenges, and keeps the release request in place of sending it.
class Mailbox : public client::Channel {
 public:
  Mailbox(broker::Worker& worker, crypto::Time now, bool forges)
      : worker_(worker), now_(now), forges_(forges) {}

  base::Result<base::Bytes> call(client::Method method, base::ByteView message,
                                 const std::stop_token& /*stop*/) override {
    if (method != client::Method::kChallenge) {
      request = base::copy_of(message);
      return base::fail(ErrorCode::kUnavailable, "kept for later");
    }
    challenge = base::copy_of(message);
    TRY_ASSIGN(answer, broker::answer_challenge(worker_, kHost, message, now_));
    if (forges_) {
      answer.at(answer.size() / 2) ^= std::byte{1};  // within the token, which is nearly all of it
    }
    return answer;
  }

  base::Bytes challenge;
  base::Bytes request;

 private:
  broker::Worker& worker_;
  crypto::Time now_;
  bool forges_;
};

client::Boot boot_of(const TestBroker& at, const protocol::LaunchDocument& document) {
  client::Boot boot;
  boot.belief.vm_id = document.vm_id;
  boot.belief.broker_roots = {at.root.certificate.fingerprint()};
  std::ranges::copy(document.vm_id, boot.boot_id.begin());
  boot.launch_digest = base::copy_of(
      protocol::launch_digest(*protocol::encode(document), document.tee_family).bytes);
  boot.launch_digest.resize(32);  // SEV-SNP's host data
  return boot;
}

}  // namespace

crypto::Time ReleaseLoad::now() const {
  return support::mint_begin() + std::chrono::duration_cast<std::chrono::seconds>(
                                     std::chrono::steady_clock::now() - begin_);
}

base::Result<protocol::LaunchDocument> ReleaseLoad::new_vm(const Fault& fault) {
  auto document = integration::document_for(at_, 0);
  base::U32Be number;
  number = ++made_;
  std::ranges::copy(base::view(number), document.vm_id.begin());
  document.vm_id.back() = std::byte{1};
  if (fault.is_unregistered) {
    return document;
  }
  broker::NewVm vm;
  TRY_ASSIGN(encoded, protocol::encode(document));
  vm.launch_document = std::move(encoded);
  vm.root_class = keybroker::evidence::RootClass::kSimulated;
  vm.policies = {{integration::kTenant, at_.put(fault.policy)}};
  auto registrar = at_.registrar();
  TRY(broker::register_vm(registrar, integration::kTenant, vm, at_.act()));
  return document;
}

base::Result<Start> ReleaseLoad::start_of(const protocol::LaunchDocument& document,
                                          const Fault& fault) {
  const auto boot = boot_of(at_, document);
  Mailbox mailbox(thread_.worker, now(), fault.challenge_is_forged);
  TRY_ASSIGN(release, client::Release::begin(mailbox, boot, {}));
  auto shown = integration::show_snp(boot.launch_digest, release.report_data());
  if (fault.signature_is_forged) {
    shown.report.at(keybroker::evidence::kSnpSignedBytes) ^= std::byte{1};
  }
  if (const auto sent = release.request(mailbox, shown, {}, {}); mailbox.request.empty()) {
    return base::fail(sent.error());
  }
  client::Notice notice;
  notice.sequence = 1;
  notice.digest.fill(std::byte{0xD1});
  TRY_ASSIGN(key, broker::boot_key(at_.rules.secrets.newest(), document.vm_id, 1, boot.boot_id));
  TRY_ASSIGN(anchor, client::AnchorRequest::make(boot, 1, client::BootKey{std::move(key)}, notice));
  return Start{document.vm_id, std::move(mailbox.challenge), std::move(mailbox.request),
               base::copy_of(anchor.bytes())};
}

base::Result<std::vector<Start>> ReleaseLoad::starts(std::size_t count, const Fault& fault) {
  std::vector<Start> made;
  while (made.size() < count) {
    TRY_ASSIGN(document, new_vm(fault));
    TRY_ASSIGN(start, start_of(document, fault));
    made.push_back(std::move(start));
  }
  return made;
}

base::Result<std::vector<protocol::Uuid>> ReleaseLoad::vms(std::size_t count) {
  std::vector<protocol::Uuid> made;
  while (made.size() < count) {
    TRY_ASSIGN(document, new_vm({}));
    made.push_back(document.vm_id);
  }
  return made;
}

base::Result<void> BareRecords::write(store::BrokerRecords& records, const protocol::Uuid& vm_id,
                                      crypto::Time now) const {
  const auto refused = [] { return base::fail(ErrorCode::kDenied, "a bare record was refused"); };
  store::Act act{{}, now, line_};
  TRY(vmgs::crypto::random_bytes(act.request_id));
  store::ClaimRequest claim;
  claim.vm_id = vm_id;
  claim.boot_id = vm_id;
  claim.conf_version = 1;
  TRY(vmgs::crypto::random_bytes(claim.nonce));
  claim.nonce_expiry = now + std::chrono::minutes(5);
  TRY_ASSIGN(claimed, records.claim(claim, act));
  if (!std::holds_alternative<store::Claimed>(claimed)) {
    return refused();
  }
  store::Act next{{}, now, "{}"};
  TRY(vmgs::crypto::random_bytes(next.request_id));
  store::AnchorRequest anchor;
  anchor.vm_id = vm_id;
  anchor.boot_id = vm_id;
  anchor.epoch = 1;
  anchor.state.sequence = 1;
  TRY_ASSIGN(anchored, records.anchor(anchor, next));
  if (!std::holds_alternative<store::Anchored>(anchored)) {
    return refused();
  }
  return records.keep_answer(vm_id, next.request_id, answer_);
}

}  // namespace tests::bench
