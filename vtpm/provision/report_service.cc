// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/report_service.h"

#include <algorithm>
#include <utility>

#include "vmgs/base/log.h"
#include "vmgs/format/tpm_nv_memory.h"
#include "vtpm/protocol/header.h"
#include "vtpm/provision/esys.h"
#include "vtpm/provision/report_request.h"

namespace vtpm::provision {

namespace {

using protocol::ResponseCode;

base::Bytes bare(ResponseCode code) { return base::copy_of(protocol::bare_response(code)); }

UserData cut(base::ByteView written) {
  UserData data{};
  std::copy_n(written.begin(), std::min(written.size(), data.size()), data.begin());
  return data;
}

// What the guest has written, cut to the size of the claim or with zeros behind it; zeros where it
// has written nothing. It is read out of the TPM's state, as reading it takes an authorization that
// is the guest's to set, and as a session may hide what is written from whoever watches.
base::Result<UserData> user_data(engine::Engine& engine) {
  TRY_ASSIGN(state, engine.state_blob(engine::BlobKind::kPermanent));
  TRY_ASSIGN(indices, vmgs::format::decode_tpm_nv_indices(state.expose()));
  const auto found = std::ranges::find(indices, kUserDataIndex, &vmgs::format::TpmNvIndex::index);
  if (found == indices.end()) {
    return UserData{};
  }
  if ((found->attributes & vmgs::format::kTpmNvOrderly) != 0) {
    return base::fail(base::ErrorCode::kDenied,
                      "NV index 0x01400002 is orderly, which is unsupported: define it without "
                      "that attribute");
  }
  const bool written = (found->attributes & vmgs::format::kTpmNvWritten) != 0;
  return written ? cut(found->content) : UserData{};
}

}  // namespace

ReportService::ReportService(engine::Engine& engine, DeferringStore& store, tee::Tee* tee,
                             Statement statement, base::Result<Provisioned> provisioned,
                             Clock clock)
    : engine_(engine),
      store_(store),
      tee_(tee),
      clock_(std::move(clock)),
      statement_(std::move(statement)),
      provisioned_(std::move(provisioned)),
      refilled_(clock_()) {
  if (provisioned_ && provisioned_->rsa_ak && provisioned_->rsa_ek &&
      provisioned_->index_password) {
    keys_ = ClaimedKeys{.rsa_ak = *provisioned_->rsa_ak,
                        .rsa_ek = *provisioned_->rsa_ek,
                        .ecc_ak = provisioned_->ecc_ak,
                        .ecc_ek = provisioned_->ecc_ek};
  }
}

int ReportService::twin_descriptor() const {
  const std::lock_guard lock(settling_);
  return provisioned_ && provisioned_->twin ? provisioned_->twin->descriptor() : -1;
}

Obstacle ReportService::settle() {
  const std::lock_guard lock(settling_);
  return settle_locked();
}

bool ReportService::awaits_mark() const {
  const std::lock_guard lock(settling_);
  return to_be_marked_;
}

Obstacle ReportService::settle_locked() {
  if (!provisioned_ || !provisioned_->twin) {
    return found_;
  }
  const auto names = provisioned_->twin->names();
  provisioned_->twin.reset();
  if (names && agrees(*provisioned_, *names)) {
    return found_;
  }
  found_ = names ? Obstacle::kAkSquatted : Obstacle::kUnproven;
  to_be_marked_ = names && provisioned_->index_password != nullptr;
  keys_.reset();
  base::log(base::LogLevel::kError,
            names ? "a key at the handle of an attestation or endorsement key is not this TPM's; "
                    "there are no attestation reports until the VM is stopped and started"
                  : names.error().message);
  return found_;
}

// It is tried with each command, as there may be none that the TPM runs before its Startup.
void ReportService::mark_distrusted() {
  Esys esys(engine_);
  if (esys.open()) {
    to_be_marked_ = !write_index(esys.context(), kExtendedClaimsIndex,
                                 *provisioned_->index_password, base::bytes_of(kDistrustMark));
  }
}

void ReportService::restate(Statement statement) {
  const std::lock_guard lock(settling_);
  statement_ = std::move(statement);
  last_.reset();
}

std::optional<base::Bytes> ReportService::before(base::ByteView command) {
  const std::lock_guard lock(settling_);
  if (to_be_marked_) {
    mark_distrusted();
  }
  if (!asks_for_report(command)) {
    return std::nullopt;
  }
  switch (refresh()) {
    case Answer::kRunIt:
      return std::nullopt;
    case Answer::kLater:
      return bare(ResponseCode::kRetry);
    case Answer::kNever:
      break;
  }
  return bare(ResponseCode::kNvUninitialized);
}

ReportService::Answer ReportService::refresh() {
  settle_locked();
  if (!keys_) {
    return Answer::kNever;  // what may be in the index is of another life
  }
  if (engine_.failure()) {
    return Answer::kRunIt;  // the TPM says so itself
  }
  Esys esys(engine_);
  const auto opened = esys.open();
  const auto answer =
      opened ? refresh_in(esys.context()) : base::Result<Answer>(base::fail(opened.error()));
  if (answer) {
    return *answer;
  }
  base::log(base::LogLevel::kWarning,
            "the guest asked for an attestation report: " + answer.error().message);
  return answer.error().code == base::ErrorCode::kUnavailable ? Answer::kLater : Answer::kNever;
}

base::Result<ReportService::Answer> ReportService::refresh_in(ESYS_CONTEXT* esys) {
  TRY_ASSIGN(data, user_data(engine_));
  if (last_ && data == last_data_ && holds_last_report(esys)) {
    return Answer::kRunIt;
  }
  if (!spend()) {
    return Answer::kLater;
  }
  TRY_ASSIGN(report, make_report(statement_, *keys_, tee_, data));
  last_.reset();
  store_.defer(true);
  const auto written = write(esys, report);
  store_.defer(false);
  TRY(written);
  last_ = std::move(report);
  last_data_ = data;
  return Answer::kRunIt;
}

base::Result<void> ReportService::write(ESYS_CONTEXT* esys, const Report& report) {
  TRY(write_index(esys, kReportIndex, *provisioned_->index_password, report.hcl));
  return write_index(esys, kExtendedClaimsIndex, *provisioned_->index_password,
                     base::bytes_of(report.extended_claims));
}

// A power cut, or a reset of the guest, takes back what was not yet stored.
bool ReportService::holds_last_report(ESYS_CONTEXT* esys) const {
  const auto hcl = read_index(esys, kReportIndex, *provisioned_->index_password);
  return hcl && hcl->size() >= last_->hcl.size() &&
         std::equal(last_->hcl.begin(), last_->hcl.end(), hcl->begin());
}

bool ReportService::spend() {
  const auto now = clock_();
  const auto earned = (now - refilled_) / ReportBudget::kInterval;
  if (earned > 0) {
    refilled_ += earned * ReportBudget::kInterval;
    budget_ = static_cast<int>(std::min<std::int64_t>(ReportBudget::kBurst, budget_ + earned));
  }
  if (budget_ == 0) {
    return false;
  }
  --budget_;
  return true;
}

}  // namespace vtpm::provision
