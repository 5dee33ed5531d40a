// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "keybroker/crypto/sgx_extension.h"
#include "keybroker/crypto/time.h"
#include "keybroker/evidence/td_report.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vtpm/tee_sim/folder.h"
#include "vtpm/tee_sim/machine.h"
#include "vtpm/tee_sim/tdx_mint.h"

namespace vtpm::tee_sim {

// sgx_platform_of() is what the PCK certificate of a simulated machine says about it.
keybroker::crypto::SgxExtension sgx_platform_of(const TdxMachine& machine);

// report_mac() is the MAC that this machine's CPU puts into a TDREPORT: over the 224 bytes in front
// of it, which hold the hashes of all the others, by a key that no other machine has.
base::Result<std::array<std::byte, 32>> report_mac(
    const base::Secret<32>& machine_secret, const keybroker::evidence::TdReportLayout& report);

// QuotingService is the quoting enclave of one machine, as its host reaches it: it turns TDREPORTs
// of TDs on this machine into quotes.
class QuotingService {
 public:
  // open() makes the vendor's keys if there are none yet (vendor.h), valid from `now` on.
  static base::Result<QuotingService> open(const MachineFolder& folder, const TdxMachine& machine,
                                           keybroker::crypto::Time now);

  // quote() signs a quote with the content of a TDREPORT (1024 bytes). kCorrupt for bytes that are
  // none, kAuthentication for one that was not made on this machine.
  [[nodiscard]] base::Result<base::Bytes> quote(base::ByteView td_report) const;

 private:
  QuotingService(const TdxMachine& machine, base::Secret<32> secret, QuotingEnclave enclave)
      : machine_(machine), secret_(std::move(secret)), enclave_(std::move(enclave)) {}

  TdxMachine machine_;
  base::Secret<32> secret_;
  QuotingEnclave enclave_;
};

}  // namespace vtpm::tee_sim
