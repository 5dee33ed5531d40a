// SPDX-License-Identifier: Apache-2.0
#include "keybroker/hsm/token.h"

#include <algorithm>
#include <array>
#include <utility>

#include "keybroker/hsm/return_value.h"
#include "keybroker/hsm/token_key.h"
#include "keybroker/protocol/uuid.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/crypto/random.h"

namespace keybroker::hsm {
namespace {

// No library has more slots than this; a count from one that says so is not believed.
constexpr CK_ULONG kMostSlots = 1024;

constexpr auto kTriesAgain = "see that the token is attached; the broker tries again by itself";

std::string answered(const char* call, CK_RV result) {
  return std::string(call) + ": " + return_value_name(result);
}

// Whether after this answer the session, the login or the token may be gone.
bool is_lost(CK_RV result) {
  constexpr std::array kLost{
      CKR_CRYPTOKI_NOT_INITIALIZED, CKR_DEVICE_ERROR,      CKR_DEVICE_REMOVED,
      CKR_FUNCTION_FAILED,          CKR_GENERAL_ERROR,     CKR_KEY_HANDLE_INVALID,
      CKR_OBJECT_HANDLE_INVALID,    CKR_SESSION_CLOSED,    CKR_SESSION_HANDLE_INVALID,
      CKR_SLOT_ID_INVALID,          CKR_TOKEN_NOT_PRESENT, CKR_TOKEN_NOT_RECOGNIZED,
      CKR_USER_NOT_LOGGED_IN,
  };
  return std::find(kLost.begin(), kLost.end(), result) != kLost.end();
}

bool is_busy(CK_RV result) {
  return result == CKR_SESSION_COUNT || result == CKR_HOST_MEMORY || result == CKR_DEVICE_MEMORY;
}

tl::unexpected<KekStatus> token_trouble(const TokenUri& uri, const char* call, CK_RV result) {
  if (is_busy(result)) {
    return trouble(KekState::kBusy, uri.text() + " has no room; " + answered(call, result),
                   "retry, or allow the token more sessions");
  }
  return trouble(KekState::kTokenAbsent, uri.text() + " does not answer; " + answered(call, result),
                 kTriesAgain);
}

tl::unexpected<KekStatus> login_trouble(const TokenUri& uri, std::string why, std::string remedy) {
  return trouble(KekState::kTokenLoginFailed, "no login to " + uri.text() + ": " + std::move(why),
                 std::move(remedy));
}

// The PIN is the file without one line end.
base::ByteView pin_in(const base::SecretBytes& file) {
  const auto content = file.expose();
  return !content.empty() && content.back() == std::byte{'\n'} ? content.first(content.size() - 1)
                                                               : content;
}

constexpr CK_FLAGS kPinFlags =
    CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED;

}  // namespace

TokenResult<CK_RV> Token::with_key(const KeyUri& key, const Operation& operation) {
  return in_session([&](CK_FUNCTION_LIST& calls, Session& session) -> TokenResult<CK_RV> {
    if (const auto known = session.keys.find(key.text()); known != session.keys.end()) {
      return operation(calls, session.handle, known->second);
    }
    if (!key.matches(session.token)) {
      return trouble(KekState::kKeyAbsent, key.text() + " is not in " + uri_.text(),
                     "restore the record, or name the right token in the configuration");
    }
    const auto found = find_token_key(calls, session.handle, key);
    if (found.result != CKR_OK) {
      return found.result;
    }
    if (!found.missing.empty()) {
      // A token that has just gone away shows no keys either.
      if (const auto told = calls.C_GetTokenInfo(session.slot, &session.token); told != CKR_OK) {
        return told;
      }
      return trouble(KekState::kKeyAbsent, found.missing + ": " + key.text(),
                     "restore the key into the token, or bring back the token that has it");
    }
    session.keys.emplace(key.text(), found.handle);
    return operation(calls, session.handle, found.handle);
  });
}

TokenResult<KeyUri> Token::generate(std::string_view label) {
  std::array<std::byte, 16> id{};
  if (auto drawn = vmgs::crypto::random_bytes(id); !drawn) {
    return trouble(KekState::kBusy, drawn.error().message, "retry");
  }
  std::optional<KeyUri> made;
  auto result = in_session([&](CK_FUNCTION_LIST& calls, Session& session) -> TokenResult<CK_RV> {
    auto uri = KeyUri::of(session.token, id, label);
    if (!uri) {
      return trouble(KekState::kKeyAbsent, uri.error().message, "give the token another label");
    }
    // A session of its own, for the others can only read.
    CK_SESSION_HANDLE writing = 0;
    if (const auto opened = calls.C_OpenSession(session.slot, CKF_SERIAL_SESSION | CKF_RW_SESSION,
                                                nullptr, nullptr, &writing);
        opened != CKR_OK) {
      return opened;
    }
    const auto generated = generate_token_key(calls, writing, id, label);
    calls.C_CloseSession(writing);
    if (generated == CKR_OK) {
      made = *std::move(uri);
    }
    return generated;
  });
  if (!result) {
    return tl::unexpected(std::move(result).error());
  }
  if (!made) {
    return trouble(is_busy(*result) ? KekState::kBusy : KekState::kKeyAbsent,
                   uri_.text() + " makes no key; " + answered("C_GenerateKey", *result),
                   "see that the token has CKM_AES_KEY_GEN, room for a key, and is not read-only");
  }
  return *std::move(made);
}

TokenResult<CK_RV> Token::in_session(const Work& work) {
  {
    const std::lock_guard lock(mutex_);
    if (callers_ >= options_.most_callers) {
      return trouble(KekState::kBusy,
                     std::to_string(callers_) + " callers of " + uri_.text() +
                         " wait for it already: it is slow, or hangs",
                     "see to the token; boots of other tenants go on");
    }
    ++callers_;
  }
  auto result = as_one_caller(work);
  const std::lock_guard lock(mutex_);
  --callers_;
  return result;
}

TokenResult<CK_RV> Token::as_one_caller(const Work& work) {
  for (auto again = false;; again = true) {
    std::uint64_t generation = 0;
    auto result = [&]() -> TokenResult<CK_RV> {
      const auto use = module_->use();
      if (!use) {
        return tl::unexpected(use.error());
      }
      generation = use->generation;
      return try_in_session(*use, work);
    }();
    if (result && !is_lost(*result)) {
      return result;
    }
    if (result && again) {
      return token_trouble(uri_, "the operation", *result);
    }
    if (!result) {
      // Only a token that is not there is looked for again, and only once.
      const auto absent = result.error().state == KekState::kTokenAbsent;
      if (again || !absent || generation == 0 || !module_->rescan(generation)) {
        return result;
      }
    }
  }
}

TokenResult<CK_RV> Token::try_in_session(const Module::Use& use, const Work& work) {
  auto session = borrow(use);
  if (!session) {
    return tl::unexpected(std::move(session).error());
  }
  auto result = work(*use.calls, *session);
  const auto sound = result ? *result == CKR_OK || *result == CKR_ENCRYPTED_DATA_INVALID
                            : result.error().state == KekState::kKeyAbsent;
  if (result && is_lost(*result)) {
    lose();
  }
  give_back(use, *std::move(session), sound);
  return result;
}

TokenResult<Session> Token::borrow(const Module::Use& use) {
  std::unique_lock lock(mutex_);
  const auto deadline = std::chrono::steady_clock::now() + options_.busy_after;
  for (;;) {
    while (!idle_.empty()) {
      auto session = std::move(idle_.back());
      idle_.pop_back();
      if (session.generation == use.generation && session.round == round_) {
        return session;
      }
      if (session.generation == use.generation) {
        use.calls->C_CloseSession(session.handle);
      }
      --open_;
    }
    if (open_ < options_.most_sessions) {
      break;
    }
    if (given_back_.wait_until(lock, deadline) == std::cv_status::timeout) {
      return trouble(KekState::kBusy,
                     "all " + std::to_string(open_) + " sessions of " + uri_.text() + " are in use",
                     "retry, allow it more sessions, or lease keys to the broker");
    }
  }
  ++open_;
  const auto round = round_;
  lock.unlock();
  auto session = open(use);
  if (session) {
    session->round = round;
    return session;
  }
  lock.lock();
  --open_;
  lock.unlock();
  given_back_.notify_one();
  return session;
}

TokenResult<Session> Token::open(const Module::Use& use) {
  auto session = find_slot(use);
  if (!session) {
    return session;
  }
  const auto opened = use.calls->C_OpenSession(session->slot, CKF_SERIAL_SESSION, nullptr, nullptr,
                                               &session->handle);
  if (opened != CKR_OK) {
    return token_trouble(uri_, "C_OpenSession", opened);
  }
  if (auto logged_in = log_in(*use.calls, *session); !logged_in) {
    use.calls->C_CloseSession(session->handle);
    return tl::unexpected(std::move(logged_in).error());
  }
  return session;
}

void Token::give_back(const Module::Use& use, Session session, bool sound) {
  {
    const std::lock_guard lock(mutex_);
    if (sound && session.round == round_) {
      idle_.push_back(std::move(session));
    } else {
      use.calls->C_CloseSession(session.handle);
      --open_;
    }
  }
  given_back_.notify_one();
}

void Token::lose() {
  const std::lock_guard lock(mutex_);
  ++round_;
}

TokenResult<Session> Token::find_slot(const Module::Use& use) {
  CK_ULONG count = 0;
  if (const auto counted = use.calls->C_GetSlotList(CK_TRUE, nullptr, &count); counted != CKR_OK) {
    return token_trouble(uri_, "C_GetSlotList", counted);
  }
  std::vector<CK_SLOT_ID> slots(std::min(count, kMostSlots));
  count = slots.size();
  if (const auto listed = use.calls->C_GetSlotList(CK_TRUE, slots.data(), &count);
      listed != CKR_OK) {
    return token_trouble(uri_, "C_GetSlotList", listed);
  }
  slots.resize(std::min<std::size_t>(count, slots.size()));

  std::optional<Session> found;
  for (const auto slot : slots) {
    Session here{.generation = use.generation, .slot = slot};
    if (use.calls->C_GetTokenInfo(slot, &here.token) != CKR_OK || !uri_.matches(here.token)) {
      continue;
    }
    if (found) {
      return trouble(KekState::kTokenAbsent, "more than one token is " + uri_.text(),
                     "name the right one by its serial number too");
    }
    found = std::move(here);
  }
  if (!found) {
    return trouble(KekState::kTokenAbsent, "there is no " + uri_.text(), kTriesAgain);
  }
  return *std::move(found);
}

TokenResult<void> Token::log_in(CK_FUNCTION_LIST& calls, const Session& session) {
  const std::lock_guard lock(login_mutex_);
  CK_TOKEN_INFO token{};
  if (const auto told = calls.C_GetTokenInfo(session.slot, &token); told != CKR_OK) {
    return token_trouble(uri_, "C_GetTokenInfo", told);
  }
  if ((token.flags & (CKF_USER_PIN_LOCKED | CKF_USER_PIN_FINAL_TRY)) != 0) {
    return login_trouble(uri_,
                         "its PIN is locked or has one try left, which the broker leaves alone",
                         "have the security officer of the token set the PIN again");
  }
  auto file = options_.read_pin(uri_.pin_file());
  if (!file) {
    return login_trouble(uri_, std::move(file).error().message,
                         "put the PIN into the file, closed to others");
  }
  const auto pin = pin_in(*file);
  if (pin.empty() || pin.size() > kMostPinBytes) {
    return login_trouble(uri_, uri_.pin_file().string() + " holds no PIN of 1 to 255 bytes",
                         "put the PIN into the file");
  }
  // A wrong PIN is tried once, not at every request: tokens lock after a few tries.
  if (refused_pin_ && (token.flags & kPinFlags) == flags_when_refused_ &&
      vmgs::crypto::equal_in_constant_time(refused_pin_->expose(), file->expose())) {
    return login_trouble(uri_, uri_.pin_file().string() + " still holds the PIN that was refused",
                         "put the right PIN into the file");
  }
  // PKCS#11 has no const; the PIN is only read.
  auto* const text = reinterpret_cast<CK_UTF8CHAR*>(const_cast<std::byte*>(pin.data()));
  const auto attempted = module_->log_in(
      token, tenant_, [&] { return calls.C_Login(session.handle, CKU_USER, text, pin.size()); });
  if (!attempted) {
    return login_trouble(uri_, "it is another tenant's token; two tenants cannot share one",
                         "give each tenant a token of its own");
  }
  const auto result = *attempted;
  // One login serves all sessions of this process with the token, and they are all this tenant's.
  if (result == CKR_OK || result == CKR_USER_ALREADY_LOGGED_IN) {
    refused_pin_.reset();
    return {};
  }
  if (is_lost(result) || is_busy(result)) {
    return token_trouble(uri_, "C_Login", result);
  }
  refused_pin_ = *std::move(file);
  if (calls.C_GetTokenInfo(session.slot, &token) == CKR_OK) {
    flags_when_refused_ = token.flags & kPinFlags;
  }
  return login_trouble(uri_, answered("C_Login", result),
                       "put the right PIN into " + uri_.pin_file().string());
}

}  // namespace keybroker::hsm
