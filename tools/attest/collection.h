// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "keybroker/evidence/verify.h"
#include "tools/attest/guest_tpm.h"
#include "vmgs/base/result.h"

namespace tools::attest {

// What is collected beside the report, its claims and the AK.
struct Collection {
  base::Bytes nonce;  // of the quotes
  std::uint32_t ak_handle = kRsaAkHandle;
  std::vector<std::string> banks{"sha256"};
  std::vector<unsigned> pcrs;    // empty: all
  std::string event_log;         // a file; empty: where the kernel has it, "none": none
  std::string cc_event_log;      // the same, of a TD
  std::string snp_certificates;  // PEM or a certificate table; empty: none
  std::string td_quote;          // a file; empty: none
};

// collect_evidence() takes out of a guest's TPM, and from files beside it, all that a verifier may
// want. `talk` is told, in sentences, what is missing and need not be there. Errors as GuestTpm's
// and those of reading files; kInvalidArgument for a bank that there is not.
base::Result<keybroker::evidence::Evidence> collect_evidence(
    GuestTpm& tpm, const Collection& wanted, const std::function<void(const std::string&)>& talk);

}  // namespace tools::attest
