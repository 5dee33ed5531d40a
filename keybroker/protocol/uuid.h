// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "keybroker/protocol/launch_document.h"
#include "vmgs/base/result.h"

namespace keybroker::protocol {

// parse_uuid() reads the usual form of a UUID (RFC 4122), 36 characters of either case, into its
// network byte order. kInvalidArgument otherwise. uuid_text() writes it in lower case.
base::Result<Uuid> parse_uuid(std::string_view text);
std::string uuid_text(const Uuid& uuid);

}  // namespace keybroker::protocol
