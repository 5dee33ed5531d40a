// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/anchor_request.h"

#include <algorithm>

#include "keybroker/broker/anchor.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::broker {

namespace {

namespace pb = strongroom::broker::v1;

constexpr std::size_t kMacBytes = 32;
constexpr std::size_t kMaxLaunchDigestBytes = 48;

auto malformed(const std::string& why) {
  return base::fail(base::ErrorCode::kInvalidArgument,
                    std::string(card(RefusalReason::kRequestMalformed).word) + ": " + why);
}

template <std::size_t N>
base::Result<void> read(const std::string& field, std::string_view name,
                        std::array<std::byte, N>& into) {
  if (field.size() != N) {
    return malformed(std::string(name) + " has " + std::to_string(field.size()) +
                     " bytes, expected " + std::to_string(N));
  }
  std::ranges::copy(base::bytes_of(field), into.begin());
  return {};
}

base::Result<AnchorStep> step_of(pb::AnchorBody::Kind kind) {
  switch (kind) {
    case pb::AnchorBody::BOOT:
      return AnchorStep::kBoot;
    case pb::AnchorBody::CLOSED:
      return AnchorStep::kClosed;
    case pb::AnchorBody::RENEWAL:
      return AnchorStep::kRenewal;
    case pb::AnchorBody::CONDEMNED:
      return AnchorStep::kCondemned;
    default:
      return malformed("its kind is the unknown " + std::to_string(static_cast<int>(kind)));
  }
}

base::Result<void> check_fit(const AnchorMessage& message, const pb::AnchorBody& body) {
  if (message.step == AnchorStep::kRenewal &&
      (body.sequence() != 0 || !body.digest().empty() || body.used_restore())) {
    return malformed("a renewal moves no anchor, and has sequence or digest");
  }
  if (message.step == AnchorStep::kRenewal && !message.certification) {
    return malformed("a renewal asks for no certificate");
  }
  const bool is_last =
      message.step == AnchorStep::kClosed || message.step == AnchorStep::kCondemned;
  if (is_last && (message.certification || message.used_restore)) {
    return malformed("only the first anchor of a boot certifies or uses a restore");
  }
  if (body.launch_digest().size() > kMaxLaunchDigestBytes ||
      (message.step != AnchorStep::kBoot && !body.launch_digest().empty())) {
    return malformed("launch_digest has " + std::to_string(body.launch_digest().size()) +
                     " bytes, and only the first anchor of a boot has one");
  }
  return {};
}

}  // namespace

base::Result<AnchorMessage> decode_anchor_request(base::ByteView bytes) {
  if (bytes.size() > kMaxAnchorRequestBytes) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      std::string(card(RefusalReason::kRequestTooLarge).word) + ": it has " +
                          std::to_string(bytes.size()) + " bytes, at most " +
                          std::to_string(kMaxAnchorRequestBytes) + " are allowed");
  }
  pb::AnchorRequest outer;
  pb::AnchorBody body;
  if (!outer.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      !body.ParseFromString(outer.body())) {
    return malformed("it is no AnchorRequest");
  }
  if (outer.mac().size() != kMacBytes) {
    return malformed("mac has " + std::to_string(outer.mac().size()) + " bytes, expected 32");
  }
  AnchorMessage message;
  message.body_bytes = base::copy_of(base::bytes_of(outer.body()));
  message.mac = base::copy_of(base::bytes_of(outer.mac()));
  TRY(read(body.request_id(), "request_id", message.request_id));
  TRY(read(body.vm_id(), "vm_id", message.vm_id));
  TRY(read(body.boot_id(), "boot_id", message.boot_id));
  TRY_ASSIGN(step, step_of(body.kind()));
  message.step = step;
  message.epoch = body.epoch();
  message.used_restore = body.used_restore();
  message.launch_digest = base::copy_of(base::bytes_of(body.launch_digest()));
  if (body.has_certification()) {
    message.certification = body.certification();
  }
  TRY(check_fit(message, body));
  if (step != AnchorStep::kRenewal) {
    message.state.sequence = body.sequence();
    if (body.sequence() == 0) {
      return malformed("sequence is 0, and the first commit of a store is 1");
    }
    TRY(read(body.digest(), "digest", message.state.digest));
  }
  return message;
}

Outcome<std::monostate> judge_mac(const AnchorMessage& message, const ClusterSecrets& secrets) {
  // Which version the VM was released under is not known; there are few, and all are tried.
  bool good = false;
  for (const auto& version : secrets.versions()) {
    auto key = boot_key(version, message.vm_id, message.epoch, message.boot_id);
    if (!key) {
      return failed(std::move(key));
    }
    const auto mac = vmgs::crypto::hmac_sha256(key->expose(), message.body_bytes);
    good = vmgs::crypto::equal_in_constant_time(mac, message.mac) || good;
  }
  if (!good) {
    return refuse(RefusalReason::kAnchorMac, "");
  }
  return {};
}

}  // namespace keybroker::broker
