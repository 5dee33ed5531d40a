// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <p11-kit/pkcs11.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>

#include "keybroker/hsm/key_encryption.h"

namespace keybroker::hsm {

// TokenResult is a T, or what is the matter with a token.
template <typename T>
using TokenResult = tl::expected<T, KekStatus>;

inline tl::unexpected<KekStatus> trouble(KekState state, std::string finding, std::string remedy) {
  return tl::unexpected(KekStatus{state, std::move(finding), std::move(remedy)});
}

// Module is one PKCS#11 library in this process, loaded when first used. Many libraries look for
// tokens only when they are initialised, so a token that went away and came back is found by doing
// that again, which ends every session of every token of the library. Any thread.
class Module {
 public:
  Module(std::filesystem::path path, std::chrono::milliseconds rescan_interval)
      : path_(std::move(path)), rescan_interval_(rescan_interval) {}

  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;
  ~Module();

  // Use holds the library initialised, as of one generation: handles of another mean nothing. A
  // thread has at most one.
  struct Use {
    std::shared_lock<std::shared_mutex> lock;
    CK_FUNCTION_LIST* calls = nullptr;
    std::uint64_t generation = 0;
  };

  // use() loads and initialises the library if need be. token-absent if that fails.
  TokenResult<Use> use();

  // rescan() initialises the library again, waiting until nobody uses it. It does nothing and
  // returns true if somebody did since `seen`; it does nothing and returns false if the last time
  // is less than the interval ago, so that one tenant's missing token does not cost the others
  // their sessions at every request.
  bool rescan(std::uint64_t seen);

  // log_in() gives what `attempt` answers, which calls C_Login, and nothing without calling it if
  // another tenant has logged in to that token before: PKCS#11 has one login for a process and a
  // token, so that the second tenant would need no PIN. One attempt at a time.
  std::optional<CK_RV> log_in(const CK_TOKEN_INFO& token, const Uuid& tenant,
                              const std::function<CK_RV()>& attempt);

 private:
  TokenResult<void> start();  // under the lock, exclusively
  void stop();                // the same

  const std::filesystem::path path_;
  const std::chrono::milliseconds rescan_interval_;
  std::shared_mutex mutex_;
  CK_FUNCTION_LIST* calls_ = nullptr;
  bool started_ = false;
  std::uint64_t generation_ = 0;
  std::chrono::steady_clock::time_point last_scan_;
  std::mutex login_mutex_;               // over what follows
  std::map<std::string, Uuid> tenants_;  // by maker, model and serial number of the token
};

}  // namespace keybroker::hsm
