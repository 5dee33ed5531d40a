// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "keybroker/protocol/launch_document.h"
#include "tools/skr-sidecar/broker_link.h"
#include "vmgs/base/result.h"

namespace tools::skr_sidecar {

// Where this guest's evidence is.
struct GuestOptions {
  std::string tcti;              // as the TSS spells it; empty: the TSS looks for one
  std::string owner_auth;        // a file with the TPM owner's password; empty: none
  std::string snp_certificates;  // VCEK and above, PEM or table; empty: the broker has them
  std::string event_log;         // as attest collect takes it
};

// Guest collects evidence out of this machine's TPM and has brokers believe it. Whatever it gives
// comes from the TPM: there is no stand-in for a report. It blocks for as long as a TPM and a
// broker take; one thread at a time.
//
// Errors: kUnavailable if the TPM, the broker or what it needs is away; kNotFound if the TPM has no
// report or no AK; kDenied with the broker's refusal.
class Guest {
 public:
  explicit Guest(GuestOptions options) : options_(std::move(options)) {}

  // is_ready() tells whether the TPM has a report of a confidential VM.
  base::Result<void> is_ready();

  // RawReport is a hardware report, and what leads from it to the runtime data: SHA-256 of `claims`
  // is in its report data, and their member `user-data` begins with SHA-256 of the runtime data.
  struct RawReport {
    base::Bytes report;  // SNP report or TDREPORT
    std::string claims;
  };

  base::Result<RawReport> raw_report(base::ByteView runtime_data);

  // token() is an attestation token of the broker for runtime data that it takes (TOKENS.md).
  base::Result<std::string> token(const BrokerLink& broker, base::ByteView runtime_data);

  // key() is a workload key, as a JWK with its private half: attested for by a transfer key that is
  // drawn for it alone.
  base::Result<boost::json::object> key(const BrokerLink& attester, const BrokerLink& broker,
                                        const std::string& name);

 private:
  base::Result<keybroker::protocol::Uuid> vm_id();

  GuestOptions options_;
};

}  // namespace tools::skr_sidecar
