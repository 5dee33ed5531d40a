// SPDX-License-Identifier: Apache-2.0
#include "tests/support/record_fixture.h"

#include <cstdlib>
#include <iostream>
#include <utility>

#include "keybroker/store/postgres.h"
#include "keybroker/store/sqlite.h"
#include "tests/support/postgres_server.h"

namespace tests::support {

namespace {

[[noreturn]] void end(const base::Error& error) {
  std::cerr << "the fixture needs this to succeed: " << error.message << '\n';
  std::abort();
}

template <typename T>
T value_or_end(base::Result<T> result) {
  if (!result) {
    end(result.error());
  }
  return *std::move(result);
}

// One server for all tests of a program, started by the first that needs it.
const PostgresServer& server() {
  static const PostgresServer kServer = value_or_end(PostgresServer::start());
  return kServer;
}

template <typename Granted, typename Outcome>
Granted granted_as(const base::Result<Outcome>& outcome) {
  if (!outcome) {
    ADD_FAILURE() << outcome.error().message;
    return {};
  }
  if (const auto* granted = std::get_if<Granted>(&*outcome)) {
    return *granted;
  }
  ADD_FAILURE() << "refused: " << store::name(std::get<1>(*outcome));
  return {};
}

template <typename Refusal, typename Outcome>
std::optional<Refusal> refused_as(const base::Result<Outcome>& outcome) {
  if (!outcome) {
    ADD_FAILURE() << outcome.error().message;
    return std::nullopt;
  }
  const auto* refusal = std::get_if<Refusal>(&*outcome);
  return refusal ? std::optional(*refusal) : std::nullopt;
}

}  // namespace

std::shared_ptr<const store::RecordSeal> seal() {
  return store::RecordSeal::under(base::Secret<32>::zero());
}

store::Act act_at(keybroker::crypto::Time now) {
  static std::uint64_t count = 0;
  ++count;
  store::Act made{.now = now, .audit = "{\"who\":\"test\"}"};
  for (std::size_t i = 0; i < 8; ++i) {
    made.request_id[i] = static_cast<std::byte>(count >> (8 * i));
  }
  return made;
}

store::VmRegistration registration() {
  store::VmRegistration made;
  made.vm_id = kVm;
  made.tenant = kTenant;
  made.launch.document = base::Bytes(100, std::byte{1});
  made.launch.digest.bytes.fill(std::byte{2});
  made.launch.family = keybroker::protocol::TeeFamily::kSevSnp;
  made.launch.execution_policy = base::Bytes(10, std::byte{3});
  made.fde_mode = "guest";
  made.region = "eu-1";
  made.policies = {{kTenant, {}}, {kOwner, {}}};
  return made;
}

store::VmKey key() { return {1, base::Bytes(40, std::byte{4}), 1}; }

store::ClaimRequest claim_of(std::uint8_t value, std::uint64_t seen, std::uint8_t nonce) {
  store::ClaimRequest made;
  made.vm_id = kVm;
  made.boot_id = boot(value);
  made.epoch_seen = seen;
  made.conf_version = 1;
  made.nonce.fill(std::byte{nonce});
  made.nonce_expiry = kNow;
  return made;
}

store::AnchorRequest anchor_of(std::uint8_t value, std::uint64_t epoch, std::uint64_t sequence) {
  store::AnchorRequest made;
  made.vm_id = kVm;
  made.boot_id = boot(value);
  made.epoch = epoch;
  made.state.sequence = sequence;
  made.state.digest.fill(static_cast<std::byte>(sequence));
  made.ek_name = base::Bytes(34, std::byte{5});
  made.ak_name = base::Bytes(34, std::byte{6});
  return made;
}

store::Claimed granted(const base::Result<store::ClaimOutcome>& outcome) {
  return granted_as<store::Claimed>(outcome);
}

store::Anchored granted(const base::Result<store::AnchorOutcome>& outcome) {
  return granted_as<store::Anchored>(outcome);
}

std::optional<store::ClaimRefusal> refused(const base::Result<store::ClaimOutcome>& outcome) {
  return refused_as<store::ClaimRefusal>(outcome);
}

std::optional<store::AnchorRefusal> refused(const base::Result<store::AnchorOutcome>& outcome) {
  return refused_as<store::AnchorRefusal>(outcome);
}

void register_one(store::BrokerRecords& records) {
  value_or_end(records.create_tenant({kTenant, "A"}, act()));
  value_or_end(records.create_tenant({kOwner, "B"}, act()));
  EXPECT_TRUE(records.put_policy({}, "{}", kNow));
  EXPECT_TRUE(value_or_end(records.register_vm(registration(), key(), act())));
}

store::AuditRow last_line(store::BrokerRecords& records) {
  store::LogQuery query;
  query.subject = store::vm_subject(kVm);
  query.most = 1;
  const auto lines = value_or_end(records.log(query));
  return lines.empty() ? store::AuditRow{} : lines[0];
}

::testing::internal::ParamGenerator<Engine> engines() {
  return ::testing::Values(Engine::kSqlite, Engine::kPostgres);
}

std::string engine_name(const ::testing::TestParamInfo<Engine>& info) {
  return info.param == Engine::kSqlite ? "Sqlite" : "Postgres";
}

RecordFixture::RecordFixture() {
  if (GetParam() == Engine::kPostgres) {
    static int databases = 0;
    database_ = "records" + std::to_string(++databases);
    if (auto made = server().create_database(database_); !made) {
      end(made.error());
    }
  }
}

RecordFixture::~RecordFixture() = default;

std::unique_ptr<store::Sql> RecordFixture::connect() const {
  return value_or_end(GetParam() == Engine::kSqlite
                          ? store::open_sqlite(folder_ / "records.sqlite")
                          : store::open_postgres(server().where(database_)));
}

store::BrokerRecords RecordFixture::open() const {
  return value_or_end(store::BrokerRecords::over(connect(), seal()));
}

}  // namespace tests::support
