// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/libtpms_object.h"

#include "vmgs/format/libtpms_part.h"

namespace vmgs::format::libtpms {

namespace {

// TPM_ALG_ID (TCG Algorithm Registry).
constexpr std::uint16_t kRsa = 0x0001;
constexpr std::uint16_t kKeyedHash = 0x0008;
constexpr std::uint16_t kXor = 0x000A;
constexpr std::uint16_t kNull = 0x0010;
constexpr std::uint16_t kRsaes = 0x0015;
constexpr std::uint16_t kEcdaa = 0x001A;
constexpr std::uint16_t kEcc = 0x0023;
constexpr std::uint16_t kSymCipher = 0x0025;

constexpr std::uint32_t kOccupied = 1U << 15;  // of libtpms' OBJECT_ATTRIBUTES

// TPMT_SYM_DEF_OBJECT (Part 2, 11.1.7): the size of its key in bits, 0 for none.
base::Result<std::uint16_t> read_symmetric(base::Reader& in) {
  TRY_ASSIGN(algorithm, in.u16_be());
  if (algorithm == kNull) {
    return std::uint16_t{0};
  }
  TRY_ASSIGN(bits, in.u16_be());
  TRY(in.u16_be());  // mode
  return bits;
}

// TPMT_RSA_SCHEME, TPMT_ECC_SCHEME, TPMT_KDF_SCHEME and TPMT_KEYEDHASH_SCHEME (Part 2, 11.2)
base::Result<std::uint16_t> read_scheme(base::Reader& in) {
  TRY_ASSIGN(scheme, in.u16_be());
  if (scheme != kNull && scheme != kRsaes) {
    TRY(in.u16_be());  // hash
  }
  if (scheme == kEcdaa || scheme == kXor) {
    TRY(in.u16_be());  // count, or KDF
  }
  return scheme;
}

// TPMU_PUBLIC_PARMS and TPMU_PUBLIC_ID (Part 2, 12.2.3)
base::Result<void> read_parameters_and_unique(base::Reader& in, TpmObject& object) {
  object.scheme = kNull;
  switch (object.type) {
    case kRsa: {
      TRY(read_symmetric(in));
      TRY_ASSIGN(scheme, read_scheme(in));
      TRY_ASSIGN(bits, in.u16_be());
      TRY(in.u32_be());  // exponent
      object.scheme = scheme;
      object.key_bits = bits;
      break;
    }
    case kEcc: {
      TRY(read_symmetric(in));
      TRY_ASSIGN(scheme, read_scheme(in));
      TRY_ASSIGN(curve, in.u16_be());
      TRY(read_scheme(in));
      TRY(sized(in));  // x, and y below
      object.scheme = scheme;
      object.curve = curve;
      break;
    }
    case kKeyedHash: {
      TRY_ASSIGN(scheme, read_scheme(in));
      object.scheme = scheme;
      break;
    }
    case kSymCipher: {
      TRY_ASSIGN(bits, read_symmetric(in));
      object.key_bits = bits;
      break;
    }
    default:
      return corrupt("an object", "has an unknown type");
  }
  TRY(sized(in));
  return {};
}

// TPMT_PUBLIC (Part 2, 12.2.4)
base::Result<void> read_public(base::Reader& in, TpmObject& object) {
  TRY_ASSIGN(type, in.u16_be());
  TRY_ASSIGN(name_algorithm, in.u16_be());
  TRY_ASSIGN(attributes, in.u32_be());
  TRY_ASSIGN(policy, sized(in));
  object.type = type;
  object.name_algorithm = name_algorithm;
  object.attributes = attributes;
  object.has_policy = !policy.empty();
  return read_parameters_and_unique(in, object);
}

// TPMT_SENSITIVE (Part 2, 12.3.2.4), of which only that there is an authorization value is told. A
// public key alone has none of it, and libtpms then writes no more than three empty fields.
base::Result<void> pass_sensitive(base::Reader& in, TpmObject& object) {
  TRY_ASSIGN(type, in.u16_be());
  TRY_ASSIGN(authorization, sized(in));
  TRY(sized(in));  // seed
  object.has_authorization = !authorization.empty();
  if (type != kRsa && type != kEcc && type != kKeyedHash && type != kSymCipher) {
    return {};
  }
  TRY_ASSIGN(size, in.u16_be());
  // libtpms says by the highest bit that all five numbers of an RSA key are there.
  constexpr std::uint16_t kAllNumbers = 0x8000;
  TRY(in.bytes(type == kRsa ? size & ~kAllNumbers : size));
  return {};
}

}  // namespace

base::Result<TpmObject> read_object(base::Reader& in) {
  TpmObject object;
  TRY(begin(in, Part::kAnyObject));
  TRY_ASSIGN(slot, in.u32_be());
  if ((slot & kOccupied) != 0) {
    TRY(begin(in, Part::kObject));
    TRY(read_public(in, object));
    TRY(pass_sensitive(in, object));
    TRY(block(in));    // the private exponent
    TRY(sized(in));    // qualified name
    TRY(in.u32_be());  // handle
    TRY_ASSIGN(name, sized(in));
    object.name = name;
    TRY(block(in));
  }
  TRY(block(in));
  return object;
}

}  // namespace vmgs::format::libtpms
