// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "vmgs/base/bytes.h"
#include "vmgs/base/cursor.h"
#include "vmgs/base/result.h"

namespace vmgs::format {

// TpmObject is an object that a TPM at rest holds, as far as it is public: TPMT_PUBLIC (TPM 2.0
// Part 2, 12.2.4) in the words of TPM_ALG_ID and TPM_ECC_CURVE. Views are of the state.
struct TpmObject {
  std::uint16_t type = 0;
  std::uint16_t name_algorithm = 0;
  std::uint32_t attributes = 0;  // TPMA_OBJECT
  bool has_policy = false;
  bool has_authorization = false;  // an authorization value that is not empty
  std::uint16_t key_bits = 0;      // of RSA and symmetric keys, else 0
  std::uint16_t curve = 0;         // of ECC keys, else 0
  std::uint16_t scheme = 0;        // what it may do only, 0x0010 (TPM_ALG_NULL) where it is free
  base::ByteView name;             // with its algorithm in front
};

namespace libtpms {

// read_object() reads what libtpms calls ANY_OBJECT. An empty slot is an object of type 0.
base::Result<TpmObject> read_object(base::Reader& in);

}  // namespace libtpms

}  // namespace vmgs::format
