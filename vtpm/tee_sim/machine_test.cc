// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_code.h"

namespace vtpm::tee_sim {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using tests::support::error_code;

SnpMachine snp() { return *new_snp_machine(); }

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

void expect_refused(const std::string& text, const std::string& why) {
  const auto machine = parse_machine(text);
  ASSERT_EQ(error_code(machine), base::ErrorCode::kInvalidArgument) << why;
  EXPECT_THAT(machine.error().message, HasSubstr(why));
}

TEST(MachineTest, RoundTripsEveryKind) {
  auto turin = snp();
  turin.product = SnpProduct::kTurin;
  std::fill(turin.chip_id.begin() + 8, turin.chip_id.end(), std::byte{0});
  turin.current.fmc = 2;
  auto older = snp();
  older.report_version = 2;
  older.committed.microcode = 26;
  older.policy = 0xB0000;
  auto newest = *new_tdx_machine();
  newest.quote_form = keybroker::evidence::TdQuoteForm::kV5Body15;
  newest.rtmr[3].fill(std::byte{7});
  for (const auto& machine : {Machine(snp()), Machine(turin), Machine(older),
                              Machine(*new_tdx_machine()), Machine(newest)}) {
    const auto again = parse_machine(to_json(machine));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(*again, machine);
  }
}

TEST(MachineTest, IsWrittenForPeopleToEdit) {
  const auto text = to_json(snp());

  EXPECT_THAT(text, StartsWith("{\n  \"family\": \"sev-snp\",\n  \"product\": \"Genoa\",\n"));
  EXPECT_THAT(text, HasSubstr("  \"policy\": \"0x30000\",\n"));
  EXPECT_THAT(text, HasSubstr("\"committed\":{\"boot_loader\":10,\"tee\":0,\"snp\":27,"));
}

TEST(MachineTest, NewMachinesHaveChipsOfTheirOwn) {
  EXPECT_NE(snp().chip_id, snp().chip_id);
  EXPECT_NE(new_tdx_machine()->platform_id, new_tdx_machine()->platform_id);
  EXPECT_EQ(snp().measurement, snp().measurement);
}

TEST(MachineTest, NamesTheMemberThatIsWrong) {
  const auto text = to_json(snp());

  expect_refused("", "not a JSON object");
  expect_refused("[]", "not a JSON object");
  expect_refused(replaced(text, "\"vmpl\"", "\"vmlp\""), "vmpl is missing");
  expect_refused(replaced(text, "\"vmpl\": 0", "\"vmpl\": 0, \"more\": 1"), "more is not known");
  expect_refused(replaced(text, "\"vmpl\": 0", "\"vmpl\": 4"), "vmpl is not a number from 0 to 3");
  expect_refused(replaced(text, "\"vmpl\": 0", "\"vmpl\": -1"), "vmpl is not a number");
  expect_refused(replaced(text, "\"0x30000\"", "\"30000\""), "policy is not a number");
  expect_refused(replaced(text, "\"0x30000\"", "\"0x3000g\""), "policy is not a number");
  expect_refused(replaced(text, "\"measurement\": \"", "\"measurement\": \"00"),
                 "measurement is not 48 bytes");
  expect_refused(replaced(text, "\"microcode\":27", "\"microcode\":256"),
                 "tcb.current.microcode is not a number from 0 to 255");
  expect_refused(replaced(text, "\"snp\":27", "\"snp\":27,\"fmc\":1"),
                 "tcb.current.fmc is not known");
  expect_refused(replaced(text, "Genoa", "Rome"), "product 'Rome'");
  expect_refused(replaced(text, "sev-snp", "sgx"), "family 'sgx'");
  expect_refused(replaced(to_json(*new_tdx_machine()), "\"4\"", "\"6\""), "quote_form '6'");
}

TEST(MachineTest, RefusesWhatNoMachineCanBe) {
  auto machine = snp();
  machine.policy = 0x10000;
  expect_refused(to_json(machine), "bit 17");

  machine = snp();
  machine.committed.snp = 28;
  expect_refused(to_json(machine), "cannot be above the current one");

  machine = snp();
  machine.reported.microcode = 28;
  expect_refused(to_json(machine), "cannot be above the current one");

  machine = snp();
  machine.report_version = 4;
  expect_refused(to_json(machine), "report_version");

  machine = snp();
  machine.product = SnpProduct::kTurin;
  expect_refused(to_json(machine), "chip_id of Turin");
  std::fill(machine.chip_id.begin() + 8, machine.chip_id.end(), std::byte{0});
  machine.report_version = 2;
  expect_refused(to_json(machine), "report_version");
}

}  // namespace
}  // namespace vtpm::tee_sim
