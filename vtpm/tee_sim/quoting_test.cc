// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/quoting.h"

#include <gtest/gtest.h>

#include "keybroker/evidence/td_quote.h"
#include "tests/support/error_code.h"
#include "tests/support/simulated_mints.h"
#include "tests/support/temp_folder.h"
#include "vtpm/tee_sim/simulated_tdx.h"

namespace vtpm::tee_sim {
namespace {

namespace evidence = keybroker::evidence;
using tests::support::error_code;
using tests::support::mint_begin;

class QuotingServiceTest : public ::testing::Test {
 protected:
  [[nodiscard]] MachineFolder folder(const std::string& name = "machine") const {
    return *MachineFolder::open(temp_ / name);
  }

  [[nodiscard]] base::Bytes td_report(const std::string& folder_name = "machine") const {
    tee::ReportData data{};
    data.fill(std::byte{0x42});
    auto tee = *SimulatedTdxTee::open(folder(folder_name), machine_, {}, mint_begin());
    return *tee.hardware_report(data);
  }

  tests::support::TempFolder temp_;
  TdxMachine machine_ = *new_tdx_machine();
};

TEST_F(QuotingServiceTest, QuotesWhatAReportOfItsMachineSays) {
  machine_.rtmr[2].fill(std::byte{0x22});
  const auto service = *QuotingService::open(folder(), machine_, mint_begin());
  const auto report = td_report();

  const auto quoted = service.quote(report);

  ASSERT_TRUE(quoted) << quoted.error().message;
  const auto quote = *evidence::decode_td_quote(*quoted);
  const auto said = *evidence::decode_td_report(report);
  EXPECT_EQ(quote.body.report_data, said.report_data);
  EXPECT_EQ(quote.body.rtmr, said.rtmr);
  EXPECT_EQ(quote.body.mr_td, said.mr_td);
  EXPECT_EQ(quote.body.attributes.value(), said.attributes);
}

TEST_F(QuotingServiceTest, RefusesAReportOfAnotherMachine) {
  const auto service = *QuotingService::open(folder(), machine_, mint_begin());

  EXPECT_EQ(error_code(service.quote(td_report("other"))), base::ErrorCode::kAuthentication);
}

TEST_F(QuotingServiceTest, RefusesAReportThatSomebodyChanged) {
  const auto service = *QuotingService::open(folder(), machine_, mint_begin());
  const auto genuine = td_report();
  for (const std::size_t position : {0U, 17U, 130U, 230U, 300U, 530U, 730U, 1000U}) {
    auto changed = genuine;
    changed[position] ^= std::byte{1};
    EXPECT_FALSE(service.quote(changed)) << position;
  }
  // One whose inner hashes are right again still has the MAC of another.
  auto raw = base::load<evidence::TdReportLayout>(
      std::span<const std::byte>(genuine).first<evidence::kTdReportBytes>());
  raw.mr_td[0] ^= std::byte{1};
  evidence::fill_inner_hashes(raw);
  EXPECT_EQ(error_code(service.quote(base::view(raw))), base::ErrorCode::kAuthentication);
  EXPECT_EQ(error_code(service.quote(base::ByteView(genuine).first(1023))),
            base::ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace vtpm::tee_sim
