// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/format/libtpms_object.h"

namespace tools::vmgs {

// Numbers of a TPM in the words of TPM 2.0 Part 2, spelt as tpm2-tools spells them.

// algorithm_word() is "sha256", "rsa", "0x1234" for one that has no name here.
std::string algorithm_word(std::uint16_t algorithm);

// key_word() is "RSA 2048", "ECC P-256", "sealed data or HMAC key", "AES 128".
std::string key_word(const ::vmgs::format::TpmObject& object);

// The names of the bits of TPMA_NV but for the type, and of TPMA_OBJECT, parted by blanks.
std::string nv_attribute_words(std::uint32_t attributes);
std::string object_attribute_words(std::uint32_t attributes);

// nv_type_word() is the type inside TPMA_NV: "ordinary", "counter", "bits", "extend", "pin-fail",
// "pin-pass".
std::string nv_type_word(std::uint32_t attributes);

// nv_index_name() and handle_name() say what an index or a persistent handle is for, where the TCG,
// Microsoft or we gave it a meaning; empty otherwise.
std::string_view nv_index_name(std::uint32_t index);
std::string_view handle_name(std::uint32_t handle);

// handle_word() is "0x01c00002".
std::string handle_word(std::uint32_t handle);

// certificate_word() describes the certificate that `content` begins with, and "" if there is none.
std::string certificate_word(base::ByteView content);

}  // namespace tools::vmgs
