// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::crypto {

// One DER value each (ITU-T X.690), alone and in its shortest form. kCorrupt otherwise. The
// decoding is OpenSSL's; these add that nothing may follow and that the form is the only one.
base::Result<std::int64_t> decode_der_integer(base::ByteView der);
base::Result<std::string> decode_der_ia5(base::ByteView der);
base::Result<base::Bytes> decode_der_octets(base::ByteView der);

// Their inverses.
base::Bytes encode_der_integer(std::int64_t value);
base::Bytes encode_der_ia5(const std::string& value);
base::Bytes encode_der_octets(base::ByteView value);

}  // namespace keybroker::crypto
