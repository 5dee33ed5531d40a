// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include "tests/integration/broker_fixture.h"

namespace tests::integration {

// BrokerReleaseCase is a test of a broker with one VM on record.
class BrokerReleaseCase : public ::testing::Test {
 protected:
  BrokerReleaseCase() { register_vm(at_, document_); }

  TestInstance instance(std::uint8_t boot = 1) { return TestInstance(at_, document_, boot); }

  // The newest line of the VM's log.
  store::AuditRow last_line(const protocol::Uuid& vm_id) {
    store::LogQuery query;
    query.subject = store::vm_subject(vm_id);
    query.most = 1;
    const auto lines = at_.records.log(query);
    EXPECT_TRUE(lines && !lines->empty());
    return lines && !lines->empty() ? lines->front() : store::AuditRow{};
  }

  TestBroker at_;
  protocol::LaunchDocument document_ = document_for(at_, 0xA1);
};

}  // namespace tests::integration
