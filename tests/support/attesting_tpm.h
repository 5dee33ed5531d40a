// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <set>

#include "keybroker/evidence/event_log.h"
#include "keybroker/evidence/quote_verification.h"
#include "vtpm/engine/engine.h"
#include "vtpm/engine/memory_nv_store.h"

namespace tests::support {

// A key inside the TPM.
struct TpmKey {
  std::uint32_t handle = 0;
  base::Bytes public_area;  // TPMT_PUBLIC
};

// AttestingTpm is a real TPM (libtpms) with new seeds that signs whatever a test needs signed. As
// with Engine there is one to a process at a time. Whatever the TPM refuses ends the process.
class AttestingTpm {
 public:
  AttestingTpm();

  // Attestation keys by the templates that our vTPM uses, in the endorsement hierarchy.
  const TpmKey& rsa_ak();
  const TpmKey& ecc_ak();

  // unrestricted_key() signs anything, and its owner may make it say that a TPM made it.
  const TpmKey& unrestricted_key();

  // measure() extends the PCRs as a firmware that wrote this log would have: events of their banks
  // in order, EV_NO_ACTION left out. reset() starts the TPM anew, with PCRs as after power on.
  void measure(const keybroker::evidence::EventLog& log);
  void reset();

  // quote() is a TPMS_ATTEST over PCRs of one bank, and their values.
  keybroker::evidence::QuoteEvidence quote(const TpmKey& key, base::ByteView nonce,
                                           keybroker::crypto::Hash bank,
                                           const std::set<std::uint8_t>& pcrs);

  // certify_time() is an attestation of another type: TPM2_GetTime, signed by the same key.
  keybroker::evidence::QuoteEvidence certify_time(const TpmKey& key, base::ByteView nonce);

  // sign() is TPM2_Sign over SHA-256 of any bytes: TPMT_SIGNATURE. Restricted keys refuse it.
  base::Bytes sign(const TpmKey& key, base::ByteView message);

  [[nodiscard]] base::Bytes pcr(keybroker::crypto::Hash bank, std::uint8_t index);

 private:
  base::Bytes run(std::uint32_t code, base::ByteView handles, bool authorized,
                  base::ByteView parameters);
  TpmKey create(base::ByteView public_area);

  vtpm::engine::MemoryNvStore store_;
  std::unique_ptr<vtpm::engine::Engine> engine_;
  TpmKey rsa_ak_;
  TpmKey ecc_ak_;
  TpmKey unrestricted_;
};

}  // namespace tests::support
