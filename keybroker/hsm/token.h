// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "keybroker/hsm/module.h"
#include "keybroker/hsm/token_keys.h"
#include "keybroker/hsm/token_uri.h"

namespace keybroker::hsm {

// An open session of a logged-in user, and the keys it has found. Handles of sessions and objects
// mean something only within one generation of the module.
struct Session {
  CK_SESSION_HANDLE handle = 0;
  std::uint64_t generation = 0;
  std::uint64_t round = 0;  // counts what Token::lose() has given up
  CK_SLOT_ID slot = 0;
  CK_TOKEN_INFO token{};
  std::map<std::string, CK_OBJECT_HANDLE> keys{};
};

// Token is one tenant's token: a login and a few sessions that its callers share. A token that went
// away is given up whole; the next caller looks for it again and logs in anew. Any thread.
class Token {
 public:
  Token(Uuid tenant, TokenUri uri, std::shared_ptr<Module> module, const TokenOptions& options)
      : tenant_(tenant), uri_(std::move(uri)), module_(std::move(module)), options_(options) {}

  Token(const Token&) = delete;
  Token& operator=(const Token&) = delete;

  // An Operation does its work in a logged-in session with a key and returns what the module
  // answered. It may be called a second time, after the token was found anew.
  using Operation = std::function<CK_RV(CK_FUNCTION_LIST& calls, CK_SESSION_HANDLE session,
                                        CK_OBJECT_HANDLE key)>;

  // with_key() runs `operation` and gives its last answer. An error where no session or key was to
  // be had, or where the token was lost under the operation twice.
  TokenResult<CK_RV> with_key(const KeyUri& key, const Operation& operation);

  // generate() makes an AES key of 256 bits that cannot leave the token, under a random CKA_ID.
  TokenResult<KeyUri> generate(std::string_view label);

  [[nodiscard]] const TokenUri& uri() const { return uri_; }

 private:
  using Work = std::function<TokenResult<CK_RV>(CK_FUNCTION_LIST& calls, Session& session)>;

  TokenResult<CK_RV> in_session(const Work& work);
  TokenResult<CK_RV> as_one_caller(const Work& work);
  TokenResult<CK_RV> try_in_session(const Module::Use& use, const Work& work);
  TokenResult<Session> borrow(const Module::Use& use);
  TokenResult<Session> open(const Module::Use& use);
  void give_back(const Module::Use& use, Session session, bool sound);
  void lose();
  TokenResult<Session> find_slot(const Module::Use& use);
  TokenResult<void> log_in(CK_FUNCTION_LIST& calls, const Session& session);

  const Uuid tenant_;
  const TokenUri uri_;
  const std::shared_ptr<Module> module_;
  const TokenOptions options_;

  std::mutex mutex_;  // over what follows
  std::condition_variable given_back_;
  std::vector<Session> idle_;
  std::size_t open_ = 0;  // idle and in use
  std::size_t callers_ = 0;
  std::uint64_t round_ = 0;

  std::mutex login_mutex_;  // over what follows, and one login at a time
  std::optional<base::SecretBytes> refused_pin_;
  CK_FLAGS flags_when_refused_ = 0;
};

}  // namespace keybroker::hsm
