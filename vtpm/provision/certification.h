// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <stop_token>

#include "vmgs/base/result.h"
#include "vtpm/provision/certificates.h"
#include "vtpm/provision/certifier.h"
#include "vtpm/provision/report.h"
#include "vtpm/tee/tee.h"

namespace vtpm::provision {

// Vouching is what it takes to have an AK certified. `tee` is null for an ordinary VM.
struct Vouching {
  Certifier& certifier;
  const Statement& statement;
  tee::Tee* tee;
};

// What of it is wanted, beside the AK's certificate.
struct WantedCertificates {
  bool new_seeds = false;  // nobody has certified an EK of these seeds yet
  bool rsa_ek = false;
  bool ecc_ek = false;
};

// ask_for_certificates() has the AK of `keys` certified, on the word of the TEE or by `answer`, and
// looks at what comes back (expect_fitting()). It waits, and takes no command of the TPM but those
// of `answer`. Errors of the TEE, of Certifier and of `answer`.
base::Result<Certificates> ask_for_certificates(const Vouching& vouching, const ClaimedKeys& keys,
                                                const WantedCertificates& wanted,
                                                const AnswerChallenge& answer,
                                                const std::stop_token& stop);

}  // namespace vtpm::provision
