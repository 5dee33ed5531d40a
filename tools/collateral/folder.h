// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "keybroker/evidence/verify.h"
#include "vmgs/base/result.h"

namespace tools::collateral {

// The cache of what vendors publish. `attest collateral` fills it, `attest verify` and vtpmd read
// it, and what lies in it is believed for its signatures alone:
//
//   amd/LINE.pem, amd/LINE-vlek.pem          ASK or ASVK, and ARK
//   amd/LINE.crl, amd/LINE-vlek.crl          DER
//   amd/vcek-CHIP-TCB.der                    of one machine at one TCB
//   intel/tcb-info-FMSPC.json, intel/qe-identity.json, intel/NAME-signers.pem
//   intel/root.crl, intel/pck-platform.crl, intel/pck-processor.crl
//
// Every *.pem, *.crl and *.json of the two folders is read, whatever its name.

// default_collateral_folder() is strongroom/collateral in $XDG_CACHE_HOME or ~/.cache; empty if
// neither is known.
std::filesystem::path default_collateral_folder();

// read_collateral() reads a folder. One that does not exist holds nothing. kCorrupt names a file
// that cannot be read as what its name says.
base::Result<keybroker::evidence::Collateral> read_collateral(const std::filesystem::path& folder);

// vcek_file() is where the VCEK for a report lies in the folder. add_kept_vcek() adds it to
// evidence whose report came without any certificate, if it is there.
std::string vcek_file(const keybroker::evidence::SnpReport& report);
base::Result<void> add_kept_vcek(const std::filesystem::path& folder,
                                 keybroker::evidence::Evidence& evidence);

}  // namespace tools::collateral
