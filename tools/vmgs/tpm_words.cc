// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/tpm_words.h"

#include <array>
#include <iomanip>
#include <sstream>
#include <utility>

#include "keybroker/crypto/certificate.h"
#include "tools/cli/terminal.h"

namespace tools::vmgs {

namespace {

struct Bit {
  unsigned number;
  std::string_view word;
};

template <std::size_t N>
std::string words_of(std::uint32_t attributes, const std::array<Bit, N>& bits) {
  std::string words;
  std::uint32_t known = 0;
  for (const auto& bit : bits) {
    known |= 1U << bit.number;
    if ((attributes >> bit.number & 1U) != 0) {
      words += (words.empty() ? "" : " ") + std::string(bit.word);
    }
  }
  if ((attributes & ~known) != 0) {
    words += (words.empty() ? "" : " ") + handle_word(attributes & ~known);
  }
  return words;
}

// TPMA_NV (TPM 2.0 Part 2, 13.4); bits 4 to 7 are the type.
constexpr std::array kNvBits = {
    Bit{0, "ppwrite"},     Bit{1, "ownerwrite"},      Bit{2, "authwrite"},
    Bit{3, "policywrite"}, Bit{10, "policydelete"},   Bit{11, "writelocked"},
    Bit{12, "writeall"},   Bit{13, "writedefine"},    Bit{14, "write_stclear"},
    Bit{15, "globallock"}, Bit{16, "ppread"},         Bit{17, "ownerread"},
    Bit{18, "authread"},   Bit{19, "policyread"},     Bit{25, "no_da"},
    Bit{26, "orderly"},    Bit{27, "clear_stclear"},  Bit{28, "readlocked"},
    Bit{29, "written"},    Bit{30, "platformcreate"}, Bit{31, "read_stclear"}};
constexpr unsigned kNvTypeShift = 4;
constexpr std::uint32_t kNvTypeMask = 0xF;

// TPMA_OBJECT (TPM 2.0 Part 2, 8.3)
constexpr std::array kObjectBits = {Bit{1, "fixedtpm"},     Bit{2, "stclear"},
                                    Bit{4, "fixedparent"},  Bit{5, "sensitivedataorigin"},
                                    Bit{6, "userwithauth"}, Bit{7, "adminwithpolicy"},
                                    Bit{10, "noda"},        Bit{11, "encryptedduplication"},
                                    Bit{16, "restricted"},  Bit{17, "decrypt"},
                                    Bit{18, "sign"}};

using Names = std::pair<std::uint32_t, std::string_view>;

constexpr std::array kAlgorithms = {
    Names{0x0001, "rsa"},       Names{0x0004, "sha1"},      Names{0x0005, "hmac"},
    Names{0x0006, "aes"},       Names{0x0008, "keyedhash"}, Names{0x000A, "xor"},
    Names{0x000B, "sha256"},    Names{0x000C, "sha384"},    Names{0x000D, "sha512"},
    Names{0x0010, "null"},      Names{0x0012, "sm3_256"},   Names{0x0014, "rsassa"},
    Names{0x0015, "rsaes"},     Names{0x0016, "rsapss"},    Names{0x0017, "oaep"},
    Names{0x0018, "ecdsa"},     Names{0x0019, "ecdh"},      Names{0x001A, "ecdaa"},
    Names{0x001C, "ecschnorr"}, Names{0x0023, "ecc"},       Names{0x0025, "symcipher"},
    Names{0x0027, "sha3_256"},  Names{0x0028, "sha3_384"},  Names{0x0029, "sha3_512"}};

constexpr std::array kCurves = {
    Names{0x0001, "P-192"}, Names{0x0002, "P-224"},  Names{0x0003, "P-256"}, Names{0x0004, "P-384"},
    Names{0x0005, "P-521"}, Names{0x0010, "BN-256"}, Names{0x0020, "SM2"}};

// TCG EK Credential Profile 2.2.1.4, and what Azure's guests and ours look for.
constexpr std::array kIndices = {Names{0x01400001, "attestation report"},
                                 Names{0x01400002, "user data for the report"},
                                 Names{0x01400003, "extended claims"},
                                 Names{0x01C00002, "EK certificate, RSA 2048"},
                                 Names{0x01C00003, "EK nonce, RSA 2048"},
                                 Names{0x01C00004, "EK template, RSA 2048"},
                                 Names{0x01C0000A, "EK certificate, ECC P-256"},
                                 Names{0x01C0000B, "EK nonce, ECC P-256"},
                                 Names{0x01C0000C, "EK template, ECC P-256"},
                                 Names{0x01C00012, "EK certificate, RSA 2048 (H)"},
                                 Names{0x01C00014, "EK certificate, ECC P-256 (H)"},
                                 Names{0x01C00016, "EK certificate, ECC P-384 (H)"},
                                 Names{0x01C0001C, "EK certificate, RSA 3072 (H)"},
                                 Names{0x01C101D0, "AK certificate"},
                                 Names{0x01C101D1, "AK certificate's issuers"}};

// TCG TPM v2.0 Provisioning Guidance, 7.8, and what Azure's guests and ours look for.
constexpr std::array kHandles = {Names{0x81000001, "SRK, RSA"},     Names{0x81000002, "SRK, ECC"},
                                 Names{0x81000003, "AK, RSA"},      Names{0x81000005, "AK, ECC"},
                                 Names{0x81010001, "EK, RSA"},      Names{0x81010002, "EK, ECC"},
                                 Names{0x81010016, "EK, ECC P-384"}};

template <std::size_t N>
std::string_view find(const std::array<Names, N>& names, std::uint32_t number) {
  for (const auto& [each, name] : names) {
    if (each == number) {
      return name;
    }
  }
  return {};
}

std::string number_word(std::uint32_t number, int digits) {
  std::ostringstream text;
  text << "0x" << std::hex << std::setw(digits) << std::setfill('0') << number;
  return text.str();
}

}  // namespace

std::string algorithm_word(std::uint16_t algorithm) {
  const auto name = find(kAlgorithms, algorithm);
  return name.empty() ? number_word(algorithm, 4) : std::string(name);
}

std::string key_word(const ::vmgs::format::TpmObject& object) {
  constexpr std::uint16_t kRsa = 0x0001;
  constexpr std::uint16_t kKeyedHash = 0x0008;
  constexpr std::uint16_t kEcc = 0x0023;
  constexpr std::uint16_t kSymCipher = 0x0025;
  switch (object.type) {
    case kRsa:
      return "RSA " + std::to_string(object.key_bits);
    case kEcc: {
      const auto curve = find(kCurves, object.curve);
      return "ECC " + (curve.empty() ? number_word(object.curve, 4) : std::string(curve));
    }
    case kKeyedHash:
      return "sealed data or HMAC key";
    case kSymCipher:
      return "symmetric " + std::to_string(object.key_bits);
    default:
      return "nothing";
  }
}

std::string nv_attribute_words(std::uint32_t attributes) {
  return words_of(attributes & ~(kNvTypeMask << kNvTypeShift), kNvBits);
}

std::string object_attribute_words(std::uint32_t attributes) {
  return words_of(attributes, kObjectBits);
}

std::string nv_type_word(std::uint32_t attributes) {
  switch (attributes >> kNvTypeShift & kNvTypeMask) {
    case 0:
      return "ordinary";
    case 1:
      return "counter";
    case 2:
      return "bits";
    case 4:
      return "extend";
    case 8:
      return "pin-fail";
    case 9:
      return "pin-pass";
    default:
      return "unknown";
  }
}

std::string_view nv_index_name(std::uint32_t index) { return find(kIndices, index); }

std::string_view handle_name(std::uint32_t handle) { return find(kHandles, handle); }

std::string handle_word(std::uint32_t handle) { return number_word(handle, 8); }

std::string certificate_word(base::ByteView content) {
  // A SEQUENCE of 256 bytes and more (X.690, 8.1.3); behind it an index may be filled with zeros.
  constexpr std::size_t kPrefixBytes = 4;
  if (content.size() < kPrefixBytes || content[0] != std::byte{0x30} ||
      content[1] != std::byte{0x82}) {
    return {};
  }
  const auto size = kPrefixBytes + (std::to_integer<std::size_t>(content[2]) << 8) +
                    std::to_integer<std::size_t>(content[3]);
  if (size > content.size()) {
    return {};
  }
  const auto certificate = keybroker::crypto::Certificate::decode(content.first(size));
  if (!certificate) {
    return {};
  }
  return cli::printable("certificate for " + certificate->subject() + " by " +
                        certificate->issuer() + ", " +
                        keybroker::crypto::to_text(certificate->not_before()) + " to " +
                        keybroker::crypto::to_text(certificate->not_after()));
}

}  // namespace tools::vmgs
