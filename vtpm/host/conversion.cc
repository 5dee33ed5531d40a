// SPDX-License-Identifier: Apache-2.0
#include "vtpm/host/conversion.h"

#include <utility>

#include "vmgs/format/vm_id.h"
#include "vtpm/host/vm_parameters.h"

namespace vtpm::host {

namespace {

namespace protocol = keybroker::protocol;
namespace api = strongroom::host::v1;
using base::ErrorCode;
using protocol::LaunchDocument;
using protocol::Protection;
using protocol::TeeFamily;
using vmgs::format::VmId;

auto denied(std::string why) { return base::fail(ErrorCode::kDenied, std::move(why)); }

std::string tenant_text(const LaunchDocument& document) {
  return document.tenant ? to_string(VmId{*document.tenant}) : "absent";
}

base::Result<void> expect_immutable(const LaunchDocument& from, const LaunchDocument& to) {
  if (from.vm_id != to.vm_id) {
    return denied("the launch document is of VM " + to_string(VmId{to.vm_id}) + ", and this is " +
                  to_string(VmId{from.vm_id}));
  }
  if ((from.tee_family == TeeFamily::kNone) != (to.tee_family == TeeFamily::kNone)) {
    return denied(
        "tee: an ordinary VM never becomes a confidential one, nor the reverse: its host has had "
        "the secrets of an ordinary VM's TPM, and no protection takes them back. Create a new VM");
  }
  if (from.tenant != to.tenant) {
    return denied("tenant never changes: it is " + tenant_text(from) + ", and " + tenant_text(to) +
                  " was asked for. Create a new VM");
  }
  if (from.lifetime != to.lifetime) {
    return denied("lifetime never changes: it is " + std::string(name(from.lifetime)) + ", and " +
                  std::string(name(to.lifetime)) + " was asked for. Create a new VM");
  }
  return {};
}

bool is_ordinary(const LaunchDocument& document) { return document.tee_family == TeeFamily::kNone; }

// Words that are of the other kind of VM say which VM was meant.
base::Result<void> expect_of_its_kind(const LaunchDocument& from, const LaunchDocument& to) {
  const bool for_confidential =
      to.protection == Protection::kHardware || to.protection == Protection::kBroker;
  if (is_ordinary(from) && for_confidential) {
    return denied("protection " + std::string(name(to.protection)) +
                  " is of confidential VMs, and an ordinary VM never becomes one: its host has had "
                  "the secrets of its TPM. Create a new VM");
  }
  if (!is_ordinary(from) && !for_confidential && from.protection != to.protection) {
    return denied("protection " + std::string(name(to.protection)) +
                  " would give the state of a confidential VM to its host, and is never put in the "
                  "place of another. Create a new VM, and move into it what the guest itself can "
                  "move");
  }
  return {};
}

base::Result<void> expect_allowed(const Conversion& conversion,
                                  const api::ConvertVmRequest& request) {
  if (conversion.is_weaker && !request.allow_weaker() && !request.dry_run()) {
    return denied(
        "protection none is weaker than host: whoever reads the store's file has the TPM, its "
        "seeds "
        "and all that is sealed to it. `vtpmctl convert VM --to none --weaken` says that you want "
        "that, and --dry-run what it does");
  }
  return {};
}

base::Result<void> expect_opens(const LaunchDocument& from, const LaunchDocument& to) {
  TRY(expect_of_its_kind(from, to));
  if (is_ordinary(from)) {
    return {};
  }
  if (from.protection == Protection::kHardware) {
    return denied(
        "protection is hardware: the store opens under the launch document that it was sealed "
        "under, on that machine, and under no other. A VM that is to move between TEEs has "
        "protection broker");
  }
  if (from.protection != to.protection) {
    return denied("protection is " + std::string(name(from.protection)) + ", and " +
                  std::string(name(to.protection)) + " was asked for: " +
                  (from.protection == Protection::kNone
                       ? "its host has had the secrets of its TPM in plaintext. Create a new VM"
                       : "a store is not put under another protection. Create a new VM"));
  }
  return {};
}

void note_protection(const LaunchDocument& to, std::vector<std::string>& notes) {
  notes.emplace_back(
      "Another store is made beside the one that there is, of its size, and takes its place at "
      "once. "
      "The one before stays until the VM has started from the new one, and `vtpmctl convert "
      "--undo` "
      "goes back to it.");
  if (to.protection == Protection::kNone) {
    notes.emplace_back(
        "Weaker: whoever can read the store's file has the TPM from then on. At the first start "
        "the "
        "TPM gets another endorsement seed, and with it other endorsement and attestation keys; "
        "the "
        "certificates of those before are revoked. What the guest has sealed still opens.");
  } else {
    notes.emplace_back(
        "The store before is removed after the first start, and is not overwritten: what the disk "
        "still has of it, and copies of it, hold the TPM's seeds in plaintext. Where that matters, "
        "create a new VM.");
  }
}

void note_floors(const LaunchDocument& to, std::vector<std::string>& notes) {
  if (to.tee_family == TeeFamily::kTdx) {
    notes.emplace_back(
        "The guest needs Linux 5.19 or later to boot as a TD, and 6.7 or later to ask for quotes "
        "itself, by configfs-tsm.");
  } else {
    notes.emplace_back(
        "The guest needs Linux 5.19 or later to run under SEV-SNP and to ask for reports itself.");
  }
  notes.emplace_back(
      "Measured boot values change with the TEE's firmware: have the recovery key of the guest's "
      "disk at hand, or suspend its protection before.");
}

std::vector<std::string> notes_of(const LaunchDocument& from, const LaunchDocument& to) {
  std::vector<std::string> notes;
  if (from.protection != to.protection) {
    note_protection(to, notes);
  }
  if (from.tee_family != to.tee_family) {
    note_floors(to, notes);
  }
  if (from.offline_rule != to.offline_rule && to.offline_rule == protocol::OfflineRule::kAllow) {
    notes.emplace_back("A start without the broker proves nothing about the age of the state.");
  }
  if (to.protection == Protection::kBroker) {
    notes.emplace_back(
        "The VM's tenant tells its broker of the new launch document: `kbctl vm convert FILE`, "
        "where FILE is what --launch-document-out writes, with --dry-run too. A start under a "
        "document that the broker does not know is refused and harms nothing.");
    notes.emplace_back(
        "Until the VM has started under the new document the broker takes the one before as well, "
        "for seven days, and `vtpmctl convert --undo` goes back to it.");
  }
  return notes;
}

base::Result<LaunchDocument> wanted(const LaunchDocument& document,
                                    const api::ConvertVmRequest& request) {
  const bool has_words = request.changes().ByteSizeLong() != 0;
  if (has_words != request.launch_document().empty()) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "a conversion is either to a finished launch document or by what changes of "
                      "the one there is: give one of them");
  }
  if (has_words) {
    return changed_by(document, request.changes());
  }
  auto decoded = protocol::decode_launch_document(base::bytes_of(request.launch_document()));
  if (!decoded) {
    return base::fail(ErrorCode::kInvalidArgument, std::move(decoded).error().message);
  }
  return decoded;
}

base::Result<Conversion> conversion_to(const LaunchDocument& from, const LaunchDocument& to) {
  Conversion conversion;
  conversion.document = to;
  conversion.changes_protection = from.protection != to.protection;
  conversion.is_weaker = conversion.changes_protection && to.protection == Protection::kNone;
  TRY_ASSIGN(encoded, protocol::encode(to));
  conversion.launch_document = std::move(encoded);
  conversion.changes = changes_between(from, to);
  if (!conversion.changes.empty()) {
    conversion.notes = notes_of(from, to);
  }
  return conversion;
}

}  // namespace

base::Result<Conversion> plan_conversion(const LaunchDocument& document,
                                         const api::ConvertVmRequest& request) {
  TRY_ASSIGN(to, wanted(document, request));
  TRY(expect_immutable(document, to));
  if (document != to) {
    TRY(expect_opens(document, to));
  }
  TRY_ASSIGN(conversion, conversion_to(document, to));
  TRY(expect_allowed(conversion, request));
  return conversion;
}

base::Result<Conversion> plan_undo(const LaunchDocument& document,
                                   base::ByteView launch_document_before) {
  if (launch_document_before.empty()) {
    return base::fail(ErrorCode::kNotFound,
                      "there is no conversion to take back: the VM was not converted, or has "
                      "started since. To go back, convert it again, at the broker too");
  }
  TRY_ASSIGN(before, protocol::decode_launch_document(launch_document_before));
  TRY_ASSIGN(conversion, conversion_to(document, before));
  if (is_ordinary(before)) {
    conversion.notes.clear();
    return conversion;
  }
  conversion.notes = {
      "If the VM's tenant has told its broker of the conversion, the broker takes this launch "
      "document for seven days from then; `kbctl vm convert FILE` makes it the one again."};
  return conversion;
}

}  // namespace vtpm::host
