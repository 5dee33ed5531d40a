// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <variant>

#include "keybroker/client/answer.h"
#include "keybroker/client/channel.h"
#include "keybroker/crypto/key_transfer.h"
#include "keybroker/protocol/release_claims.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace keybroker::client {

// VmKey wraps the root keys of one VM's store; BootKey authenticates what one boot tells the
// broker.
struct VmKey {
  base::Secret<32> bytes;
};

struct BootKey {
  base::Secret<32> bytes;
};

// Boot is who asks: this start of this VM.
struct Boot {
  Belief belief;  // the VM, and whom it believes
  protocol::BootId boot_id{};
  base::Bytes launch_digest;  // 32 bytes for SEV-SNP, 48 for TDX
  protocol::TransferAlgorithm transfer_algorithm = protocol::TransferAlgorithm::kEcdhP384;
};

// Released is what the broker gives to a boot that has proved itself. From then on that boot is the
// owner of the VM, until another one claims it.
struct Released {
  std::uint64_t epoch = 0;
  std::optional<AnchorPoint> anchor;           // what the opened state must descend from
  std::optional<AnchorPoint> allowed_restore;  // a state that may come back, once
  std::uint64_t restores = 0;
  std::uint32_t key_version = 0;
  VmKey vm_key;
  BootKey boot_key;
};

// What a TEE gives to be shown, as it gave it.
struct ShownEvidence {
  base::Bytes report;
  base::Bytes certificate_table;
};

// Release is one attempt at having the VM's key released: begin(), a report of the TEE over
// report_data(), request(). The private half of its transfer key lives and dies with it.
class Release {
 public:
  // begin() fetches a challenge and makes the claims. kUnavailable where no challenge came that
  // could be one.
  static base::Result<Release> begin(Channel& channel, const Boot& boot,
                                     const std::stop_token& stop);

  // report_data() is what the TEE's report has to carry.
  [[nodiscard]] std::array<std::byte, 64> report_data() const {
    return protocol::release_report_data(claims_);
  }

  // request() sends the claims with the evidence for them, and the newest receipt that is kept for
  // this VM or nothing, and gives what the broker has answered to that. kUnavailable if no answer
  // came, or one that is not believed.
  base::Result<std::variant<Released, Refusal>> request(Channel& channel,
                                                        const ShownEvidence& evidence,
                                                        base::ByteView receipt,
                                                        const std::stop_token& stop) const;

  // open() judges `answer` as one to `request`, the bytes of a ReleaseRequest with these claims.
  [[nodiscard]] base::Result<std::variant<Released, Refusal>> open(base::ByteView answer,
                                                                   base::ByteView request) const;

 private:
  Release(Belief belief, base::Bytes claims, crypto::TransferKey key)
      : belief_(std::move(belief)), claims_(std::move(claims)), key_(std::move(key)) {}

  Belief belief_;
  base::Bytes claims_;
  crypto::TransferKey key_;
};

using MakeEvidence =
    std::function<base::Result<ShownEvidence>(const std::array<std::byte, 64>& report_data)>;

// How often a broker may ask to begin again, as its challenge has grown old.
inline constexpr int kMostReleaseAttempts = 3;

// ask_for_release() is all of it, begun again for as long as `patience` lasts where it is asked to
// wait. kDenied for a signed refusal, with the broker's reason; kUnavailable where the broker is
// away, or its challenges grow too old each time; errors of `make_evidence`.
base::Result<Released> ask_for_release(Channel& channel, const Boot& boot,
                                       const MakeEvidence& make_evidence, base::ByteView receipt,
                                       Patience patience, const std::stop_token& stop);

}  // namespace keybroker::client
