// SPDX-License-Identifier: Apache-2.0
#include "vtpm/sealing/launch.h"

#include <string>

namespace vtpm::sealing {

namespace {

using keybroker::protocol::TeeFamily;

std::string field_name(TeeFamily family) {
  return family == TeeFamily::kSevSnp ? "HOST_DATA" : "MRCONFIGID";
}

}  // namespace

base::Result<VerifiedLaunch> verify_launch(base::ByteView document, tee::Tee& tee) {
  TRY_ASSIGN(report, tee.own_report());
  const auto digest = keybroker::protocol::launch_digest(document, report.family);
  if (digest != report.launch_digest) {
    return base::fail(
        base::ErrorCode::kAuthentication,
        "this is not the launch document that the VM was started with: its digest is " +
            base::to_hex(digest.bytes) + ", " + field_name(report.family) +
            " of this VM's own report is " + base::to_hex(report.launch_digest.bytes) +
            "; give the document that the host launched the VM with, unaltered, or "
            "launch the VM again with this one");
  }
  // From here on the bytes are those that the VM was launched with.
  TRY_ASSIGN(decoded, keybroker::protocol::decode_launch_document(document));
  if (decoded.tee_family != report.family) {
    return base::fail(base::ErrorCode::kDenied, "the launch document is for TEE family " +
                                                    std::string(name(decoded.tee_family)) +
                                                    ", this VM runs on " +
                                                    std::string(name(report.family)) +
                                                    "; launch it with a document for this family");
  }
  return VerifiedLaunch{std::move(decoded), digest};
}

base::Result<VerifiedLaunch> plain_launch(base::ByteView document) {
  TRY_ASSIGN(decoded, keybroker::protocol::decode_launch_document(document));
  if (decoded.tee_family != TeeFamily::kNone) {
    return base::fail(base::ErrorCode::kDenied,
                      "the launch document is for a confidential VM (" +
                          std::string(name(decoded.tee_family)) +
                          "); without a TEE to vouch for it, it must not be used. Start it inside "
                          "such a VM, or make an ordinary VM with TEE family none");
  }
  return VerifiedLaunch{std::move(decoded),
                        keybroker::protocol::launch_digest(document, TeeFamily::kNone)};
}

}  // namespace vtpm::sealing
