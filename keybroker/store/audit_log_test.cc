// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/audit_log.h"

#include <gtest/gtest.h>

#include "keybroker/store/columns.h"
#include "tests/support/error_code.h"
#include "tests/support/record_fixture.h"

namespace keybroker::store {
namespace {

using base::ErrorCode;
using namespace tests::support;

const Subject kVmLog = vm_subject(kVm);

class AuditLogTest : public RecordFixture {
 protected:
  AuditLogTest() : records_(open()) {
    register_one(records_);
    for (std::uint8_t i = 0; i < 5; ++i) {
      granted(records_.claim(claim_of(i, i, i), act()));
    }
  }

  // What somebody does who can write the database.
  void tamper(std::string_view statement, const std::vector<Value>& parameters = {}) {
    const auto done = records_.sql().execute(statement, parameters);
    ASSERT_TRUE(done) << done.error().message;
  }

  [[nodiscard]] std::string finding() {
    const auto verified = verify_chain(records_.sql(), kVmLog);
    EXPECT_TRUE(verified || verified.error().code == ErrorCode::kCorrupt);
    return verified ? "intact" : verified.error().message;
  }

  BrokerRecords records_;
};

INSTANTIATE_TEST_SUITE_P(Engines, AuditLogTest, engines(), engine_name);

TEST_P(AuditLogTest, AChainThatNobodyTouchedIsIntact) {
  EXPECT_EQ(*verify_chain(records_.sql(), kVmLog), 6U);
  EXPECT_EQ(*verify_chain(records_.sql(), tenant_subject(kTenant)), 1U);
  EXPECT_EQ(*verify_chain(records_.sql(), vm_subject(id(0x66))), 0U);
  EXPECT_EQ(*subjects(records_.sql(), std::nullopt, 10),
            (std::vector{kVmLog, tenant_subject(kTenant), tenant_subject(kOwner)}));
  EXPECT_EQ(*subjects(records_.sql(), kVmLog, 1), std::vector{tenant_subject(kTenant)});
}

TEST_P(AuditLogTest, ALongChainIsIntact) {
  ASSERT_TRUE(records_.sql().transaction([&]() -> base::Result<Then> {
    for (int i = 0; i < 2100; ++i) {
      TRY(append_audit(records_.sql(), vm_subject(id(0x77)), "noted", act()));
    }
    return Then::kCommit;
  }));
  EXPECT_EQ(*verify_chain(records_.sql(), vm_subject(id(0x77))), 2100U);
}

TEST_P(AuditLogTest, ALineThatIsMissingIsFound) {
  tamper("DELETE FROM audit WHERE subject = $1 AND seq = 3", {value_of(kVmLog)});
  EXPECT_NE(finding().find("line 3: is missing"), std::string::npos) << finding();
}

TEST_P(AuditLogTest, TheLastLineMissingIsFound) {
  tamper("DELETE FROM audit WHERE subject = $1 AND seq = 6", {value_of(kVmLog)});
  EXPECT_NE(finding().find("line 6: is missing"), std::string::npos) << finding();
}

TEST_P(AuditLogTest, AnyChangeOfALineIsFound) {
  for (const std::string_view change :
       {"UPDATE audit SET content = content || ' ' WHERE subject = $1 AND seq = 4",
        "UPDATE audit SET kind = 'refused' WHERE subject = $1 AND seq = 4",
        "UPDATE audit SET reason = 'x' WHERE subject = $1 AND seq = 4",
        "UPDATE audit SET time = time + 1 WHERE subject = $1 AND seq = 4",
        "UPDATE audit SET request_id = substr(subject, 2) WHERE subject = $1 AND seq = 4"}) {
    auto saved = *records_.log_line(kVmLog, 4);
    tamper(change, {value_of(kVmLog)});
    EXPECT_NE(finding().find("line 4: is not what was written"), std::string::npos) << change;
    tamper(
        "UPDATE audit SET content = $2, kind = $3, reason = $4, time = $5, request_id = $6 "
        "WHERE subject = $1 AND seq = 4",
        {value_of(kVmLog), saved.content, saved.kind, saved.reason, value_of(saved.time),
         value_of(saved.request_id)});
    EXPECT_EQ(finding(), "intact");
  }
}

TEST_P(AuditLogTest, ALineWithAHashOfItsOwnIsFound) {
  auto line = *records_.log_line(kVmLog, 4);
  line.content = "{}";
  line.hash = audit_hash(records_.log_line(kVmLog, 3)->hash, line);
  tamper("UPDATE audit SET content = $2, hash = $3 WHERE subject = $1 AND seq = 4",
         {value_of(kVmLog), line.content, value_of(line.hash)});
  EXPECT_NE(finding().find("line 5: is not what was written"), std::string::npos) << finding();
}

TEST_P(AuditLogTest, LinesInAnotherOrderAreFound) {
  tamper("UPDATE audit SET seq = 100 WHERE subject = $1 AND seq = 3", {value_of(kVmLog)});
  tamper("UPDATE audit SET seq = 3 WHERE subject = $1 AND seq = 4", {value_of(kVmLog)});
  tamper("UPDATE audit SET seq = 4 WHERE subject = $1 AND seq = 100", {value_of(kVmLog)});
  EXPECT_NE(finding().find("line 3: is not what was written"), std::string::npos) << finding();
}

TEST_P(AuditLogTest, AHeadThatWasSetBackIsFound) {
  tamper("UPDATE chain SET seq = 5, head = $2 WHERE subject = $1",
         {value_of(kVmLog), value_of(records_.log_line(kVmLog, 5)->hash)});
  EXPECT_NE(finding().find("line 6: is past the end"), std::string::npos) << finding();
}

TEST_P(AuditLogTest, ARefusalIsALineOnce) {
  const auto once = act();
  ASSERT_TRUE(records_.refuse(kVm, "debug", once));
  ASSERT_TRUE(records_.refuse(kVm, "debug", once));
  ASSERT_TRUE(records_.refuse(kVm, "stale-report", once));
  ASSERT_TRUE(records_.refuse(id(0x66), "unregistered", act()));

  LogQuery query;
  query.vms_of = kTenant;
  query.kind = "refused";
  const auto lines = *records_.log(query);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].reason, "stale-report");
  EXPECT_EQ(lines[1].reason, "debug");
  EXPECT_EQ(last_line(records_), lines[0]);
  EXPECT_EQ(*verify_chain(records_.sql(), vm_subject(Uuid{})), 1U);
  EXPECT_EQ(*verify_chain(records_.sql(), kVmLog), 8U);
}

TEST_P(AuditLogTest, TheLogComesInPagesNewestFirst) {
  std::vector<AuditRow> all;
  LogQuery query;
  query.most = 4;
  for (;;) {
    const auto page = *records_.log(query);
    if (page.empty()) {
      break;
    }
    all.insert(all.end(), page.begin(), page.end());
    query.before = page.back();
  }
  EXPECT_EQ(all.size(), 8U);
  LogQuery whole;
  EXPECT_EQ(*records_.log(whole), all);
  whole.vms_of = kOwner;
  EXPECT_TRUE(records_.log(whole)->empty());
  whole.vms_of = kTenant;
  EXPECT_EQ(records_.log(whole)->size(), 6U);
}

}  // namespace
}  // namespace keybroker::store
