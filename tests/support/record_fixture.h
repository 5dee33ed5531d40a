// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <variant>

#include "keybroker/store/broker_records.h"
#include "tests/support/temp_folder.h"

namespace tests::support {

namespace store = keybroker::store;

inline store::Uuid id(std::uint8_t value) {
  store::Uuid made;
  made.fill(std::byte{value});
  return made;
}

inline const store::Uuid kTenant = id(0xA0);
inline const store::Uuid kOwner = id(0xA1);
inline const store::Uuid kVm = id(0x10);
inline const keybroker::crypto::Time kNow = *keybroker::crypto::parse_time("2026-01-01T00:00:00Z");

// seal() is that of every broker of the tests.
std::shared_ptr<const store::RecordSeal> seal();

// act() is something done with a request id that no other has.
store::Act act_at(keybroker::crypto::Time now);

inline store::Act act() { return act_at(kNow); }

inline store::BootId boot(std::uint8_t value) { return id(value); }

store::VmRegistration registration();
store::VmKey key();

// claim_of() is a claim of boot `value` over a record of epoch `seen`, by a nonce of its own.
store::ClaimRequest claim_of(std::uint8_t value, std::uint64_t seen, std::uint8_t nonce = 1);
store::AnchorRequest anchor_of(std::uint8_t value, std::uint64_t epoch, std::uint64_t sequence);

// What was granted, or refused; a test that expected the other fails.
store::Claimed granted(const base::Result<store::ClaimOutcome>& outcome);
store::Anchored granted(const base::Result<store::AnchorOutcome>& outcome);
std::optional<store::ClaimRefusal> refused(const base::Result<store::ClaimOutcome>& outcome);
std::optional<store::AnchorRefusal> refused(const base::Result<store::AnchorOutcome>& outcome);

// register_one() puts two tenants, a policy and kVm on record.
void register_one(store::BrokerRecords& records);

// last_line() is the newest line of kVm's log.
store::AuditRow last_line(store::BrokerRecords& records);

enum class Engine { kSqlite, kPostgres };

::testing::internal::ParamGenerator<Engine> engines();
std::string engine_name(const ::testing::TestParamInfo<Engine>& info);

// RecordFixture is an empty database of one engine for each test.
class RecordFixture : public ::testing::TestWithParam<Engine> {
 protected:
  RecordFixture();
  ~RecordFixture() override;

  // Each is a connection of its own.
  [[nodiscard]] std::unique_ptr<store::Sql> connect() const;
  [[nodiscard]] store::BrokerRecords open() const;

  TempFolder folder_;
  std::string database_;
};

}  // namespace tests::support
