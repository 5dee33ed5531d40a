// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <p11-kit/pkcs11.h>

#include <span>
#include <string>
#include <string_view>

#include "keybroker/hsm/token_uri.h"
#include "keybroker/hsm/wrapped_key.h"
#include "vmgs/base/bytes.h"

namespace keybroker::hsm {

// What is done with one key of a token, in a session of its logged-in user. Lengths that the module
// gives are not believed: one that the mechanism does not have is CKR_GENERAL_ERROR.

// generate_token_key() makes an AES key of 256 bits with this CKA_ID and label. It is sensitive,
// not extractable and can only encrypt and decrypt; if the token then says otherwise of it, the key
// is destroyed and the answer is CKR_TEMPLATE_INCONSISTENT. The session can write.
CK_RV generate_token_key(CK_FUNCTION_LIST& calls, CK_SESSION_HANDLE session, base::ByteView id,
                         std::string_view label);

// KeySearch is the handle of a key, or why there is none that may be used: not there, there twice,
// or one that could be exported.
struct KeySearch {
  CK_OBJECT_HANDLE handle = 0;
  CK_RV result = CKR_OK;
  std::string missing{};
};

KeySearch find_token_key(CK_FUNCTION_LIST& calls, CK_SESSION_HANDLE session, const KeyUri& key);

// Encrypted is what the token answered, and the wrapped key if that is CKR_OK.
struct Encrypted {
  CK_RV result = CKR_OK;
  WrappedKey wrapped{};
};

// encrypt() is CKM_AES_GCM (PKCS#11 2.40 mechanisms, 2.12.3) with `additional`. A random nonce is
// offered to the token; if it draws its own and puts it in that place, the answer has that one.
Encrypted encrypt(CK_FUNCTION_LIST& calls, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key,
                  base::ByteView additional, std::span<const std::byte, 32> secret);

// decrypt() is its inverse. CKR_ENCRYPTED_DATA_INVALID if the token works and the bytes do not
// open. Some tokens (SoftHSM 2.6.1) answer CKR_GENERAL_ERROR to that as to everything else, so then
// the key is tried on bytes of its own before the token is blamed.
CK_RV decrypt(CK_FUNCTION_LIST& calls, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key,
              base::ByteView additional, const WrappedKey& wrapped,
              std::span<std::byte, 32> secret);

}  // namespace keybroker::hsm
