// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/tpm_state.h"

namespace tools::vtpm_instance {

using base::ErrorCode;
using keybroker::protocol::Protection;
using keybroker::protocol::Readiness;
using vtpm::provision::Obstacle;
using vtpm::provision::Provisioned;

AttestationReadiness readiness_of_uncertified(const base::Error& error) {
  if (error.code == ErrorCode::kNotFound) {
    return {};
  }
  const bool stays = error.code == ErrorCode::kDenied;
  return {stays ? Readiness::kAkCertRefused : Readiness::kAkCertMissing, error.message};
}

AttestationReadiness readiness_of(const base::Result<Provisioned>& provisioned) {
  if (!provisioned) {
    return {Readiness::kReportMissing, provisioned.error().message};
  }
  switch (provisioned->obstacle) {
    case Obstacle::kNone:
      if (provisioned->uncertified && !provisioned->renew_at) {
        return readiness_of_uncertified(*provisioned->uncertified);
      }
      break;
    case Obstacle::kAkMissing:
      return {Readiness::kAkMissing, provisioned->reason};
    case Obstacle::kAkSquatted:
      return {Readiness::kAkSquatted, provisioned->reason};
    case Obstacle::kUnproven:
    case Obstacle::kIndexSquatted:
      return {Readiness::kReportMissing, provisioned->reason};
  }
  return {};
}

Readiness readiness_of(const base::Error& error, const LaunchChoice& choice) {
  const bool hardware = choice.protection == Protection::kHardware;
  switch (error.code) {
    case ErrorCode::kNotFound:
      return Readiness::kStateMissing;
    case ErrorCode::kCorrupt:
      return Readiness::kStateDamaged;
    case ErrorCode::kAuthentication:
      if (choice.protection == Protection::kBroker) {
        return Readiness::kStateForeign;  // the VM's key does not open it
      }
      return hardware ? Readiness::kSealedElsewhere : Readiness::kKeyMissing;
    case ErrorCode::kDenied:
      return hardware ? Readiness::kSealedElsewhere : Readiness::kStateForeign;
    case ErrorCode::kUnavailable:
      return Readiness::kStoreBusy;
    case ErrorCode::kIo:
      return Readiness::kStoreFailing;
    case ErrorCode::kInvalidArgument:
      break;
  }
  return Readiness::kNotSetUp;
}

}  // namespace tools::vtpm_instance
