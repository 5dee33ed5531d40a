// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tools/swtpm/setup_options.h"
#include "vmgs/base/result.h"

namespace tools::swtpm {

// set_up() does what swtpm_setup does: makes a TPM with the keys, certificates and PCR banks that
// the options ask for, or changes the PCR banks of one. The TPM's state is stored once, when all of
// that has been done, so a failure leaves what was there. kDenied where there is a TPM and the
// options do not say what to do with it; errors of the TPM, of its store and of CertificatesTool.
base::Result<void> set_up(const SetupOptions& options);

// create_config_files() writes the user's configuration of swtpm_setup and swtpm_localca, as
// `choices` ("overwrite", "root", "skip-if-exist", with commas between) say. kDenied where there is
// one and they do not, and for root without its word; kIo.
base::Result<void> create_config_files(const std::string& choices);

}  // namespace tools::swtpm
