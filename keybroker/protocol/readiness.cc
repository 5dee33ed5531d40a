// SPDX-License-Identifier: Apache-2.0
#include "keybroker/protocol/readiness.h"

#include <array>
#include <string>

namespace keybroker::protocol {

namespace {

// In the order of the enumeration; a test holds the two together.
constexpr std::array kRows = {
    ReadinessRow{Readiness::kReady, "ready", Prospect::kReady,
                 "The state is open and verified, and the TPM answers.", "Nothing to do."},
    ReadinessRow{Readiness::kProvisioning, "provisioning", Prospect::kPasses,
                 "The instance is starting: it opens or makes the state.",
                 "Wait for it: vtpmctl ready --wait."},
    ReadinessRow{Readiness::kStopped, "stopped", Prospect::kPasses,
                 "No instance runs, and the state is at rest.",
                 "It starts when the hypervisor connects; vtpmctl start does it now."},
    ReadinessRow{Readiness::kStopping, "stopping", Prospect::kPasses,
                 "The instance is writing its last state and ends.", "Wait for it."},
    ReadinessRow{
        Readiness::kDetached, "detached", Prospect::kPasses,
        "An instance from before vtpmd was started anew serves a running guest, out of its "
        "reach.",
        "Leave the guest running as long as you like; when its hypervisor ends, the next "
        "connection gets a new instance."},
    ReadinessRow{
        Readiness::kLockedOut, "locked-out", Prospect::kNeedsHelp,
        "The TPM refuses authorisations after too many wrong ones (dictionary attack "
        "lockout).",
        "Wait for the TPM's recovery time with the guest running, or clear it in the guest "
        "with the lockout authorisation: tpm2_dictionarylockout --clear-lockout."},
    ReadinessRow{Readiness::kFailureMode, "failure-mode", Prospect::kNeedsHelp,
                 "The TPM failed its self test or could not make a change durable, and answers "
                 "nothing else.",
                 "Restart the VM. If it comes back, look for storage errors in the log of vtpmd."},
    ReadinessRow{
        Readiness::kCrashed, "crashed", Prospect::kNeedsHelp,
        "The instance died. What it had acknowledged is safe in the store; what was in its "
        "memory, PCRs among it, is gone.",
        "Restart the VM: the hypervisor's next connection gets a TPM that was reset. A running "
        "guest keeps a TPM that fails."},
    ReadinessRow{Readiness::kStateMissing, "state-missing", Prospect::kNeedsHelp,
                 "This VM had a TPM, and its state is not there.",
                 "Bring the file back, from a backup if need be. To give up the TPM and every "
                 "secret sealed to it, delete the VM and create it again."},
    ReadinessRow{Readiness::kStateDamaged, "state-damaged", Prospect::kNeedsHelp,
                 "The store or the TPM state in it does not decode or does not authenticate.",
                 "Keep the file as it is, run vmgs check on it, and bring back a backup."},
    ReadinessRow{Readiness::kStateForeign, "state-foreign", Prospect::kNeedsHelp,
                 "The store is not one of this VM: it belongs to another VM, is kept under another "
                 "protection, was swapped, or another program wrote it.",
                 "The message says which, and nothing was changed. Give the VM its own store; what "
                 "another program wrote, convert or leave to that program."},
    ReadinessRow{Readiness::kMovedAway, "moved-away", Prospect::kNeedsHelp,
                 "The TPM was offered to another host, as its VM migrates there, and nothing is "
                 "stored here any more.",
                 "Where it has arrived, delete the VM here. Where it has not, vtpmctl migrate "
                 "cancel there gives it back, and vtpmctl migrate cancel --release takes it back "
                 "here."},
    ReadinessRow{Readiness::kStaleState, "stale-state", Prospect::kNeedsHelp,
                 "The state is older than the one the witness has seen.",
                 "Bring back the newest copy, or authorise the restore at the broker."},
    ReadinessRow{
        Readiness::kForkedState, "forked-state", Prospect::kNeedsHelp,
        "The state does not descend from the one the witness has seen: two copies were "
        "written.",
        "Find the other copy and decide which one lives, then authorise it at the broker."},
    ReadinessRow{Readiness::kBrokerRefused, "broker-refused", Prospect::kNeedsHelp,
                 "The key broker was asked for this VM's key, or to note its state, and said no.",
                 "The message has the broker's reason. Change what it names, at the broker or at "
                 "this VM, then connect again."},
    ReadinessRow{Readiness::kBrokerAway, "broker-away", Prospect::kPasses,
                 "No answer of the key broker came that this VM believes, and it may not start "
                 "without one.",
                 "Nothing to do at the VM: the next connection asks again. See that vtpmd reaches "
                 "the broker, and that the broker's root is one of the VM's launch document."},
    ReadinessRow{
        Readiness::kSealedElsewhere, "sealed-elsewhere", Prospect::kNeedsHelp,
        "No key that this machine derives opens the store: it was sealed by other "
        "hardware, another image, another launch document or a newer firmware.",
        "The message names what differs. Start the VM where it was sealed, or restore that "
        "image, document or firmware."},
    ReadinessRow{Readiness::kKeyMissing, "key-missing", Prospect::kNeedsHelp,
                 "The host's key for this store is not there or does not open it.",
                 "Bring back the key file that belongs to this store."},
    ReadinessRow{Readiness::kStoreBusy, "store-busy", Prospect::kNeedsHelp,
                 "Another process has the store open.",
                 "End it (the message or lslocks names it), then connect again."},
    ReadinessRow{Readiness::kStoreFailing, "store-failing", Prospect::kNeedsHelp,
                 "The operating system refused to read or write the store: disk full, read-only or "
                 "failing.",
                 "Make room or repair the storage, then restart the VM."},
    ReadinessRow{Readiness::kAkCertMissing, "ak-cert-missing", Prospect::kPasses,
                 "The TPM works, but its attestation key has no certificate yet.",
                 "Wait for the authority, which is asked again, or attest by other means."},
    ReadinessRow{Readiness::kAkCertRefused, "ak-cert-refused", Prospect::kNeedsHelp,
                 "The TPM works, but its attestation key has no certificate and will get none.",
                 "The reason says what the authority did not like: see [authority] in vtpmd.toml. "
                 "Then stop and start the VM. Or attest by other means."},
    ReadinessRow{Readiness::kAkMissing, "ak-missing", Prospect::kNeedsHelp,
                 "The TPM works, but its attestation key is gone, and the guest's authorizations "
                 "keep us from making it again.",
                 "In the guest empty the owner and endorsement authorizations (tpm2_changeauth) or "
                 "clear the TPM, then stop and start the VM."},
    ReadinessRow{Readiness::kAkSquatted, "ak-squatted", Prospect::kNeedsHelp,
                 "The TPM works, but the guest has put another key in the place of its attestation "
                 "key.",
                 "In the guest empty the owner and endorsement authorizations (tpm2_changeauth) or "
                 "clear the TPM, then stop and start the VM."},
    ReadinessRow{Readiness::kReportMissing, "report-missing", Prospect::kNeedsHelp,
                 "The TPM works, but it gives no attestation report in this life.",
                 "The message says why. Shut the guest down in order, then stop and start the VM."},
    ReadinessRow{Readiness::kNotSetUp, "not-set-up", Prospect::kNeedsHelp,
                 "The instance cannot do what the VM's settings ask for on this machine.",
                 "The message says what is missing."},
};

}  // namespace

const ReadinessRow& row(Readiness readiness) {
  return kRows.at(static_cast<std::size_t>(readiness));
}

std::span<const ReadinessRow> readiness_rows() { return kRows; }

base::Result<Readiness> parse_readiness(std::string_view word) {
  for (const auto& candidate : kRows) {
    if (candidate.name == word) {
      return candidate.readiness;
    }
  }
  return base::fail(base::ErrorCode::kInvalidArgument,
                    "'" + std::string(word) + "' is no readiness");
}

}  // namespace keybroker::protocol
