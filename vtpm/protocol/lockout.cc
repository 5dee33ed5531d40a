// SPDX-License-Identifier: Apache-2.0
#include "vtpm/protocol/lockout.h"

#include <algorithm>
#include <utility>

#include "vmgs/base/cursor.h"
#include "vtpm/protocol/header.h"

namespace vtpm::protocol {

namespace {

constexpr std::uint32_t kTpmProperties = 0x00000006;  // TPM_CAP_TPM_PROPERTIES
constexpr std::uint32_t kPermanent = 0x00000200;      // TPM_PT_PERMANENT
constexpr std::uint32_t kInLockout = 1U << 9;         // TPMA_PERMANENT
constexpr std::uint32_t kLockoutAuthSet = 1U << 2;

// TPM_PT_VAR, as many as there may be of it.
constexpr std::uint32_t kLockoutCounter = 0x0000020E;
constexpr std::uint32_t kMaxAuthFail = 0x0000020F;
constexpr std::uint32_t kLockoutInterval = 0x00000210;
constexpr std::uint32_t kLockoutRecovery = 0x00000211;
constexpr std::uint32_t kVariableProperties = kLockoutRecovery - kPermanent + 1;

constexpr std::uint32_t kDictionaryAttackLockReset = 0x139;
constexpr std::uint32_t kLockoutHierarchy = 0x4000000A;

base::Bytes ask_properties(std::uint32_t count) {
  base::Writer out;
  out.u16_be(static_cast<std::uint16_t>(Tag::kNoSessions));
  out.u32_be(kHeaderBytes + 12);
  out.u32_be(static_cast<std::uint32_t>(CommandCode::kGetCapability));
  out.u32_be(kTpmProperties);
  out.u32_be(kPermanent);
  out.u32_be(count);
  return std::move(out).take();
}

tl::unexpected<base::Error> no_startup() {
  return base::fail(base::ErrorCode::kUnavailable, "the guest has not started its TPM");
}

// A code of format one has its number in six bits, and beside it which session is meant (TPM 2.0
// Part 2, 6.6.2).
constexpr std::uint32_t kFormatOneBits = 0x0BF;
constexpr std::uint32_t kAuthFail = 0x08E;

}  // namespace

bool is_wrong_authorization(ResponseCode code) {
  return code == ResponseCode::kLockout ||
         (static_cast<std::uint32_t>(code) & kFormatOneBits) == kAuthFail;
}

base::Bytes ask_lockout() { return ask_properties(1); }

base::Result<bool> decode_lockout(base::ByteView response) {
  TRY_ASSIGN(header, decode_response_header(response));
  base::Reader reader(response.subspan(kHeaderBytes));
  TRY(reader.bytes(1));  // moreData
  TRY_ASSIGN(capability, reader.u32_be());
  TRY_ASSIGN(count, reader.u32_be());
  TRY_ASSIGN(property, reader.u32_be());
  TRY_ASSIGN(value, reader.u32_be());
  TRY(reader.expect_end());
  if (header.code != ResponseCode::kSuccess || capability != kTpmProperties || count != 1 ||
      property != kPermanent) {
    return base::fail(base::ErrorCode::kCorrupt, "this is not what the TPM was asked for");
  }
  return (value & kInLockout) != 0;
}

base::Bytes ask_lockout_state() { return ask_properties(kVariableProperties); }

base::Result<LockoutState> decode_lockout_state(base::ByteView response) {
  TRY_ASSIGN(header, decode_response_header(response));
  if (header.code == ResponseCode::kInitialize) {
    return no_startup();
  }
  base::Reader reader(response.subspan(kHeaderBytes));
  TRY(reader.bytes(1));  // moreData
  TRY_ASSIGN(capability, reader.u32_be());
  TRY_ASSIGN(count, reader.u32_be());
  LockoutState state;
  unsigned found = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    TRY_ASSIGN(property, reader.u32_be());
    TRY_ASSIGN(value, reader.u32_be());
    ++found;
    switch (property) {
      case kPermanent:
        state.locked_out = (value & kInLockout) != 0;
        state.has_authorization = (value & kLockoutAuthSet) != 0;
        break;
      case kLockoutCounter:
        state.failed_tries = value;
        break;
      case kMaxAuthFail:
        state.max_tries = value;
        break;
      case kLockoutInterval:
        state.recovery_seconds = value;
        break;
      case kLockoutRecovery:
        state.lockout_recovery_seconds = value;
        break;
      default:
        --found;
    }
  }
  TRY(reader.expect_end());
  constexpr unsigned kAsked = 5;
  if (header.code != ResponseCode::kSuccess || capability != kTpmProperties || found != kAsked) {
    return base::fail(base::ErrorCode::kCorrupt, "this is not what the TPM was asked for");
  }
  return state;
}

base::SecretBytes reset_lockout(base::ByteView authorization) {
  constexpr std::uint32_t kSessionBytes = 9;  // handle, empty nonce, attributes, size
  base::Writer out;
  out.u16_be(static_cast<std::uint16_t>(Tag::kSessions));
  out.u32_be(
      static_cast<std::uint32_t>(kHeaderBytes + 4 + 4 + kSessionBytes + authorization.size()));
  out.u32_be(kDictionaryAttackLockReset);
  out.u32_be(kLockoutHierarchy);
  out.u32_be(static_cast<std::uint32_t>(kSessionBytes + authorization.size()));
  out.u32_be(static_cast<std::uint32_t>(Handle::kPasswordSession));
  out.u16_be(0);
  out.u8(0);
  out.u16_be(static_cast<std::uint16_t>(authorization.size()));
  // The writer's own copies are not wiped as it grows, so the secret goes into its place alone.
  auto start = std::move(out).take();
  base::SecretBytes command(start.size() + authorization.size());
  const auto behind = std::copy(start.begin(), start.end(), command.fill().begin());
  std::copy(authorization.begin(), authorization.end(), behind);
  return command;
}

base::Result<void> outcome_of_reset(base::ByteView response) {
  TRY_ASSIGN(header, decode_response_header(response));
  switch (header.code) {
    case ResponseCode::kSuccess:
      return {};
    case ResponseCode::kInitialize:
      return no_startup();
    case ResponseCode::kLockout:
      return base::fail(base::ErrorCode::kUnavailable,
                        "the TPM takes no lockout authorization now, as a wrong one came before");
    default:
      break;
  }
  if (is_wrong_authorization(header.code)) {
    return base::fail(base::ErrorCode::kAuthentication,
                      "this is not the TPM's lockout authorization, and it takes no other for a "
                      "while");
  }
  return base::fail(base::ErrorCode::kCorrupt,
                    "the TPM did not reset its lockout: " + describe(header.code));
}

}  // namespace vtpm::protocol
