// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/ownership.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "vmgs/base/cursor.h"

namespace vmgs::format {

namespace {

using base::ErrorCode;

constexpr std::string_view kMagic = "SROW";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kPaddingBytes = 7;

}  // namespace

base::Bytes encode_ownership(const Ownership& ownership) {
  base::Writer out;
  out.bytes(base::bytes_of(kMagic));
  out.u32_le(kVersion);
  out.u64_le(ownership.epoch);
  out.u8(static_cast<std::uint8_t>(ownership.standing));
  out.bytes(base::Bytes(kPaddingBytes));
  out.bytes(ownership.ticket);
  out.bytes(ownership.release_digest);
  return std::move(out).take();
}

base::Result<Ownership> decode_ownership(base::ByteView bytes) {
  const auto corrupt = [](const std::string& what) {
    return base::fail(ErrorCode::kCorrupt, "OWNERSHIP: " + what);
  };
  if (bytes.size() != kOwnershipBytes) {
    return corrupt("it has " + std::to_string(bytes.size()) + " bytes");
  }
  base::Reader in(bytes);
  TRY_ASSIGN(magic, in.bytes(kMagic.size()));
  TRY_ASSIGN(version, in.u32_le());
  TRY_ASSIGN(epoch, in.u64_le());
  TRY_ASSIGN(standing, in.u8());
  TRY_ASSIGN(padding, in.bytes(kPaddingBytes));
  Ownership ownership;
  TRY_ASSIGN(ticket, in.bytes(ownership.ticket.size()));
  TRY_ASSIGN(release_digest, in.bytes(ownership.release_digest.size()));
  if (!std::equal(magic.begin(), magic.end(), base::bytes_of(kMagic).begin())) {
    return corrupt("another magic number");
  }
  if (version != kVersion) {
    return corrupt("version " + std::to_string(version) + " is not known here");
  }
  if (epoch == 0) {
    return corrupt("there is no epoch 0");
  }
  if (standing > static_cast<std::uint8_t>(Standing::kOffered)) {
    return corrupt("standing " + std::to_string(standing) + " is not known here");
  }
  if (!base::is_all_zero(padding)) {
    return corrupt("the reserved bytes are not zero");
  }
  ownership.epoch = epoch;
  ownership.standing = static_cast<Standing>(standing);
  std::copy(ticket.begin(), ticket.end(), ownership.ticket.begin());
  std::copy(release_digest.begin(), release_digest.end(), ownership.release_digest.begin());
  const bool is_offered = ownership.standing == Standing::kOffered;
  if (is_offered == base::is_all_zero(ownership.release_digest) ||
      (is_offered && base::is_all_zero(ownership.ticket))) {
    return corrupt("it does not agree with itself on who has the state");
  }
  return ownership;
}

}  // namespace vmgs::format
