// SPDX-License-Identifier: Apache-2.0
#include "keybroker/hsm/module.h"

#include <p11-kit/p11-kit.h>

#include "keybroker/hsm/return_value.h"

namespace keybroker::hsm {

Module::~Module() {
  stop();
  if (calls_ != nullptr) {
    p11_kit_module_release(calls_);
  }
}

TokenResult<Module::Use> Module::use() {
  // Twice, because between the two locks a rescan may find the library gone again.
  for (auto attempt = 0; attempt < 2; ++attempt) {
    std::shared_lock shared(mutex_);
    if (started_) {
      return Use{std::move(shared), calls_, generation_};
    }
    shared.unlock();
    const std::unique_lock alone(mutex_);
    if (auto ready = start(); !ready) {
      return tl::unexpected(std::move(ready).error());
    }
  }
  return trouble(KekState::kTokenAbsent,
                 "the PKCS#11 module " + path_.string() + " does not stay initialised",
                 "see that the token is there; the broker tries again by itself");
}

bool Module::rescan(std::uint64_t seen) {
  const std::unique_lock alone(mutex_);
  if (generation_ != seen) {
    return true;
  }
  if (std::chrono::steady_clock::now() - last_scan_ < rescan_interval_) {
    return false;
  }
  stop();
  // use() says what the matter is if this fails.
  return start().has_value();
}

std::optional<CK_RV> Module::log_in(const CK_TOKEN_INFO& token, const Uuid& tenant,
                                    const std::function<CK_RV()>& attempt) {
  std::string identity;
  const auto add = [&](const auto& field) { identity.append(std::begin(field), std::end(field)); };
  add(token.manufacturerID);
  add(token.model);
  add(token.serialNumber);

  const std::lock_guard lock(login_mutex_);
  const auto known = tenants_.find(identity);
  if (known != tenants_.end() && known->second != tenant) {
    return std::nullopt;
  }
  const auto result = attempt();
  if (result == CKR_OK || result == CKR_USER_ALREADY_LOGGED_IN) {
    tenants_.emplace(identity, tenant);
  }
  return result;
}

TokenResult<void> Module::start() {
  if (started_) {
    return {};
  }
  if (calls_ == nullptr) {
    calls_ = p11_kit_module_load(path_.c_str(), 0);
    if (calls_ == nullptr) {
      const auto* why = p11_kit_message();
      return trouble(
          KekState::kTokenAbsent,
          "the PKCS#11 module " + path_.string() +
              " cannot be loaded: " + (why == nullptr ? "no reason given" : why),
          "install the module, or correct module-path; the broker tries again by itself");
    }
  }
  // p11-kit initialises with CKF_OS_LOCKING_OK: the library is called from many threads.
  if (const auto result = p11_kit_module_initialize(calls_); result != CKR_OK) {
    return trouble(
        KekState::kTokenAbsent,
        "the PKCS#11 module " + path_.string() +
            " cannot be initialised: C_Initialize: " + return_value_name(result),
        "see that the token is attached and its configuration readable; the broker tries "
        "again by itself");
  }
  started_ = true;
  ++generation_;
  last_scan_ = std::chrono::steady_clock::now();
  return {};
}

void Module::stop() {
  if (started_) {
    // Whatever it answers, its handles are dead and the next C_Initialize tells more.
    p11_kit_module_finalize(calls_);
    started_ = false;
  }
}

}  // namespace keybroker::hsm
