// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tools/vmgs/file_report.h"

namespace tools::vmgs {

// meaning_of_protector() is meaning_of() for the files that open a store for a VM: KEY_PROTECTOR,
// HW_KEY_PROTECTOR and SEALED_KEYS. Every byte of them is hostile, and none of them is secret.
FileMeaning meaning_of_protector(::vmgs::format::FileId id, base::ByteView content);

}  // namespace tools::vmgs
