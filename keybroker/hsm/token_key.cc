// SPDX-License-Identifier: Apache-2.0
#include "keybroker/hsm/token_key.h"

#include <algorithm>
#include <array>
#include <optional>

#include "vmgs/base/secret.h"
#include "vmgs/crypto/random.h"

namespace keybroker::hsm {
namespace {

// PKCS#11 takes pointers to what it only reads without const.
template <typename T>
CK_BYTE* bytes_at(const T* memory) {
  return reinterpret_cast<CK_BYTE*>(const_cast<T*>(memory));
}

constexpr CK_ULONG kKeyBytes = 32;
constexpr CK_ULONG kTagBytes = 16;

CK_GCM_PARAMS gcm(vmgs::crypto::AeadNonce& nonce, base::ByteView additional) {
  CK_GCM_PARAMS parameters{};
  parameters.pIv = bytes_at(nonce.data());
  parameters.ulIvLen = nonce.size();
  parameters.ulIvBits = nonce.size() * 8;
  parameters.pAAD = bytes_at(additional.data());
  parameters.ulAADLen = additional.size();
  parameters.ulTagBits = kTagBytes * 8;
  return parameters;
}

// A CK_BBOOL or CK_ULONG attribute, and nothing if the token has none of that size.
template <typename T>
std::optional<T> attribute(CK_FUNCTION_LIST& calls, CK_SESSION_HANDLE session,
                           CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
  T value{};
  CK_ATTRIBUTE asked{type, &value, sizeof(value)};
  if (calls.C_GetAttributeValue(session, object, &asked, 1) != CKR_OK ||
      asked.ulValueLen != sizeof(value)) {
    return std::nullopt;
  }
  return value;
}

// Why a key may not be used, or nothing.
std::string unfit(CK_FUNCTION_LIST& calls, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key) {
  if (attribute<CK_KEY_TYPE>(calls, session, key, CKA_KEY_TYPE) != CKK_AES ||
      attribute<CK_ULONG>(calls, session, key, CKA_VALUE_LEN) != kKeyBytes) {
    return "the key is not AES of 256 bits";
  }
  if (attribute<CK_BBOOL>(calls, session, key, CKA_EXTRACTABLE) != CK_FALSE ||
      attribute<CK_BBOOL>(calls, session, key, CKA_SENSITIVE) != CK_TRUE) {
    return "the key can be exported from its token (CKA_EXTRACTABLE, or not CKA_SENSITIVE)";
  }
  return {};
}

CK_RV decrypt_once(CK_FUNCTION_LIST& calls, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key,
                   base::ByteView additional, const WrappedKey& wrapped,
                   std::span<std::byte, 32> secret) {
  auto nonce = wrapped.nonce;
  auto parameters = gcm(nonce, additional);
  CK_MECHANISM mechanism{CKM_AES_GCM, &parameters, sizeof(parameters)};
  if (const auto begun = calls.C_DecryptInit(session, &mechanism, key); begun != CKR_OK) {
    return begun;
  }
  std::array<std::byte, 48> sealed{};
  std::copy(wrapped.ciphertext.begin(), wrapped.ciphertext.end(), sealed.begin());
  std::copy(wrapped.tag.begin(), wrapped.tag.end(), sealed.begin() + kKeyBytes);
  // Some modules want room for as much as they were given.
  base::SecretBytes opened(sealed.size());
  CK_ULONG size = opened.size();
  const auto done = calls.C_Decrypt(session, bytes_at(sealed.data()), sealed.size(),
                                    reinterpret_cast<CK_BYTE*>(opened.fill().data()), &size);
  if (done != CKR_OK) {
    return done;
  }
  if (size != kKeyBytes) {
    return CKR_GENERAL_ERROR;
  }
  const auto plain = opened.expose().first<kKeyBytes>();
  std::copy(plain.begin(), plain.end(), secret.begin());
  return CKR_OK;
}

bool works(CK_FUNCTION_LIST& calls, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key,
           base::ByteView additional) {
  const auto probe = vmgs::crypto::random_secret<32>();
  if (!probe) {
    return false;
  }
  const auto sealed = encrypt(calls, session, key, additional, probe->expose());
  auto back = base::Secret<32>::zero();
  return sealed.result == CKR_OK &&
         decrypt_once(calls, session, key, additional, sealed.wrapped, back.fill()) == CKR_OK &&
         back.equals_in_constant_time(*probe);
}

}  // namespace

CK_RV generate_token_key(CK_FUNCTION_LIST& calls, CK_SESSION_HANDLE session, base::ByteView id,
                         std::string_view label) {
  CK_BBOOL yes = CK_TRUE;
  CK_BBOOL no = CK_FALSE;
  CK_OBJECT_CLASS secret_key = CKO_SECRET_KEY;
  CK_KEY_TYPE aes = CKK_AES;
  CK_ULONG size = kKeyBytes;
  std::array wanted{
      CK_ATTRIBUTE{CKA_CLASS, &secret_key, sizeof(secret_key)},
      CK_ATTRIBUTE{CKA_KEY_TYPE, &aes, sizeof(aes)},
      CK_ATTRIBUTE{CKA_VALUE_LEN, &size, sizeof(size)},
      CK_ATTRIBUTE{CKA_ID, bytes_at(id.data()), id.size()},
      CK_ATTRIBUTE{CKA_LABEL, bytes_at(label.data()), label.size()},
      CK_ATTRIBUTE{CKA_TOKEN, &yes, sizeof(yes)},
      CK_ATTRIBUTE{CKA_PRIVATE, &yes, sizeof(yes)},
      CK_ATTRIBUTE{CKA_SENSITIVE, &yes, sizeof(yes)},
      CK_ATTRIBUTE{CKA_EXTRACTABLE, &no, sizeof(no)},
      CK_ATTRIBUTE{CKA_MODIFIABLE, &no, sizeof(no)},
      CK_ATTRIBUTE{CKA_ENCRYPT, &yes, sizeof(yes)},
      CK_ATTRIBUTE{CKA_DECRYPT, &yes, sizeof(yes)},
      CK_ATTRIBUTE{CKA_WRAP, &no, sizeof(no)},
      CK_ATTRIBUTE{CKA_UNWRAP, &no, sizeof(no)},
      CK_ATTRIBUTE{CKA_SIGN, &no, sizeof(no)},
      CK_ATTRIBUTE{CKA_VERIFY, &no, sizeof(no)},
      CK_ATTRIBUTE{CKA_DERIVE, &no, sizeof(no)},
  };
  CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
  CK_OBJECT_HANDLE key = 0;
  if (const auto made =
          calls.C_GenerateKey(session, &mechanism, wanted.data(), wanted.size(), &key);
      made != CKR_OK) {
    return made;
  }
  if (!unfit(calls, session, key).empty()) {
    calls.C_DestroyObject(session, key);
    return CKR_TEMPLATE_INCONSISTENT;
  }
  return CKR_OK;
}

KeySearch find_token_key(CK_FUNCTION_LIST& calls, CK_SESSION_HANDLE session, const KeyUri& key) {
  auto search = key.search();
  if (const auto begun = calls.C_FindObjectsInit(session, search.data(), search.size());
      begun != CKR_OK) {
    return {.result = begun};
  }
  std::array<CK_OBJECT_HANDLE, 2> found{};
  CK_ULONG count = 0;
  const auto listed = calls.C_FindObjects(session, found.data(), found.size(), &count);
  calls.C_FindObjectsFinal(session);
  if (listed != CKR_OK) {
    return {.result = listed};
  }
  if (count != 1) {
    return {.missing =
                count == 0 ? "the token has no such key" : "the token has more than one such key"};
  }
  return {.handle = found[0], .missing = unfit(calls, session, found[0])};
}

Encrypted encrypt(CK_FUNCTION_LIST& calls, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key,
                  base::ByteView additional, std::span<const std::byte, 32> secret) {
  WrappedKey wrapped;
  if (!vmgs::crypto::random_bytes(wrapped.nonce)) {
    return {.result = CKR_RANDOM_NO_RNG};
  }
  auto parameters = gcm(wrapped.nonce, additional);
  CK_MECHANISM mechanism{CKM_AES_GCM, &parameters, sizeof(parameters)};
  if (const auto begun = calls.C_EncryptInit(session, &mechanism, key); begun != CKR_OK) {
    return {.result = begun};
  }
  std::array<std::byte, 64> sealed{};
  CK_ULONG size = sealed.size();
  if (const auto done = calls.C_Encrypt(session, bytes_at(secret.data()), secret.size(),
                                        bytes_at(sealed.data()), &size);
      done != CKR_OK) {
    return {.result = done};
  }
  if (size != kKeyBytes + kTagBytes) {
    return {.result = CKR_GENERAL_ERROR};
  }
  std::copy_n(sealed.begin(), kKeyBytes, wrapped.ciphertext.begin());
  std::copy_n(sealed.begin() + kKeyBytes, kTagBytes, wrapped.tag.begin());
  return {.wrapped = wrapped};
}

CK_RV decrypt(CK_FUNCTION_LIST& calls, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key,
              base::ByteView additional, const WrappedKey& wrapped,
              std::span<std::byte, 32> secret) {
  const auto result = decrypt_once(calls, session, key, additional, wrapped, secret);
  switch (result) {
    case CKR_ENCRYPTED_DATA_LEN_RANGE:
      return CKR_ENCRYPTED_DATA_INVALID;
    case CKR_GENERAL_ERROR:
    case CKR_FUNCTION_FAILED:
    case CKR_DEVICE_ERROR:
    case CKR_DATA_INVALID:
      return works(calls, session, key, additional) ? CK_RV{CKR_ENCRYPTED_DATA_INVALID} : result;
    default:
      return result;
  }
}

}  // namespace keybroker::hsm
