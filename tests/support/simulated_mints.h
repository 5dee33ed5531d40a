// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/time.h"
#include "vmgs/base/secret.h"
#include "vtpm/tee_sim/snp_mint.h"
#include "vtpm/tee_sim/tdx_mint.h"

// Mints of simulated certificates for any room's tests. RSA-4096 keys take seconds, so a test
// process draws them once and shares them among the product lines.
namespace tests::support {

// Noon of 2026-01-01: when the certificates of these mints begin.
keybroker::crypto::Time mint_begin();

// A secret of a simulated machine.
const base::Secret<32>& mint_secret();

const vtpm::tee_sim::SnpMint::Keys& snp_mint_keys();
const vtpm::tee_sim::SnpMint& snp_mint(keybroker::evidence::SnpProduct product);
const vtpm::tee_sim::TdxMint& tdx_mint();

// extension_oids() are the OIDs of a certificate's extensions, in order.
std::vector<std::string> extension_oids(const keybroker::crypto::Certificate& certificate);

}  // namespace tests::support
