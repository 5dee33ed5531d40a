// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/report_request.h"

#include "vmgs/base/cursor.h"
#include "vtpm/protocol/header.h"
#include "vtpm/provision/nv_indices.h"

namespace vtpm::provision {

namespace {

bool is_report(std::uint32_t index) {
  return index == kReportIndex || index == kExtendedClaimsIndex;
}

base::Result<bool> read_from_beginning(base::Reader& in) {
  TRY(in.u32_be());  // who authorizes it
  TRY_ASSIGN(index, in.u32_be());
  TRY_ASSIGN(authorization_bytes, in.u32_be());
  TRY(in.bytes(authorization_bytes));
  TRY(in.u16_be());  // how much
  TRY_ASSIGN(offset, in.u16_be());
  return is_report(index) && offset == 0;
}

base::Result<bool> certify(base::Reader& in) {
  TRY(in.u32_be());  // the signing key
  TRY(in.u32_be());  // who authorizes it
  TRY_ASSIGN(index, in.u32_be());
  return is_report(index);
}

}  // namespace

bool asks_for_report(base::ByteView command) {
  const auto header = protocol::decode_command_header(command);
  if (!header) {
    return false;
  }
  base::Reader in(command.subspan(protocol::kHeaderBytes));
  switch (header->code) {
    case protocol::CommandCode::kNvRead:
      return read_from_beginning(in).value_or(false);
    case protocol::CommandCode::kNvCertify:
      return certify(in).value_or(false);
    default:
      return false;
  }
}

}  // namespace vtpm::provision
