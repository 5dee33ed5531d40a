// SPDX-License-Identifier: Apache-2.0
#include "vtpm/sealing/refusal.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>

namespace vtpm::sealing {

namespace {

using vmgs::format::SealedKey;

std::string hex_number(std::uint64_t value) {
  std::array<char, 19> text{};
  std::snprintf(text.data(), text.size(), "0x%llx", static_cast<unsigned long long>(value));
  return text.data();
}

// The bytes that count: HOST_DATA is 32 of the 48.
std::string launch_digest_of(const SealedKey& entry) {
  const auto bytes = std::span(entry.launch_digest);
  return base::to_hex(is_snp(entry.tee_type) ? bytes.first(32) : bytes);
}

std::string svn_of(const SealedKey& entry, const tee::OwnReport& report) {
  const bool tdx = !is_snp(entry.tee_type);
  if (tdx) {
    return describe(entry.svn, tee::SvnLayout::kTdx);
  }
  // Which generation of chip wrote a TCB version is not recorded: this machine's form is the guess.
  return describe(entry.svn, report.svn_layout == tee::SvnLayout::kTdx ? tee::SvnLayout::kSnp
                                                                       : report.svn_layout);
}

// A difference between an entry and this VM on this machine, and what would mend it.
struct Difference {
  std::string what;
  std::string remedy;
};

Difference other_tee(const SealedKey& stored, const SealedKey& here) {
  const std::string was(name(stored.tee_type));
  const std::string is(name(here.tee_type));
  std::string remedy = "start the VM on the " + was + " machine that sealed it";
  if (is_simulated(stored.tee_type) != is_simulated(here.tee_type)) {
    remedy = is_simulated(stored.tee_type)
                 ? "only vtpm-instance-sim, on the machine folder that sealed it, opens it; a real "
                   "TEE never does"
                 : "only the real TEE that sealed it opens it; a simulator never does";
  }
  return {"TEE: stored " + was + ", here " + is, remedy};
}

std::vector<Difference> differences(const SealedKey& stored, const SealedKey& here) {
  std::vector<Difference> found;
  if (stored.tee_type != here.tee_type) {
    found.push_back(other_tee(stored, here));
  }
  if (stored.vm_id != here.vm_id) {
    found.push_back({"VM id: stored " + to_string(stored.vm_id) + ", here " + to_string(here.vm_id),
                     "this is the store of another VM: start that one with it, and this VM with "
                     "its own store"});
  }
  if (stored.measurement != here.measurement) {
    found.push_back(
        {"launch measurement: stored " + base::to_hex(stored.measurement) + ", here " +
             base::to_hex(here.measurement),
         "start the VM with the image (firmware, kernel, options) it was sealed under"});
  }
  if (stored.launch_digest != here.launch_digest) {
    found.push_back(
        {"launch digest: stored " + launch_digest_of(stored) + ", here " + launch_digest_of(here),
         "start the VM with the launch document it was sealed under"});
  }
  return found;
}

std::string describe_differences(const SealedKey& stored, const SealedKey& here) {
  std::string differ;
  std::string remedies;
  for (const auto& difference : differences(stored, here)) {
    differ += (differ.empty() ? "" : "; ") + difference.what;
    remedies += (remedies.empty() ? "" : "; ") + difference.remedy;
  }
  return "These differ: " + differ + ". To open it: " + remedies + ".";
}

std::string describe_older_tcb(const SealedKey& stored, const tee::OwnReport& report) {
  return "This machine's TCB is older: stored " + svn_of(stored, report) + ", here " +
         describe(report.committed_svn, report.svn_layout) +
         ". To open it: bring this machine's firmware to at least the stored TCB, or start the VM "
         "on the machine that sealed it.";
}

std::string describe_unverified(const tee::OwnReport& report) {
  const bool snp = report.family == tee::TeeFamily::kSevSnp;
  return "All that it records fits this VM, and yet it does not verify: the file was altered, or "
         "what is bound but not recorded differs: the chip, or the " +
         std::string(snp ? "guest policy" : "debug attribute or MROWNERCONFIG") + " (here " +
         (snp ? "policy " : "attributes ") + hex_number(report.policy) +
         (report.debug ? ", debugging allowed" : ", debugging not allowed") +
         "). To open it: start the VM on the machine that sealed it, with the " +
         (snp ? "policy" : "attributes") + " of then; else restore an unaltered copy of the store.";
}

std::string describe(const SealedKey& stored, Refusal refusal, const tee::OwnReport& report,
                     const SealedKey& here) {
  switch (refusal) {
    case Refusal::kNone:
      break;
    case Refusal::kOtherContext:
      return describe_differences(stored, here);
    case Refusal::kOlderTcb:
      return describe_older_tcb(stored, report);
    case Refusal::kDoesNotVerify:
      return describe_unverified(report);
  }
  return "It opens.";
}

}  // namespace

base::Error explain(const std::vector<SealedKey>& entries, const std::vector<Refusal>& refusals,
                    const tee::OwnReport& report, const SealedKey& here) {
  std::string message = "the root key in SEALED_KEYS does not open for this VM on this machine.";
  for (std::size_t i = 0; i < refusals.size(); ++i) {
    message += " Entry " + std::to_string(i + 1) + " of " + std::to_string(entries.size()) +
               ", sealed by " + std::string(name(entries[i].tee_type)) + " for VM " +
               to_string(entries[i].vm_id) + " at TCB " + svn_of(entries[i], report) +
               ", bound to " +
               (is_snp(entries[i].tee_type) ? "guest policy, measurement and TCB"
                                            : "MRTD, MRCONFIGID, MROWNERCONFIG, DEBUG and SVN") +
               ": " + describe(entries[i], refusals[i], report, here);
  }
  const bool unverified = std::ranges::count(refusals, Refusal::kDoesNotVerify) != 0;
  return {unverified ? base::ErrorCode::kAuthentication : base::ErrorCode::kDenied, message};
}

}  // namespace vtpm::sealing
