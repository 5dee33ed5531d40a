// SPDX-License-Identifier: Apache-2.0
#include "keybroker/protocol/release_claims.h"

#include <algorithm>
#include <string>
#include <utility>

#include "keybroker/protocol/broker.pb.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::protocol {

namespace {

namespace pb = ::strongroom::broker::v1;
using base::ErrorCode;

constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kSnpLaunchDigestBytes = 32;
constexpr std::size_t kTdxLaunchDigestBytes = 48;
constexpr std::string_view kReportDataLabel{"strongroom.release/1\0", 21};

auto corrupt(const std::string& why) {
  return base::fail(ErrorCode::kCorrupt, "release claims: " + why);
}

std::string text_of(base::ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

base::Bytes bytes_of(const std::string& field) { return base::copy_of(base::bytes_of(field)); }

bool is_within(std::size_t size, std::size_t most) { return size > 0 && size <= most; }

base::Result<void> check(const ReleaseClaims& claims) {
  const auto refuse = [](const std::string& why) {
    return base::fail(ErrorCode::kInvalidArgument, "release claims: " + why);
  };
  if (base::is_all_zero(claims.vm_id)) {
    return refuse("vm_id is all zero");
  }
  if (!is_within(claims.challenge.size(), kMaxChallengeBytes)) {
    return refuse("challenge has " + std::to_string(claims.challenge.size()) +
                  " bytes, expected 1 to " + std::to_string(kMaxChallengeBytes));
  }
  if (!is_within(claims.transfer_key.size(), kMaxTransferKeyBytes)) {
    return refuse("transfer_key has " + std::to_string(claims.transfer_key.size()) +
                  " bytes, expected 1 to " + std::to_string(kMaxTransferKeyBytes));
  }
  if (claims.launch_digest.size() != kSnpLaunchDigestBytes &&
      claims.launch_digest.size() != kTdxLaunchDigestBytes) {
    return refuse("launch_digest has " + std::to_string(claims.launch_digest.size()) +
                  " bytes, expected 32 or 48");
  }
  return {};
}

}  // namespace

base::Result<base::Bytes> encode(const ReleaseClaims& claims) {
  TRY(check(claims));
  pb::ReleaseClaims message;
  message.set_version(kVersion);
  message.set_purpose(std::string(kReleasePurpose));
  message.set_vm_id(text_of(claims.vm_id));
  message.set_boot_id(text_of(claims.boot_id));
  message.set_challenge(text_of(claims.challenge));
  message.set_transfer_algorithm(static_cast<pb::TransferAlgorithm>(claims.transfer_algorithm));
  message.set_transfer_key(text_of(claims.transfer_key));
  message.set_launch_digest(text_of(claims.launch_digest));
  // In the order of their numbers, and no maps: these bytes depend on the claims alone.
  return bytes_of(message.SerializeAsString());
}

base::Result<ReleaseClaims> decode_release_claims(base::ByteView bytes) {
  if (bytes.size() > kMaxReleaseClaimsBytes) {
    return corrupt("has " + std::to_string(bytes.size()) + " bytes, at most " +
                   std::to_string(kMaxReleaseClaimsBytes) + " are allowed");
  }
  pb::ReleaseClaims message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return corrupt("is not a protobuf message");
  }
  if (message.version() != kVersion) {
    return corrupt("version " + std::to_string(message.version()) + ", expected 1");
  }
  if (message.purpose() != kReleasePurpose) {
    return corrupt("their purpose is not '" + std::string(kReleasePurpose) + "'");
  }
  ReleaseClaims claims;
  if (message.vm_id().size() != claims.vm_id.size()) {
    return corrupt("vm_id has " + std::to_string(message.vm_id().size()) + " bytes, expected 16");
  }
  std::ranges::copy(base::bytes_of(message.vm_id()), claims.vm_id.begin());
  if (message.boot_id().size() != claims.boot_id.size()) {
    return corrupt("boot_id has " + std::to_string(message.boot_id().size()) +
                   " bytes, expected 16");
  }
  std::ranges::copy(base::bytes_of(message.boot_id()), claims.boot_id.begin());
  claims.challenge = bytes_of(message.challenge());
  switch (message.transfer_algorithm()) {
    case pb::TRANSFER_ALGORITHM_ECDH_P384:
    case pb::TRANSFER_ALGORITHM_RSA_3072_OAEP_SHA384:
      claims.transfer_algorithm = static_cast<TransferAlgorithm>(message.transfer_algorithm());
      break;
    default:
      return corrupt("transfer_algorithm has the unknown value " +
                     std::to_string(message.transfer_algorithm()));
  }
  claims.transfer_key = bytes_of(message.transfer_key());
  claims.launch_digest = bytes_of(message.launch_digest());
  auto again = encode(claims);
  if (!again) {
    return base::fail(ErrorCode::kCorrupt, std::move(again).error().message);
  }
  // Unknown fields, another order, repeated or over-long fields all end here.
  if (!std::ranges::equal(*again, bytes)) {
    return corrupt("are not in their canonical encoding");
  }
  return claims;
}

std::array<std::byte, 64> release_report_data(base::ByteView claims) {
  return vmgs::crypto::sha512({base::bytes_of(kReportDataLabel), claims});
}

}  // namespace keybroker::protocol
