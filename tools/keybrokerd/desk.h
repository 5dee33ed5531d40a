// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "keybroker/authority/instance_requests.h"
#include "keybroker/broker/anchor.h"
#include "keybroker/broker/attestation_token.h"
#include "keybroker/broker/worker.h"
#include "keybroker/hsm/tenant_keys.h"
#include "keybroker/store/broker_records.h"
#include "keybroker/store/certificate_database.h"
#include "tools/config/keybrokerd_settings.h"
#include "tools/keybrokerd/kept_collateral.h"
#include "vmgs/base/result.h"

namespace tools::keybrokerd {

// What all desks share; immutable, or for any thread.
struct Office {
  keybroker::broker::BrokerRules rules;
  std::shared_ptr<const keybroker::store::RecordSeal> seal;  // of all desks' records
  keybroker::broker::RequestLimit limit;
  keybroker::hsm::TenantKeys keys;
  std::unique_ptr<KeptCollateral> collateral;
  std::map<keybroker::evidence::AkClass, keybroker::authority::IssuingCa> cas;
  keybroker::authority::AuthorityRules certificate_rules;
  std::vector<keybroker::crypto::Certificate> roots;    // of answers, for launch documents
  std::optional<keybroker::broker::TokenRules> tokens;  // if guests are served
};

// Desk is what one worker answers requests with: connections of its own to the records. Its parts
// refer to each other.
class Desk {
 public:
  Desk(Office& office, keybroker::store::BrokerRecords records,
       keybroker::store::CertificateDatabase certificates, keybroker::hsm::KeyEncryptionKeys& keys);
  Desk(const Desk&) = delete;
  Desk& operator=(const Desk&) = delete;

  Office& office;
  keybroker::store::BrokerRecords records;
  keybroker::store::CertificateDatabase certificates;
  keybroker::authority::Authority authority;
  keybroker::broker::Worker worker;

  [[nodiscard]] keybroker::broker::Certifiers certifiers() {
    return {&production_, simulated_ ? &*simulated_ : nullptr};
  }

 private:
  keybroker::authority::InstanceRequests production_;
  std::optional<keybroker::authority::InstanceRequests> simulated_;
};

// Desks has one for each worker thread, so that there is always one free for a thread that asks.
class Desks {
 public:
  void add(std::unique_ptr<Desk> desk) {
    free_.push_back(desk.get());
    all_.push_back(std::move(desk));
  }

  // with() has `work` done at a desk. Any worker thread.
  template <typename Work>
  auto with(Work&& work) {
    const Seat seat(*this);
    return work(*seat.desk);
  }

 private:
  struct Seat {
    explicit Seat(Desks& of) : desks(of) {
      const std::lock_guard lock(desks.mutex_);
      desk = desks.free_.back();
      desks.free_.pop_back();
    }

    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;

    ~Seat() {
      const std::lock_guard lock(desks.mutex_);
      desks.free_.push_back(desk);
    }

    Desks& desks;
    Desk* desk;
  };

  std::vector<std::unique_ptr<Desk>> all_;
  std::mutex mutex_;
  std::vector<Desk*> free_;
};

}  // namespace tools::keybrokerd
