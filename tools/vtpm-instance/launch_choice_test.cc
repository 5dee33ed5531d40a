// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/launch_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_code.h"
#include "tests/support/fake_tee.h"
#include "tools/vtpm-instance/tee_choice.h"

namespace tools::vtpm_instance {

// The two programs differ by who defines these; here it is the test.
const bool kSimulatedTee = false;

namespace {

std::optional<tests::support::FakeTee> the_tee;

}  // namespace

bool machine_has_tee() { return the_tee.has_value(); }

base::Result<std::unique_ptr<vtpm::tee::Tee>> open_tee(keybroker::protocol::TeeFamily,
                                                       base::ByteView) {
  if (!the_tee) {
    return base::fail(base::ErrorCode::kUnavailable, "this machine offers no TEE");
  }
  return std::unique_ptr<vtpm::tee::Tee>(std::make_unique<tests::support::FakeTee>(*the_tee));
}

namespace {

using keybroker::protocol::LaunchDocument;
using keybroker::protocol::Lifetime;
using keybroker::protocol::Protection;
using keybroker::protocol::TeeFamily;
using tests::support::error_code;
using tests::support::FakeTee;

// An ordinary machine, or with launched() a confidential VM.
class LaunchChoiceTest : public ::testing::Test {
 protected:
  LaunchChoiceTest() { the_tee.reset(); }

  ~LaunchChoiceTest() override { the_tee.reset(); }

  static base::Bytes document(TeeFamily family, Protection protection = Protection::kHardware) {
    LaunchDocument document;
    document.vm_id.fill(std::byte{0x11});
    document.tee_family = family;
    document.protection = protection;
    return *encode(document);
  }

  // The VM that this process is in was launched with these bytes.
  static void launched(base::ByteView bytes) {
    the_tee = FakeTee::snp();
    the_tee->machine.launch_digest = keybroker::protocol::launch_digest(bytes, TeeFamily::kSevSnp);
  }

  static InstanceSetup setup(base::Bytes bytes, Home home = Home::kHost) {
    InstanceSetup setup;
    setup.launch_document = std::move(bytes);
    setup.store = "vm.vmgs";
    setup.home = home;
    return setup;
  }
};

TEST_F(LaunchChoiceTest, TakesTheDocumentThatTheTeeVouchesFor) {
  const auto bytes = document(TeeFamily::kSevSnp);
  launched(bytes);

  for (const auto home : {Home::kHost, Home::kParavisor}) {
    const auto choice = choose_launch(setup(bytes, home));

    ASSERT_TRUE(choice) << choice.error().message;
    EXPECT_EQ(choice->protection, Protection::kHardware);
    EXPECT_TRUE(choice->tee);
  }
}

TEST_F(LaunchChoiceTest, RefusesAnotherDocument) {
  launched(document(TeeFamily::kSevSnp));

  EXPECT_EQ(error_code(choose_launch(setup(document(TeeFamily::kSevSnp, Protection::kNone)))),
            base::ErrorCode::kAuthentication);
}

TEST_F(LaunchChoiceTest, RefusesAConfidentialVmWithoutItsTee) {
  EXPECT_EQ(error_code(choose_launch(setup(document(TeeFamily::kSevSnp)))),
            base::ErrorCode::kUnavailable);
}

TEST_F(LaunchChoiceTest, AParavisorIsNeverStartedAsAnOrdinaryVm) {
  launched(document(TeeFamily::kSevSnp));
  const auto plain = document(TeeFamily::kNone, Protection::kHost);

  EXPECT_EQ(error_code(choose_launch(setup(plain, Home::kParavisor))), base::ErrorCode::kDenied);
  EXPECT_EQ(error_code(choose_launch(setup({}, Home::kParavisor))), base::ErrorCode::kDenied);
  auto ephemeral = setup({}, Home::kParavisor);
  ephemeral.lifetime = Lifetime::kEphemeral;
  ephemeral.protection = Protection::kNone;
  EXPECT_EQ(error_code(choose_launch(ephemeral)), base::ErrorCode::kDenied);

  // In the host home the TEE is that of the host itself, if it has one.
  EXPECT_TRUE(choose_launch(setup(plain, Home::kHost)));
}

TEST_F(LaunchChoiceTest, OnAnOrdinaryMachineEveryHomeRunsAnOrdinaryVm) {
  const auto plain = document(TeeFamily::kNone, Protection::kHost);

  for (const auto home : {Home::kHost, Home::kParavisor}) {
    EXPECT_TRUE(choose_launch(setup(plain, home)));
    EXPECT_TRUE(choose_launch(setup({}, home)));
  }
}

TEST_F(LaunchChoiceTest, TakesAVmOfABrokerButNoneThatArrives) {
  LaunchDocument wanted;
  wanted.vm_id.fill(std::byte{0x11});
  wanted.tenant.emplace().fill(std::byte{0x22});
  wanted.tee_family = TeeFamily::kSevSnp;
  wanted.broker_root_hashes.emplace_back().fill(std::byte{0x33});
  wanted.protection = Protection::kBroker;
  wanted.anchor_class = keybroker::protocol::AnchorClass::kBoot;
  const auto bytes = *encode(wanted);
  launched(bytes);

  const auto choice = choose_launch(setup(bytes));
  ASSERT_TRUE(choice) << choice.error().message;
  EXPECT_EQ(choice->protection, Protection::kBroker);
  EXPECT_EQ(choice->document, wanted);
  EXPECT_EQ(choice->launch_digest_bytes().size(), 32U);

  auto arriving = setup(bytes);
  arriving.incoming = true;
  const auto refused = choose_launch(arriving);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, ::testing::HasSubstr("does not arrive"));
}

}  // namespace
}  // namespace tools::vtpm_instance
