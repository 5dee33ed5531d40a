// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keybroker/protocol/launch_document.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vtpm/tee/tee.h"

namespace vtpm::sealing {

// VerifiedLaunch is a launch document that the TEE's own report vouches for.
struct VerifiedLaunch {
  keybroker::protocol::LaunchDocument document;
  keybroker::protocol::LaunchDigest digest;
};

// verify_launch() asks `tee` for its own report and compares HOST_DATA or MRCONFIGID with the
// digest of `document` before it uses any field of it. kAuthentication if they differ, with both
// digests; kDenied if the document is for another TEE family; kCorrupt if the digest is right but
// the document is not canonical.
base::Result<VerifiedLaunch> verify_launch(base::ByteView document, tee::Tee& tee);

// plain_launch() decodes the document of an ordinary VM, which no report vouches for. kDenied if it
// is the document of a confidential VM: that one must run where a TEE can vouch for it.
base::Result<VerifiedLaunch> plain_launch(base::ByteView document);

}  // namespace vtpm::sealing
