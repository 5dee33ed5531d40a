// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/der.h"

#include <openssl/asn1.h>
#include <openssl/objects.h>

#include <algorithm>

#include "keybroker/crypto/openssl.h"
#include "vmgs/base/cursor.h"

namespace keybroker::crypto {

namespace {

using openssl::in;

using Integer = std::unique_ptr<ASN1_INTEGER, openssl::Freed<ASN1_INTEGER_free>>;
using Ia5 = std::unique_ptr<ASN1_IA5STRING, openssl::Freed<ASN1_IA5STRING_free>>;
using Utf8 = std::unique_ptr<ASN1_UTF8STRING, openssl::Freed<ASN1_UTF8STRING_free>>;
using Oid = std::unique_ptr<ASN1_OBJECT, openssl::Freed<ASN1_OBJECT_free>>;
using Octets = std::unique_ptr<ASN1_OCTET_STRING, openssl::Freed<ASN1_OCTET_STRING_free>>;

auto corrupt(const char* type) {
  return base::fail(base::ErrorCode::kCorrupt, std::string("this is no DER ") + type);
}

// decode() accepts `der` only if encoding what was read gives the same bytes, all of them: OpenSSL
// reads BER too.
template <typename Owner, typename Decode, typename Encode>
Owner decode(base::ByteView der, Decode decoder, Encode encoder) {
  const openssl::ClearedErrors errors;
  const unsigned char* at = in(der);
  Owner value(decoder(nullptr, &at, static_cast<long>(der.size())));
  if (value && !std::ranges::equal(openssl::encoded(encoder, value.get()), der)) {
    value.reset();
  }
  return value;
}

}  // namespace

base::Result<std::int64_t> decode_der_integer(base::ByteView der) {
  const auto value = decode<Integer>(der, d2i_ASN1_INTEGER, i2d_ASN1_INTEGER);
  std::int64_t number = 0;
  if (!value || ASN1_INTEGER_get_int64(&number, value.get()) != 1) {
    return corrupt("INTEGER of 64 bits");
  }
  return number;
}

base::Result<std::string> decode_der_ia5(base::ByteView der) {
  const auto value = decode<Ia5>(der, d2i_ASN1_IA5STRING, i2d_ASN1_IA5STRING);
  if (!value) {
    return corrupt("IA5String");
  }
  const auto text =
      openssl::view(ASN1_STRING_get0_data(value.get()), ASN1_STRING_length(value.get()));
  const auto is_printable = [](std::byte c) { return c >= std::byte{' '} && c < std::byte{0x7F}; };
  if (!std::ranges::all_of(text, is_printable)) {
    return corrupt("IA5String of printable characters");
  }
  return std::string(reinterpret_cast<const char*>(text.data()), text.size());
}

base::Result<base::Bytes> decode_der_octets(base::ByteView der) {
  const auto value = decode<Octets>(der, d2i_ASN1_OCTET_STRING, i2d_ASN1_OCTET_STRING);
  if (!value) {
    return corrupt("OCTET STRING");
  }
  return base::copy_of(
      openssl::view(ASN1_STRING_get0_data(value.get()), ASN1_STRING_length(value.get())));
}

base::Bytes encode_der_integer(std::int64_t value) {
  const Integer integer(ASN1_INTEGER_new());
  ASN1_INTEGER_set_int64(integer.get(), value);
  return openssl::encoded(i2d_ASN1_INTEGER, integer.get());
}

base::Bytes encode_der_ia5(const std::string& value) {
  const Ia5 text(ASN1_IA5STRING_new());
  ASN1_STRING_set(text.get(), value.data(), static_cast<int>(value.size()));
  return openssl::encoded(i2d_ASN1_IA5STRING, text.get());
}

base::Bytes encode_der_octets(base::ByteView value) {
  const Octets octets(ASN1_OCTET_STRING_new());
  ASN1_STRING_set(octets.get(), value.data(), static_cast<int>(value.size()));
  return openssl::encoded(i2d_ASN1_OCTET_STRING, octets.get());
}

base::Bytes encode_der_utf8(const std::string& value) {
  const Utf8 text(ASN1_UTF8STRING_new());
  ASN1_STRING_set(text.get(), value.data(), static_cast<int>(value.size()));
  return openssl::encoded(i2d_ASN1_UTF8STRING, text.get());
}

base::Bytes encode_der_oid(const std::string& dotted) {
  const Oid oid(OBJ_txt2obj(dotted.c_str(), 1));
  return oid ? openssl::encoded(i2d_ASN1_OBJECT, oid.get()) : base::Bytes();
}

base::Bytes encode_der_constructed(std::uint8_t identifier,
                                   std::initializer_list<base::Bytes> values) {
  base::Bytes content;
  for (const auto& value : values) {
    content.insert(content.end(), value.begin(), value.end());
  }
  // ITU-T X.690, 8.1.3: the length in the fewest octets.
  base::Writer out;
  out.u8(identifier);
  if (content.size() < 0x80) {
    out.u8(static_cast<std::uint8_t>(content.size()));
  } else if (content.size() <= 0xFF) {
    out.u8(0x81);
    out.u8(static_cast<std::uint8_t>(content.size()));
  } else {
    out.u8(0x82);
    out.u16_be(static_cast<std::uint16_t>(content.size()));
  }
  out.bytes(content);
  return std::move(out).take();
}

}  // namespace keybroker::crypto
