// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "keybroker/evidence/verify.h"
#include "tests/support/attesting_tpm.h"
#include "tests/support/simulated_mints.h"

namespace tests::support {

// firmware_log() is what a firmware with Secure Boot logs, in the banks SHA-256 and SHA-384: its
// version, the variables that PCR 7 holds, separators, a boot loader and who vouched for it.
keybroker::evidence::EventLog firmware_log(bool secure_boot = true);

// log_event() is an event whose digests are those of its data, numbered later by renumber().
keybroker::evidence::LogEvent log_event(std::uint32_t index, keybroker::evidence::EventType type,
                                        base::ByteView data);
void renumber(keybroker::evidence::EventLog& log);

// variable_event() measures a UEFI variable.
keybroker::evidence::LogEvent variable_event(keybroker::evidence::EventType type,
                                             const std::string& name, base::ByteView content);

// SimulatedGuest is a VM with a TPM inside simulated SEV-SNP hardware, as a verifier meets it.
// Everything a test changes is changed before evidence() signs it; what it changes in the evidence
// is what somebody on the way could change.
struct SimulatedGuest {
  // `its_tpm` must have measured `its_log`, and must outlive the guest.
  SimulatedGuest(AttestingTpm& its_tpm, keybroker::evidence::EventLog its_log);

  AttestingTpm* tpm;
  keybroker::evidence::EventLog log;
  base::Bytes nonce = base::copy_of(base::bytes_of("a nonce of this test"));
  keybroker::evidence::SnpProduct product = keybroker::evidence::SnpProduct::kGenoa;
  keybroker::evidence::SnpReportLayout report{};
  keybroker::protocol::RuntimeClaims runtime;
  keybroker::protocol::ExtendedClaims extended;

  // With this text in place of the claims that `runtime` gives, if it is not empty.
  std::string claims_text;

  // evidence() makes claims, binds them in the report, signs that and quotes PCR 0 to 7.
  [[nodiscard]] keybroker::evidence::Evidence evidence() const;

  // signed_report() is the report with its signature, without changing its report data.
  [[nodiscard]] base::Bytes signed_report() const;

  // policy() is what the owner of exactly this VM would ask for.
  [[nodiscard]] keybroker::evidence::Policy policy() const;

  [[nodiscard]] keybroker::evidence::Collateral collateral() const;

  // store() trusts the simulator that made the hardware.
  [[nodiscard]] keybroker::evidence::TrustStore store() const;

  // judge() is verify() of this evidence with all of the above, at mint_begin().
  [[nodiscard]] keybroker::evidence::Verdict judge(
      const keybroker::evidence::Evidence& evidence) const;
};

// process_tpm() is the one TPM of this process, which all its tests share.
AttestingTpm& process_tpm();

// booted() is a guest of that TPM whose firmware measured this log. The TPM starts anew for it if
// the guest before measured another.
SimulatedGuest booted(keybroker::evidence::EventLog log = firmware_log());

// reason() is the code of the reason of a verdict, or "accepted".
std::string reason(const keybroker::evidence::Verdict& verdict);

// failures() lists the checks that did not pass, for people.
std::string failures(const keybroker::evidence::Verdict& verdict);

}  // namespace tests::support
