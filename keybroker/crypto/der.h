// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
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
base::Bytes encode_der_utf8(const std::string& value);
base::Bytes encode_der_oid(const std::string& dotted);

// encode_der_constructed() puts DER values one after another into a constructed value with this
// identifier octet: 0x30 SEQUENCE, 0x31 SET, 0xA4 [4]. At most 65535 bytes.
base::Bytes encode_der_constructed(std::uint8_t identifier,
                                   std::initializer_list<base::Bytes> values);

}  // namespace keybroker::crypto
