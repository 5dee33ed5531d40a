// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <future>
#include <thread>

#include "keybroker/hsm/tenant_keys.h"
#include "keybroker/hsm/token_keys.h"
#include "keybroker/hsm/wrapped_key.h"
#include "keybroker/protocol/uuid.h"
#include "tests/support/command.h"
#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"
#include "vmgs/crypto/random.h"
#include "vmgs/storage/private_file.h"

namespace {

using base::ErrorCode;
using keybroker::hsm::KekRecord;
using keybroker::hsm::KekState;
using keybroker::hsm::Provider;
using keybroker::hsm::TokenKeys;
using keybroker::hsm::TokenOptions;
using keybroker::protocol::Uuid;
using tests::support::error_code;

const auto kAlpha = *keybroker::protocol::parse_uuid("aaaaaaaa-4455-6677-8899-aabbccddeeff");
const auto kBeta = *keybroker::protocol::parse_uuid("bbbbbbbb-4455-6677-8899-aabbccddeeff");
constexpr auto kAlphaPin = "1234-alpha";
constexpr auto kBetaPin = "4321-beta";
const auto kContext = base::Bytes(20, std::byte{0x6B});
const auto kOtherContext = base::Bytes(20, std::byte{0x6C});

void write_private(const std::filesystem::path& path, std::string_view text) {
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

KekRecord key_named(const Uuid& tenant, std::string_view uri) {
  return {tenant, Provider::kToken, 1, base::copy_of(base::bytes_of(uri))};
}

TEST_F(HsmTest, EachTenantWrapsAndUnwrapsInItsOwnToken) {
  auto keys = both();
  for (const auto& tenant : {kAlpha, kBeta}) {
    const auto record = keys->make(tenant, "guest state");
    ASSERT_TRUE(record) << record.error().message;
    EXPECT_EQ(record->provider, Provider::kToken);

    const auto wrapped = keys->wrap(*record, kContext, secret_);
    ASSERT_TRUE(wrapped) << wrapped.error().message;
    const auto secret = keys->unwrap(*record, kContext, *wrapped);

    ASSERT_TRUE(secret) << secret.error().message;
    EXPECT_TRUE(secret->equals_in_constant_time(secret_));
    EXPECT_EQ(keys->status(*record).state, KekState::kReady);
  }
}

TEST_F(HsmTest, OpensAfterARestart) {
  auto record = KekRecord{};
  auto wrapped = base::Bytes{};
  {
    auto keys = both();
    record = *keys->make(kAlpha, "guest state");
    wrapped = *keys->wrap(record, kContext, secret_);
  }
  const auto secret = both()->unwrap(record, kContext, wrapped);
  ASSERT_TRUE(secret) << secret.error().message;
  EXPECT_TRUE(secret->equals_in_constant_time(secret_));
}

TEST_F(HsmTest, TheKeyCannotBeExported) {
  auto keys = both();
  ASSERT_TRUE(keys->make(kAlpha, "guest state"));

  Session tenant("alpha", kAlphaPin);
  const auto key = tenant.key();

  std::array<std::byte, 64> out{};
  CK_ATTRIBUTE value{CKA_VALUE, out.data(), out.size()};
  EXPECT_EQ(tenant.calls().C_GetAttributeValue(tenant.handle(), key, &value, 1),
            CKR_ATTRIBUTE_SENSITIVE);
  CK_MECHANISM mechanism{CKM_AES_KEY_WRAP, nullptr, 0};
  CK_ULONG size = out.size();
  EXPECT_EQ(
      tenant.calls().C_WrapKey(tenant.handle(), &mechanism, tenant.generate("wrapper", false, true),
                               key, reinterpret_cast<CK_BYTE*>(out.data()), &size),
      CKR_KEY_UNEXTRACTABLE);
  CK_BBOOL yes = CK_TRUE;
  CK_ATTRIBUTE extractable{CKA_EXTRACTABLE, &yes, 1};
  EXPECT_NE(tenant.calls().C_SetAttributeValue(tenant.handle(), key, &extractable, 1), CKR_OK);
}

TEST_F(HsmTest, DoesNotUseAKeyThatCouldBeExported) {
  auto keys = both();
  Session tenant("alpha", kAlphaPin);
  tenant.generate("loose", true);
  tenant.generate("kept", false);

  const auto loose = key_named(kAlpha, "pkcs11:token=alpha;object=loose");
  EXPECT_EQ(error_code(keys->wrap(loose, kContext, secret_)), ErrorCode::kNotFound);
  EXPECT_NE(keys->status(loose).finding.find("exported"), std::string::npos);

  const auto kept = key_named(kAlpha, "pkcs11:token=alpha;object=kept");
  const auto wrapped = keys->wrap(kept, kContext, secret_);
  ASSERT_TRUE(wrapped) << wrapped.error().message;
  EXPECT_TRUE(keys->unwrap(kept, kContext, *wrapped));

  tenant.generate("kept", false);
  EXPECT_EQ(error_code(both()->wrap(kept, kContext, secret_)), ErrorCode::kNotFound);
}

TEST_F(HsmTest, AnotherTenantCannotUnwrap) {
  auto keys = both();
  const auto record = *keys->make(kAlpha, "guest state");
  const auto wrapped = *keys->wrap(record, kContext, secret_);

  // The record in the other tenant's row: its login does not reach that token.
  auto moved = record;
  moved.tenant = kBeta;
  EXPECT_EQ(error_code(keys->unwrap(moved, kContext, wrapped)), ErrorCode::kNotFound);
  EXPECT_EQ(keys->status(moved).state, KekState::kKeyAbsent);

  // The same id under the other token's name: the key is not in there.
  auto text =
      std::string(reinterpret_cast<const char*>(record.content.data()), record.content.size());
  const auto renamed = text.replace(text.find("alpha"), 5, "beta");
  EXPECT_EQ(error_code(keys->unwrap(key_named(kBeta, renamed), kContext, wrapped)),
            ErrorCode::kNotFound);

  // Its own key does not open the bytes.
  const auto own = *keys->make(kBeta, "guest state");
  EXPECT_EQ(error_code(keys->unwrap(own, kContext, wrapped)), ErrorCode::kAuthentication);
}

TEST_F(HsmTest, AnotherTenantsLoginDoesNotOpenTheToken) {
  const auto record = *both()->make(kAlpha, "guest state");

  auto keys = *TokenKeys::create({{kAlpha, uri("alpha", "beta.pin")}}, options());

  const auto status = keys->status(record);
  EXPECT_EQ(status.state, KekState::kTokenLoginFailed);
  EXPECT_NE(status.finding.find("CKR_PIN_INCORRECT"), std::string::npos) << status.finding;
  EXPECT_EQ(status.finding.find(kBetaPin), std::string::npos);
  EXPECT_EQ(error_code(keys->wrap(record, kContext, secret_)), ErrorCode::kUnavailable);
}

TEST_F(HsmTest, TwoTenantsCannotShareAToken) {
  EXPECT_EQ(
      error_code(TokenKeys::create(
          {{kAlpha, uri("alpha", "alpha.pin")}, {kBeta, uri("alpha", "beta.pin")}}, options())),
      ErrorCode::kInvalidArgument);

  // Under two names, which only the token can tell to be one. The wrong PIN would do, for the
  // process is logged in already.
  auto keys = *TokenKeys::create(
      {{kAlpha, uri("alpha", "alpha.pin")}, {kBeta, uri("alpha;model=SoftHSM%20v2", "beta.pin")}},
      options());
  const auto record = keys->make(kAlpha, "guest state");
  ASSERT_TRUE(record) << record.error().message;
  auto moved = *record;
  moved.tenant = kBeta;
  const auto status = keys->status(moved);
  EXPECT_EQ(status.state, KekState::kTokenLoginFailed);
  EXPECT_NE(status.finding.find("cannot share"), std::string::npos) << status.finding;
}

TEST_F(HsmTest, BindsTheContextAndEveryByte) {
  auto keys = both();
  const auto record = *keys->make(kAlpha, "guest state");
  const auto wrapped = *keys->wrap(record, kContext, secret_);

  EXPECT_EQ(error_code(keys->unwrap(record, kOtherContext, wrapped)), ErrorCode::kAuthentication);
  for (std::size_t i = 0; i < wrapped.size(); ++i) {
    auto altered = wrapped;
    altered[i] ^= std::byte{0x80};
    EXPECT_EQ(error_code(keys->unwrap(record, kContext, altered)),
              i == 0 ? ErrorCode::kCorrupt : ErrorCode::kAuthentication)
        << i;
  }
  EXPECT_TRUE(keys->unwrap(record, kContext, wrapped));
  EXPECT_NE(*keys->wrap(record, kContext, secret_), wrapped);
}

TEST_F(HsmTest, SaysThatATokenIsGoneAndFindsItAgain) {
  auto keys = both();
  const auto record = *keys->make(kAlpha, "guest state");
  const auto wrapped = *keys->wrap(record, kContext, secret_);

  std::filesystem::rename(folder_ / "tokens", folder_ / "elsewhere");
  for (auto attempt = 0; attempt < 3; ++attempt) {
    const auto status = keys->status(record);
    EXPECT_EQ(status.state, KekState::kTokenAbsent) << status.finding;
    EXPECT_FALSE(status.remedy.empty());
    EXPECT_EQ(error_code(keys->unwrap(record, kContext, wrapped)), ErrorCode::kUnavailable);
  }

  std::filesystem::rename(folder_ / "elsewhere", folder_ / "tokens");
  const auto secret = keys->unwrap(record, kContext, wrapped);
  ASSERT_TRUE(secret) << secret.error().message;
  EXPECT_TRUE(secret->equals_in_constant_time(secret_));
  EXPECT_EQ(keys->status(record).state, KekState::kReady);
}

TEST_F(HsmTest, FindsAModuleThatIsInstalledLater) {
  const auto record = *both()->make(kAlpha, "guest state");
  auto with = options();
  with.module = folder_ / "module.so";
  auto keys = both(with);

  const auto status = keys->status(record);
  EXPECT_EQ(status.state, KekState::kTokenAbsent);
  EXPECT_NE(status.finding.find("module.so"), std::string::npos) << status.finding;

  std::ofstream(folder_ / "module.so") << "no library";
  EXPECT_EQ(keys->status(record).state, KekState::kTokenAbsent);

  std::filesystem::remove(folder_ / "module.so");
  std::filesystem::create_symlink(SOFTHSM, folder_ / "module.so");
  EXPECT_EQ(keys->status(record).state, KekState::kReady) << keys->status(record).finding;
}

TEST_F(HsmTest, SaysThatTheKeyIsGone) {
  auto keys = both();
  const auto record = *keys->make(kAlpha, "guest state");
  const auto wrapped = *keys->wrap(record, kContext, secret_);
  {
    Session tenant("alpha", kAlphaPin);
    EXPECT_EQ(tenant.calls().C_DestroyObject(tenant.handle(), tenant.key()), CKR_OK);
  }
  EXPECT_EQ(error_code(keys->unwrap(record, kContext, wrapped)), ErrorCode::kNotFound);
  EXPECT_EQ(keys->status(record).state, KekState::kKeyAbsent);
}

TEST_F(HsmTest, TriesAWrongPinOnce) {
  const auto record = *both()->make(kAlpha, "guest state");
  write_private(folder_ / "alpha.pin", "wrong");
  auto keys = both();

  EXPECT_NE(keys->status(record).finding.find("CKR_PIN_INCORRECT"), std::string::npos);
  const auto second = keys->status(record);
  EXPECT_EQ(second.state, KekState::kTokenLoginFailed);
  EXPECT_NE(second.finding.find("still holds"), std::string::npos) << second.finding;

  write_private(folder_ / "alpha.pin", kAlphaPin);
  EXPECT_EQ(keys->status(record).state, KekState::kReady);
}

TEST_F(HsmTest, SaysWhatIsTheMatterWithThePinFile) {
  const auto record = *both()->make(kAlpha, "guest state");
  auto keys = both();
  const auto pin = folder_ / "alpha.pin";

  std::filesystem::remove(pin);
  EXPECT_EQ(keys->status(record).state, KekState::kTokenLoginFailed);

  write_private(pin, kAlphaPin);
  std::filesystem::permissions(pin, std::filesystem::perms::others_read,
                               std::filesystem::perm_options::add);
  EXPECT_EQ(keys->status(record).state, KekState::kTokenLoginFailed);

  write_private(pin, "\n");
  EXPECT_EQ(keys->status(record).state, KekState::kTokenLoginFailed);

  write_private(pin, kAlphaPin);
  EXPECT_EQ(keys->status(record).state, KekState::kReady);
}

TEST_F(HsmTest, SaysThatItIsBusyWhenEverySessionIsInUse) {
  const auto record = *both()->make(kAlpha, "guest state");
  std::promise<void> in_login;
  std::promise<void> go_on;
  auto with = options();
  with.most_sessions = 1;
  with.busy_after = std::chrono::milliseconds(0);
  with.read_pin = [&, read = with.read_pin](const std::filesystem::path& path) {
    in_login.set_value();
    go_on.get_future().wait();
    return read(path);
  };
  auto keys = both(with);

  auto first = std::async(std::launch::async, [&] { return keys->status(record).state; });
  in_login.get_future().wait();
  EXPECT_EQ(keys->status(record).state, KekState::kBusy);
  EXPECT_EQ(error_code(keys->wrap(record, kContext, secret_)), ErrorCode::kUnavailable);
  go_on.set_value();

  EXPECT_EQ(first.get(), KekState::kReady);
  EXPECT_EQ(keys->status(record).state, KekState::kReady);
}

TEST_F(HsmTest, ServesThreadsWhileAnotherTenantsTokenIsAway) {
  auto with = options();
  with.most_sessions = 2;
  with.busy_after = std::chrono::minutes(1);
  const Uuid absent{std::byte{0xCC}};
  auto keys = *TokenKeys::create({{kAlpha, uri("alpha", "alpha.pin")},
                                  {kBeta, uri("beta", "beta.pin")},
                                  {absent, uri("gamma", "alpha.pin")}},
                                 with);
  const std::array records{*keys->make(kAlpha, "guest state"), *keys->make(kBeta, "guest state")};
  const auto nowhere = key_named(absent, "pkcs11:token=gamma;object=k");

  std::atomic<int> failures = 0;
  const auto work = [&](const KekRecord& record) {
    for (auto i = 0; i < 25; ++i) {
      const auto wrapped = keys->wrap(record, kContext, secret_);
      const auto secret = wrapped ? keys->unwrap(record, kContext, *wrapped)
                                  : base::Result<base::Secret<32>>(tl::unexpected(wrapped.error()));
      if (!secret || !secret->equals_in_constant_time(secret_)) {
        ++failures;
      }
    }
  };
  // Each look for the absent token initialises the module anew and ends everybody's sessions.
  const auto disturb = [&] {
    for (auto i = 0; i < 25; ++i) {
      if (keys->status(nowhere).state != KekState::kTokenAbsent) {
        ++failures;
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    for (auto i = 0; i < 4; ++i) {
      threads.emplace_back(work, std::cref(records.at(static_cast<std::size_t>(i) % 2)));
    }
    threads.emplace_back(disturb);
  }
  EXPECT_EQ(failures, 0);
}

TEST_F(HsmTest, ATenantWithoutATokenGetsSoftwareKeys) {
  std::vector<keybroker::hsm::MasterKey> master;
  master.push_back({1, *vmgs::crypto::random_secret<32>()});
  keybroker::hsm::TenantKeys keys(
      *keybroker::hsm::SoftwareKeys::create(std::move(master)),
      *TokenKeys::create({{kAlpha, uri("alpha", "alpha.pin")}}, options()));

  const auto in_token = keys.make(kAlpha, "guest state");
  const auto in_software = keys.make(kBeta, "guest state");

  ASSERT_TRUE(in_token) << in_token.error().message;
  ASSERT_TRUE(in_software) << in_software.error().message;
  EXPECT_EQ(in_token->provider, Provider::kToken);
  EXPECT_EQ(in_software->provider, Provider::kSoftware);
  for (const auto& record : {*in_token, *in_software}) {
    const auto wrapped = keys.wrap(record, kContext, secret_);
    ASSERT_TRUE(wrapped) << wrapped.error().message;
    EXPECT_TRUE(keys.unwrap(record, kContext, *wrapped));
    EXPECT_EQ(keys.status(record).state, KekState::kReady);
  }
}

}  // namespace
