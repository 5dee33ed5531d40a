// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keybroker/evidence/snp_report.h"
#include "keybroker/evidence/td_report.h"
#include "vmgs/base/result.h"
#include "vtpm/tee/snp_abi.h"
#include "vtpm/tee/tdx_abi.h"
#include "vtpm/tee/tee.h"

// What the two TEEs and their simulators have in common: how a binding is put to the firmware, and
// how a report of the firmware reads.
namespace vtpm::tee {

// snp_key_request() is MSG_KEY_REQ for `binding`: key of the VCEK, VMPL 0, the SVN as TCB version.
SnpKeyRequestLayout snp_key_request(const KeyBinding& binding);

// tdx_key_request() is TDKEYREQUEST for `binding`: a seal key of 256 bits. kDenied for OpenHCL's
// "signer": TDX has no register for it, so any TD of the machine could derive that key.
base::Result<TdxKeyRequestLayout> tdx_key_request(const KeyBinding& binding);

// own_report_of() reads a report that this process fetched itself.
OwnReport own_report_of(const keybroker::evidence::SnpReport& report);
OwnReport own_report_of(const keybroker::evidence::TdReport& report);

}  // namespace vtpm::tee
