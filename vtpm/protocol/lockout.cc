// SPDX-License-Identifier: Apache-2.0
#include "vtpm/protocol/lockout.h"

#include <utility>

#include "vmgs/base/cursor.h"
#include "vtpm/protocol/header.h"

namespace vtpm::protocol {

namespace {

constexpr std::uint32_t kTpmProperties = 0x00000006;  // TPM_CAP_TPM_PROPERTIES
constexpr std::uint32_t kPermanent = 0x00000200;      // TPM_PT_PERMANENT
constexpr std::uint32_t kInLockout = 1U << 9;         // TPMA_PERMANENT

// A code of format one has its number in six bits, and beside it which session is meant (TPM 2.0
// Part 2, 6.6.2).
constexpr std::uint32_t kFormatOneBits = 0x0BF;
constexpr std::uint32_t kAuthFail = 0x08E;

}  // namespace

bool is_wrong_authorization(ResponseCode code) {
  return code == ResponseCode::kLockout ||
         (static_cast<std::uint32_t>(code) & kFormatOneBits) == kAuthFail;
}

base::Bytes ask_lockout() {
  base::Writer out;
  out.u16_be(static_cast<std::uint16_t>(Tag::kNoSessions));
  out.u32_be(kHeaderBytes + 12);
  out.u32_be(static_cast<std::uint32_t>(CommandCode::kGetCapability));
  out.u32_be(kTpmProperties);
  out.u32_be(kPermanent);
  out.u32_be(1);
  return std::move(out).take();
}

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

}  // namespace vtpm::protocol
