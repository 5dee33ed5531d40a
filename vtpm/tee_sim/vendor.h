// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/crl.h"
#include "keybroker/crypto/time.h"
#include "vmgs/base/result.h"
#include "vtpm/tee_sim/folder.h"
#include "vtpm/tee_sim/machine.h"
#include "vtpm/tee_sim/snp_mint.h"
#include "vtpm/tee_sim/tdx_mint.h"

namespace vtpm::tee_sim {

// A simulated machine has its vendor beside it: the folder keeps the keys that AMD's or Intel's
// certificates would be signed with. They are made when first needed, valid from `now` on, and for
// SNP that takes seconds.
base::Result<SnpMint> snp_mint_of(const MachineFolder& folder, SnpProduct product,
                                  keybroker::crypto::Time now);
base::Result<TdxMint> tdx_mint_of(const MachineFolder& folder, keybroker::crypto::Time now);

// What AMD's Key Distribution Service hands out about a machine.
struct SnpPublication {
  keybroker::crypto::Certificate ark;
  keybroker::crypto::Certificate ask;
  keybroker::crypto::Certificate vcek;  // of this chip, at the TCB that its reports are for
  keybroker::crypto::Crl crl;           // a year from `now`, empty
};

// What Intel's Provisioning Certification Service does: nothing is revoked, and the machine is up
// to date for 30 days from `now`.
struct TdxPublication {
  keybroker::crypto::Certificate root;
  keybroker::crypto::Certificate tcb_signer;
  std::string tcb_info;  // signed JSON
  std::string qe_identity;
  keybroker::crypto::Crl root_crl;
  keybroker::crypto::Crl platform_crl;
  keybroker::crypto::Crl processor_crl;
};

// publish() makes it.
base::Result<SnpPublication> publish(const MachineFolder& folder, const SnpMachine& machine,
                                     keybroker::crypto::Time now);
base::Result<TdxPublication> publish(const MachineFolder& folder, const TdxMachine& machine,
                                     keybroker::crypto::Time now);

}  // namespace vtpm::tee_sim
