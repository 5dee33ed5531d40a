// SPDX-License-Identifier: Apache-2.0
#include "keybroker/protocol/guest_attestation.h"

#include <string>

#include "vmgs/crypto/digest.h"

namespace keybroker::protocol {

namespace {

constexpr std::string_view kCommitmentLabel{"strongroom.guest/1\0", 19};
constexpr std::string_view kWorkloadLabel{"strongroom.workload-key/1\0", 26};

}  // namespace

Sha256Digest guest_commitment(base::ByteView challenge, base::ByteView runtime_data) {
  return vmgs::crypto::sha256({base::bytes_of(kCommitmentLabel), challenge, runtime_data});
}

base::Bytes workload_info(std::string_view kid) {
  const auto info = std::string(kWorkloadLabel) + std::string(kid);
  return base::copy_of(base::bytes_of(info));
}

}  // namespace keybroker::protocol
