// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/refusal.h"

#include <algorithm>
#include <array>

#include "keybroker/store/record_seal.h"

namespace keybroker::broker {

namespace {

using enum RefusalReason;

constexpr std::array kRefusals{
    RefusalCard{kRequestTooLarge, "request-too-large",
                "The message, or a part of it, is longer than any that an instance sends.",
                "Send what vtpm-instance made, unchanged.", false},
    RefusalCard{
        kRequestMalformed, "request-malformed", "The message is not one of this protocol.",
        "Check that vtpmd, the instance and the broker are of versions that know each other.",
        false},
    RefusalCard{
        kChallengeUnknown, "challenge-unknown",
        "This broker did not make the challenge, or its secret has been replaced since.",
        "Begin again with a challenge of this broker; its replicas must share their cluster "
        "secrets.",
        true},
    RefusalCard{
        kChallengeExpired, "challenge-expired", "The challenge is older than a boot takes.",
        "Begin again; if it happens each time, compare the clocks of the broker's replicas.", true},
    RefusalCard{kChallengeOtherVm, "challenge-other-vm", "The challenge was given for another VM.",
                "Begin again; look for who mixes the messages of two VMs.", true},
    RefusalCard{
        kChallengeUsed, "challenge-used", "The challenge was used by another request already.",
        "Begin again; if the VM's own log shows no earlier attempt, somebody replays messages.",
        true},
    RefusalCard{kVmUnregistered, "vm-unregistered",
                "No tenant has registered this VM at this broker.",
                "Register it before its first boot: kbctl vm register.", false},
    RefusalCard{kVmDisabled, "vm-disabled", "The tenant has disabled this VM.",
                "Ask the tenant, who can enable it: kbctl vm enable.", false},
    RefusalCard{kVmDeleted, "vm-deleted", "The tenant has deleted this VM, and its key with it.",
                "Its state cannot be opened again; register a new VM under a new id.", false},
    RefusalCard{kRecordsAltered, store::kRecordsAltered,
                "The record is not as this broker wrote it: somebody else has changed the database "
                "that it is in.",
                "Look for who can write the database; then put the record back from a backup, or "
                "let the VM's successor be registered under a new id.",
                false},
    RefusalCard{
        kLaunchDocumentOther, "launch-document-other",
        "The VM was launched with another launch document than the registered one: another "
        "broker root, protection, id or any other field.",
        "Launch it with the registered document, or have the tenant convert the registration.",
        false},
    RefusalCard{kLaunchDocumentReplaced, "launch-document-replaced",
                "The launch document was the VM's before a conversion that is over.",
                "Launch the VM with the document that it was converted to.", false},
    RefusalCard{kTeeOther, "tee-other",
                "The VM is registered for another TEE than its launch digest is of.",
                "Launch it on a machine of the registered family, or convert it first: kbctl vm "
                "convert.",
                false},
    RefusalCard{kProtectionOther, "protection-other",
                "The VM's launch document does not protect its state by a broker.",
                "Its key is not kept here; convert the VM to protection broker first.", false},
    RefusalCard{kSimulatedNotAccepted, "simulated-not-accepted",
                "The VM is registered as simulated, and this broker believes no simulator.",
                "Start the broker with the simulator's roots, or register the VM as production.",
                false},
    RefusalCard{kCloneNotOffered, "clone-not-offered",
                "The VM is registered as a clone, and this broker does not release a source's key.",
                "Register the VM without a source.", false},
    RefusalCard{kTransferKeyUnusable, "transfer-key-unusable",
                "The transfer key is no key of the transfer algorithm that the claims name.",
                "Check the instance's version: it makes the key itself, anew for each attempt.",
                false},
    RefusalCard{kCertificateTableMalformed, "certificate-table-malformed",
                "What the host gave with the report is no table of certificates.",
                "Check what the host's kernel was given for SEV-SNP extended reports.", false},
    RefusalCard{kRequestIdUsed, "request-id-used",
                "A request of other bytes has had this request id.",
                "Begin again: an instance draws its request ids at random.", true},
    RefusalCard{kGuestReport, "guest-report",
                "The report is one that the guest can ask its TPM for, and not one for a release.",
                "Look for who sends it: only the instance, outside the guest, asks for keys.",
                false},
    RefusalCard{kEvidenceNotChecked, "evidence-not-checked",
                "Not every check of the evidence could be made.",
                "Read the checks in the release log; the broker may lack the vendor's collateral.",
                false},
    RefusalCard{kPolicyDenied, "policy-denied", "The release policy of an owner does not allow it.",
                "Read the trace, which names the clause: kbctl releases explain.", false},
    RefusalCard{kExecutionPolicyMissing, "execution-policy-missing",
                "The launch document names an execution policy, and none is registered.",
                "Register the text whose SHA-256 stands in the document: kbctl vm register "
                "--execution-policy.",
                false},
    RefusalCard{kExecutionPolicyAltered, "execution-policy-altered",
                "The registered execution policy is not the one that the launch document names.",
                "Register the text whose SHA-256 stands in the document, or convert the VM.",
                false},
    RefusalCard{kLeaseRunning, "lease-running",
                "Another boot of this VM holds a lease that has not ended.",
                "Stop that boot in order, or wait until its lease has ended.", true},
    RefusalCard{kReceiptForged, "receipt-forged",
                "The receipt that came with the request was not signed under this broker's root.",
                "Remove the receipt that vtpmd keeps for the VM, or ask the broker that signed it.",
                false},
    RefusalCard{kReceiptOtherVm, "receipt-other-vm",
                "The receipt that came with the request is another VM's.",
                "Give vtpmd back the receipt of this VM, or remove it.", false},
    RefusalCard{
        kAnchorMac, "anchor-mac",
        "The message was not made with the boot key of the VM, epoch and boot that it names.",
        "Nothing on the way may change a message; a boot from before the cluster secret was "
        "replaced has to be started again.",
        false},
    RefusalCard{
        kAnchorFenced, "anchor-fenced",
        "This boot does not own the VM any more: another one has claimed it since, or the VM "
        "was disabled.",
        "Keep the boot that the broker released last, and stop this one.", false},
    RefusalCard{
        kAnchorStale, "anchor-stale",
        "The state is no newer than the one that was anchored before.",
        "Give back the newest file of this VM, or have the tenant allow a restore: kbctl vm "
        "restore.",
        false},
    RefusalCard{
        kStaleState, "stale-state",
        "The VM was started without the broker, and the state that it opened is older than the one "
        "that was anchored; its TPM is off, and its certificates are revoked.",
        "Give back the newest file of this VM, or have the tenant allow a restore: kbctl vm "
        "restore.",
        false},
    RefusalCard{
        kForkedState, "forked-state",
        "The VM was started without the broker, and the state that it opened does not descend from "
        "the one that was anchored; its TPM is off, and its certificates are revoked.",
        "Find the other copy, and have the tenant decide which one lives: kbctl vm restore.",
        false},
    RefusalCard{kTokenForged, "token-forged",
                "It is no attestation token that this broker has signed.",
                "Ask this broker for a token: POST /attest/guest.", true},
    RefusalCard{
        kTokenExpired, "token-expired", "The attestation token does not count now.",
        "Attest again; if it happens each time, compare the clocks of the broker's replicas.",
        true},
    RefusalCard{kTokenOtherAudience, "token-other-audience",
                "The attestation token was made for somebody else to read.",
                "Attest without `aud` in the runtime data, or with this broker's issuer.", true},
    RefusalCard{kTokenUsed, "token-used",
                "The key was released for this attestation token already.",
                "Attest again: a token gets a key once.", true},
    RefusalCard{kStateNotFresh, "state-not-fresh",
                "The broker does not know the VM's state to be its newest, or another boot of the "
                "VM has claimed it since.",
                "Start the VM while it reaches its broker; its launch document needs anchor class "
                "boot.",
                false},
    RefusalCard{kKeyUnknown, "key-unknown",
                "The VM's tenant has no workload key of this name and version.",
                "Ask the tenant, who can list them: kbctl key list.", false},
};

constexpr bool is_in_order() {
  for (std::size_t i = 0; i < kRefusals.size(); ++i) {
    if (static_cast<std::size_t>(kRefusals[i].reason) != i) {
      return false;
    }
  }
  return true;
}

static_assert(is_in_order() && kRefusals.size() == static_cast<std::size_t>(kKeyUnknown) + 1);

}  // namespace

std::span<const RefusalCard> all_refusals() { return kRefusals; }

const RefusalCard& card(RefusalReason reason) {
  return kRefusals.at(static_cast<std::size_t>(reason));
}

std::optional<WordMeaning> word_meaning(std::string_view word) {
  if (const auto* found = std::ranges::find(kRefusals, word, &RefusalCard::word);
      found != kRefusals.end()) {
    return WordMeaning{found->meaning, found->remedy};
  }
  if (const auto reason = evidence::parse_reason(word)) {
    const auto& known = evidence::card(*reason);
    return WordMeaning{known.meaning, known.remedy};
  }
  return std::nullopt;
}

Refusal refusal(RefusalReason reason, const std::string& seen) {
  const auto& known = card(reason);
  std::string detail(known.meaning);
  if (!seen.empty()) {
    detail += " " + seen + ".";
  }
  detail += " " + std::string(known.remedy);
  return {std::string(known.word), detail, known.begin_again};
}

bool refuses(const Failure& failure, RefusalReason reason) {
  const auto* refused = std::get_if<Refusal>(&failure);
  return refused != nullptr && refused->word == card(reason).word;
}

Refusal refusal(const evidence::Verdict& verdict) {
  // Evidence that was not accepted has a reason, unless a check could not be made at all.
  if (!verdict.reason) {
    return refusal(RefusalReason::kEvidenceNotChecked, verdict.detail);
  }
  const auto& known = evidence::card(*verdict.reason);
  std::string detail(known.meaning);
  if (!verdict.detail.empty()) {
    detail += " " + verdict.detail + ".";
  }
  detail += " " + std::string(known.remedy);
  return {std::string(known.code), detail, false};
}

}  // namespace keybroker::broker
