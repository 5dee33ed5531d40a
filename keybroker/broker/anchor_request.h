// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "keybroker/broker/cluster_secret.h"
#include "keybroker/broker/refusal.h"
#include "keybroker/protocol/broker.pb.h"
#include "keybroker/store/vm_record.h"

namespace keybroker::broker {

enum class AnchorStep : std::uint8_t { kBoot, kClosed, kRenewal, kCondemned };

// AnchorMessage is M2, M4, a renewal or a condemnation as it came, its parts of sizes that they may
// have.
struct AnchorMessage {
  base::Bytes body_bytes;
  base::Bytes mac;
  store::RequestId request_id{};
  protocol::Uuid vm_id{};
  std::uint64_t epoch = 0;
  protocol::BootId boot_id{};
  AnchorStep step = AnchorStep::kBoot;
  store::StatePoint state;  // but for a renewal
  bool used_restore = false;
  base::Bytes launch_digest{};  // of a boot; empty from an instance that did not say it yet
  std::optional<strongroom::instance::v1::ConfidentialCertification> certification{};
};

// decode_anchor_request() fails with kInvalidArgument, beginning with request-too-large or
// request-malformed.
base::Result<AnchorMessage> decode_anchor_request(base::ByteView bytes);

// judge_mac() refuses with anchor-mac unless the boot key of one of the secrets, for what the
// message names, made its MAC.
Outcome<std::monostate> judge_mac(const AnchorMessage& message, const ClusterSecrets& secrets);

}  // namespace keybroker::broker
