// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/der.h"

#include <openssl/asn1.h>

#include <algorithm>

#include "keybroker/crypto/openssl.h"

namespace keybroker::crypto {

namespace {

using openssl::in;

using Integer = std::unique_ptr<ASN1_INTEGER, openssl::Freed<ASN1_INTEGER_free>>;
using Ia5 = std::unique_ptr<ASN1_IA5STRING, openssl::Freed<ASN1_IA5STRING_free>>;
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

}  // namespace keybroker::crypto
