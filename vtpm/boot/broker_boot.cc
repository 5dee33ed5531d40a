// SPDX-License-Identifier: Apache-2.0
#include "vtpm/boot/broker_boot.h"

#include <algorithm>
#include <span>
#include <system_error>
#include <utility>

#include "vmgs/base/log.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/storage/folder.h"

namespace vtpm::boot {

namespace client = keybroker::client;
namespace protocol = keybroker::protocol;
using base::ErrorCode;
using protocol::OfflineRule;
using protocol::Readiness;

namespace {

constexpr std::string_view kKekLabel = "strongroom-kek-1";
constexpr std::size_t kKekBytes = 16;

Anchor anchor_of(const client::AnchorPoint& point) {
  return {.epoch = point.epoch, .sequence = point.sequence, .digest = point.digest};
}

std::optional<Anchor> anchor_of(const std::optional<client::AnchorPoint>& point) {
  return point ? std::optional(anchor_of(*point)) : std::nullopt;
}

// Whether a guest can have used the TPM of a store that no witness knows of: it is served only
// after the boot anchor is acknowledged, or offline.
bool is_unused(const Record& record) { return !record.acked; }

// A store that nobody has used is renamed, next to where it was.
base::Result<void> set_aside(const std::filesystem::path& store) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(store, error)) {
    return base::fail(ErrorCode::kDenied,
                      store.string() +
                          " holds a store that no guest has used, of a start that did "
                          "not come to its end. Clear it: blkdiscard -z");
  }
  auto aside = store;
  aside += ".unused";
  std::filesystem::rename(store, aside, error);
  if (error) {
    return base::fail(ErrorCode::kIo, "setting " + store.string() + " aside: " + error.message());
  }
  base::log(base::LogLevel::kWarning,
            "a store that no guest has used was set aside as " + aside.string());
  return vmgs::storage::sync_folder_of(store);
}

std::string at_commit(const Anchor& anchor) { return "commit " + std::to_string(anchor.sequence); }

}  // namespace

BrokerBoot::BrokerBoot(Settings settings)
    : settings_(std::move(settings)), protector_(broker_protector(*this)) {
  boot_.belief = {.vm_id = settings_.document.vm_id,
                  .broker_roots = settings_.document.broker_root_hashes};
  boot_.boot_id = settings_.boot_id;
  boot_.launch_digest = settings_.launch_digest;
}

base::Result<BrokerBoot::Started> BrokerBoot::start(
    StoreSettings settings, bool may_create,
    const std::function<base::Result<base::SecretBytes>()>& make_tpm) {
  settings.vm_id = vm_id();
  settings.boot_id = settings_.boot_id;
  auto opened = StateStore::open(settings, *protector_, this);
  if (opened) {
    store_ = opened->get();
    return Started{.store = *std::move(opened)};
  }
  if (trouble() || !may_create || opened.error().code != ErrorCode::kNotFound) {
    return base::fail(std::move(opened).error());
  }
  TRY_ASSIGN(permanent, make_tpm());
  if (found_unused_) {
    TRY(set_aside(settings.path));
  }
  auto made = StateStore::create(settings, *protector_, permanent.expose(), this);
  if (!made && !trouble()) {
    // Of a store that is there, why it does not open says more than that none can be made.
    if (made.error().code == ErrorCode::kDenied) {
      return base::fail(std::move(opened).error());
    }
    // Nothing of this VM is missing: there is no folder to make it in.
    if (made.error().code == ErrorCode::kNotFound) {
      made.error().code = ErrorCode::kInvalidArgument;
    }
  }
  TRY_ASSIGN(store, std::move(made));
  store_ = store.get();
  return Started{.store = std::move(store), .created = true};
}

base::Result<void> BrokerBoot::refuse(Readiness why, base::Error error) {
  const std::lock_guard lock(ending_);
  trouble_ = why;
  ended_ = error;
  return base::fail(std::move(error));
}

std::optional<Readiness> BrokerBoot::trouble() const {
  const std::lock_guard lock(ending_);
  return trouble_;
}

std::optional<base::Error> BrokerBoot::ended() const {
  const std::lock_guard lock(ending_);
  return ended_;
}

base::Result<void> BrokerBoot::claim() {
  if (auto ended = this->ended()) {
    return base::fail(*std::move(ended));
  }
  return released_ || offline_ ? base::Result<void>() : ask();
}

base::Result<client::Released> BrokerBoot::ask_broker(const std::stop_token& stop,
                                                      std::chrono::seconds patience,
                                                      base::ByteView receipt,
                                                      std::optional<base::Error>& no_evidence) {
  const auto make_evidence =
      [&](const std::array<std::byte, 64>& report_data) -> base::Result<client::ShownEvidence> {
    auto evidence = settings_.tee.report(report_data);
    if (!evidence) {
      no_evidence = evidence.error();
      return base::fail(std::move(evidence).error());
    }
    return client::ShownEvidence{.report = std::move(evidence->report),
                                 .certificate_table = std::move(evidence->certificates)};
  };
  return client::ask_for_release(settings_.channel, boot_, make_evidence, receipt,
                                 client::Patience(patience), stop);
}

WitnessedHistory BrokerBoot::history_of(const client::Released& released) {
  return {.anchor = anchor_of(released.anchor),
          .allowed_restore = anchor_of(released.allowed_restore)};
}

base::Result<void> BrokerBoot::ask() {
  std::optional<base::Error> no_evidence;
  auto released = ask_broker(settings_.stop, settings_.patience, settings_.receipt, no_evidence);
  if (released) {
    history_ = history_of(*released);
    released_ = *std::move(released);
    return {};
  }
  if (no_evidence) {
    return refuse(Readiness::kNotSetUp, std::move(*no_evidence).context("the TEE gives no report"));
  }
  if (released.error().code == ErrorCode::kDenied) {
    return refuse(Readiness::kBrokerRefused, std::move(released).error());
  }
  if (released.error().code != ErrorCode::kUnavailable) {
    return base::fail(std::move(released).error());
  }
  if (settings_.stop.stop_requested()) {
    return base::fail(ErrorCode::kUnavailable, "stopped while its key broker was awaited");
  }
  if (settings_.document.offline_rule != OfflineRule::kAllow) {
    return refuse(Readiness::kBrokerAway, std::move(released).error());
  }
  base::log(base::LogLevel::kWarning,
            "the key broker is away (" + released.error().message +
                "), and the launch document allows to start without it: nothing says that this is "
                "the newest state");
  started_offline_ = true;
  offline_ = true;
  return {};
}

// A broker whose records come from a backup does not know the newest state of this VM, and whoever
// keeps receipts for its starts may not have the one that the store has.
bool BrokerBoot::may_be_unknown(Verdict verdict, const Record& record) const {
  return (verdict == Verdict::kForked || verdict == Verdict::kUnwitnessed) &&
         !record.receipt.empty() && record.receipt != settings_.receipt;
}

// The second claim of a boot leaves it the owner; without an answer the first one counts.
base::Result<void> BrokerBoot::show_receipt(base::ByteView receipt) {
  std::optional<base::Error> no_evidence;
  auto released = ask_broker(settings_.stop, settings_.patience, receipt, no_evidence);
  if (released) {
    history_ = history_of(*released);
    released_ = *std::move(released);
    return {};
  }
  if (!no_evidence && released.error().code == ErrorCode::kDenied) {
    return refuse(Readiness::kBrokerRefused, std::move(released).error());
  }
  return {};
}

base::Result<void> BrokerBoot::expect_new() {
  if (!history_.anchor && !history_.allowed_restore) {
    return {};
  }
  return refuse(Readiness::kStateMissing,
                {ErrorCode::kNotFound,
                 "the key broker has noted a state of this VM, and its store is not there"});
}

base::Result<void> BrokerBoot::refuse_offline(base::Error why) {
  return refuse(Readiness::kBrokerAway,
                {ErrorCode::kUnavailable,
                 "the key broker is away, and the store does not open without it: " + why.message});
}

std::string BrokerBoot::kek() const {
  if (!released_) {
    return "";
  }
  const auto mac =
      vmgs::crypto::hmac_sha256(released_->vm_key.bytes.expose(), base::bytes_of(kKekLabel));
  return base::to_hex(std::span(mac).first<kKekBytes>());
}

protocol::FreshnessClaim BrokerBoot::freshness() const {
  protocol::FreshnessClaim claim;
  claim.by = protocol::WitnessKind::kBroker;
  claim.state = offline_ ? protocol::FreshnessState::kOffline : protocol::FreshnessState::kFresh;
  claim.policy = settings_.document.anchor_class;
  claim.interval_seconds = settings_.document.anchor_interval_seconds;
  claim.lease = settings_.document.lease;
  if (record_) {
    claim.epoch = record_->epoch;
    claim.acked = record_->acked ? record_->acked->sequence : 0;
    claim.restores = record_->restores;
    claim.offline_boots = record_->offline_boots;
  }
  if (store_ != nullptr) {
    if (const auto at = store_->state()) {  // there is none while a store cannot be opened again
      claim.sequence = at->sequence;
    }
  }
  return claim;
}

base::Result<void> BrokerBoot::expect(Verdict verdict, const Anchor& opened, const Record& record) {
  switch (verdict) {
    case Verdict::kCurrent:
    case Verdict::kRestored:
      return {};
    case Verdict::kStale:
      return refuse(Readiness::kStaleState,
                    {ErrorCode::kDenied, "the state is at " + at_commit(opened) +
                                             " and does not have " + at_commit(*history_.anchor) +
                                             ", which the key broker has noted of this VM: an "
                                             "older copy has taken its place"});
    case Verdict::kForked:
      return refuse(
          Readiness::kForkedState,
          {ErrorCode::kDenied, "the state is at " + at_commit(opened) +
                                   " and does not descend from the one that the key broker has "
                                   "noted of this VM at " +
                                   at_commit(*history_.anchor) + ": another copy was used"});
    case Verdict::kUnwitnessed:
      break;
  }
  if (is_unused(record)) {
    found_unused_ = true;
    return base::fail(
        ErrorCode::kNotFound,
        "the store was made by a start that ended before the key broker had noted it, "
        "so that no guest has used it, and it is not taken for the VM's");
  }
  return refuse(
      Readiness::kForkedState,
      {ErrorCode::kDenied,
       "the key broker has noted no state of this VM, and this store has a past: have its "
       "owner allow it at the broker, if it is the right one"});
}

base::Result<Record> BrokerBoot::admit(const Anchor& opened, Record record) {
  if (offline_ && is_unused(record)) {
    // The broker would not take for the VM's what its guest has done with it.
    return base::fail(
        refuse_offline({ErrorCode::kDenied, "a start that the key broker has not heard of made it"})
            .error());
  }
  if (!offline_) {
    auto verdict = judge(opened, record, history_);
    if (may_be_unknown(verdict, record)) {
      TRY(show_receipt(record.receipt));
      verdict = judge(opened, record, history_);
    }
    TRY(expect(verdict, opened, record));
    used_restore_ = verdict == Verdict::kRestored;
  }
  record.boot_id = settings_.boot_id;
  if (offline_) {
    opened_ = {.at = opened, .record = record};
    ++record.offline_boots;
    // It may be what a close has told the broker; what comes of it must prove that it descends.
    if (!record.pending) {
      record.pending = opened;
    }
  } else {
    become_owner(record);
  }
  record_ = record;
  return record;
}

// What the broker has noted was judged when the store was opened first, or is judged by it later,
// in rejoin(): another line may pass for this one by no number. The id of this boot is in each of
// its commits, under the key of the store.
base::Result<Record> BrokerBoot::admit_again(const Anchor& last, const Anchor& opened,
                                             const Record& record) {
  const bool is_last = opened.sequence == last.sequence && opened.digest == last.digest;
  const bool came_of_last = record.boot_id == settings_.boot_id && opened.sequence > last.sequence;
  if (is_last || came_of_last) {
    return *record_;  // what this boot knows, whatever became of its last commit
  }
  const bool is_older = opened.sequence < last.sequence;
  return base::fail(
      refuse(is_older ? Readiness::kStaleState : Readiness::kForkedState,
             {ErrorCode::kDenied,
              "the store was at " + at_commit(last) + " and is at " + at_commit(opened) +
                  " now, without this boot: " + (is_older ? "an older" : "another") +
                  " copy has taken its place while it was in use"})
          .error());
}

void BrokerBoot::become_owner(Record& record) const {
  record.epoch = released_->epoch;
  record.restores = released_->restores;
  record.acked = used_restore_ ? history_.allowed_restore : history_.anchor;
  record.pending.reset();
}

Record BrokerBoot::begin(Record record) {
  record.boot_id = settings_.boot_id;
  record.epoch = released_ ? released_->epoch : 0;
  record_ = record;
  return record;
}

}  // namespace vtpm::boot
