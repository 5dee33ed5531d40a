// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <string>

#include "keybroker/hsm/token_keys.h"
#include "keybroker/protocol/uuid.h"
#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "vmgs/crypto/random.h"
#include "vmgs/storage/private_file.h"

namespace tests::integration {

using keybroker::hsm::KekRecord;
using keybroker::hsm::Provider;
using keybroker::hsm::TokenKeys;
using keybroker::hsm::TokenOptions;
using keybroker::protocol::Uuid;

inline const auto kAlpha = *keybroker::protocol::parse_uuid("aaaaaaaa-4455-6677-8899-aabbccddeeff");
inline const auto kBeta = *keybroker::protocol::parse_uuid("bbbbbbbb-4455-6677-8899-aabbccddeeff");
inline constexpr auto kAlphaPin = "1234-alpha";
inline constexpr auto kBetaPin = "4321-beta";
inline const auto kContext = base::Bytes(20, std::byte{0x6B});
inline const auto kOtherContext = base::Bytes(20, std::byte{0x6C});

inline void write_private(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::remove(path);
  std::ofstream(path) << text;
  std::filesystem::permissions(
      path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

// SoftHSM with tokens of two tenants in a folder of its own.
class HsmTest : public ::testing::Test {
 protected:
  HsmTest() {
    std::filesystem::create_directory(folder_ / "tokens");
    std::ofstream(folder_ / "softhsm2.conf")
        << "directories.tokendir = " << (folder_ / "tokens").string()
        << "\nobjectstore.backend = file\nlog.level = ERROR\n";
    ::setenv("SOFTHSM2_CONF", (folder_ / "softhsm2.conf").c_str(), 1);
    init_token("alpha", kAlphaPin);
    init_token("beta", kBetaPin);
    write_private(folder_ / "alpha.pin", std::string(kAlphaPin) + "\n");
    write_private(folder_ / "beta.pin", kBetaPin);
  }

  static void init_token(const std::string& label, const std::string& pin) {
    const auto made =
        tests::support::run_command({"/usr/bin/softhsm2-util", "--init-token", "--free", "--label",
                                     label, "--pin", pin, "--so-pin", "security-officer"});
    ASSERT_EQ(made.status, 0) << made.err;
  }

  [[nodiscard]] std::string uri(const std::string& token, const std::string& pin_file) const {
    return "pkcs11:token=" + token + "?pin-source=file:" + (folder_ / pin_file).string();
  }

  [[nodiscard]] static TokenOptions options() {
    return {.module = SOFTHSM,
            .read_pin =
                [](const std::filesystem::path& path) {
                  return vmgs::storage::read_private_file(path, vmgs::storage::OtherReaders::kNone,
                                                          keybroker::hsm::kMostPinBytes + 1);
                },
            .rescan_interval = std::chrono::milliseconds(0)};
  }

  [[nodiscard]] std::unique_ptr<TokenKeys> both(TokenOptions with = options()) const {
    return *TokenKeys::create(
        {{kAlpha, uri("alpha", "alpha.pin")}, {kBeta, uri("beta", "beta.pin")}}, std::move(with));
  }

  tests::support::TempFolder folder_;
  base::Secret<32> secret_ = *vmgs::crypto::random_secret<32>();
};

// A program of the tenant with the PIN, beside the broker.
class Session {
 public:
  Session(const std::string& label, const std::string& pin)
      : calls_(p11_kit_module_load(SOFTHSM, 0)) {
    EXPECT_EQ(p11_kit_module_initialize(calls_), CKR_OK);
    std::array<CK_SLOT_ID, 8> slots{};
    CK_ULONG count = slots.size();
    EXPECT_EQ(calls_->C_GetSlotList(CK_TRUE, slots.data(), &count), CKR_OK);
    for (CK_ULONG i = 0; i < count; ++i) {
      CK_TOKEN_INFO token{};
      if (calls_->C_GetTokenInfo(slots.at(i), &token) == CKR_OK &&
          std::memcmp(token.label, (label + " ").c_str(), label.size() + 1) == 0) {
        EXPECT_EQ(calls_->C_OpenSession(slots.at(i), CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr,
                                        nullptr, &session_),
                  CKR_OK);
      }
    }
    auto text = pin;
    const auto result = calls_->C_Login(session_, CKU_USER,
                                        reinterpret_cast<CK_UTF8CHAR*>(text.data()), text.size());
    EXPECT_TRUE(result == CKR_OK || result == CKR_USER_ALREADY_LOGGED_IN) << result;
  }

  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  ~Session() {
    p11_kit_module_finalize(calls_);
    p11_kit_module_release(calls_);
  }

  // The only secret key of the token.
  CK_OBJECT_HANDLE key() {
    CK_OBJECT_CLASS secret_key = CKO_SECRET_KEY;
    CK_ATTRIBUTE search{CKA_CLASS, &secret_key, sizeof(secret_key)};
    CK_OBJECT_HANDLE found = 0;
    CK_ULONG count = 0;
    EXPECT_EQ(calls_->C_FindObjectsInit(session_, &search, 1), CKR_OK);
    EXPECT_EQ(calls_->C_FindObjects(session_, &found, 1, &count), CKR_OK);
    EXPECT_EQ(calls_->C_FindObjectsFinal(session_), CKR_OK);
    EXPECT_EQ(count, 1U);
    return found;
  }

  CK_OBJECT_HANDLE generate(std::string label, bool extractable, bool wrapping = false) {
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL may_leave = extractable ? CK_TRUE : CK_FALSE;
    CK_BBOOL wraps = wrapping ? CK_TRUE : CK_FALSE;
    CK_BBOOL lasts = wrapping ? CK_FALSE : CK_TRUE;
    CK_ULONG size = 32;
    std::array wanted{CK_ATTRIBUTE{CKA_TOKEN, &lasts, 1},
                      CK_ATTRIBUTE{CKA_PRIVATE, &yes, 1},
                      CK_ATTRIBUTE{CKA_SENSITIVE, &yes, 1},
                      CK_ATTRIBUTE{CKA_EXTRACTABLE, &may_leave, 1},
                      CK_ATTRIBUTE{CKA_ENCRYPT, &yes, 1},
                      CK_ATTRIBUTE{CKA_DECRYPT, &yes, 1},
                      CK_ATTRIBUTE{CKA_WRAP, &wraps, 1},
                      CK_ATTRIBUTE{CKA_LABEL, label.data(), label.size()},
                      CK_ATTRIBUTE{CKA_VALUE_LEN, &size, sizeof(size)}};
    CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
    CK_OBJECT_HANDLE key = 0;
    EXPECT_EQ(calls_->C_GenerateKey(session_, &mechanism, wanted.data(), wanted.size(), &key),
              CKR_OK);
    return key;
  }

  CK_FUNCTION_LIST& calls() { return *calls_; }

  [[nodiscard]] CK_SESSION_HANDLE handle() const { return session_; }

 private:
  CK_FUNCTION_LIST* calls_;
  CK_SESSION_HANDLE session_ = 0;
};

inline KekRecord key_named(const Uuid& tenant, std::string_view uri) {
  return {tenant, Provider::kToken, 1, base::copy_of(base::bytes_of(uri))};
}

}  // namespace tests::integration
