// SPDX-License-Identifier: Apache-2.0
#include "vtpm/sealing/launch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_code.h"
#include "tests/support/fake_tee.h"

namespace vtpm::sealing {
namespace {

using keybroker::protocol::LaunchDocument;
using keybroker::protocol::Protection;
using keybroker::protocol::TeeFamily;
using ::testing::AllOf;
using ::testing::HasSubstr;
using tests::support::error_code;
using tests::support::FakeTee;

LaunchDocument document_for(TeeFamily family) {
  LaunchDocument document;
  document.vm_id.fill(std::byte{0x11});
  document.tee_family = family;
  document.protection = family == TeeFamily::kNone ? Protection::kHost : Protection::kHardware;
  return document;
}

base::Bytes bytes_for(TeeFamily family) { return *encode(document_for(family)); }

// A VM that was launched with these bytes.
FakeTee launched_with(FakeTee fake, base::ByteView document) {
  fake.machine.launch_digest = keybroker::protocol::launch_digest(document, fake.machine.family);
  return fake;
}

TEST(LaunchTest, AcceptsTheDocumentThatTheReportVouchesFor) {
  for (auto& fake : {FakeTee::snp(), FakeTee::tdx()}) {
    const auto bytes = bytes_for(fake.machine.family);
    auto tee = launched_with(fake, bytes);

    const auto launch = verify_launch(bytes, tee);

    ASSERT_TRUE(launch) << launch.error().message;
    EXPECT_EQ(launch->document, document_for(fake.machine.family));
    EXPECT_EQ(launch->digest, tee.machine.launch_digest);
  }
}

TEST(LaunchTest, RefusesAnotherDocumentWithBothDigests) {
  const auto bytes = bytes_for(TeeFamily::kSevSnp);
  auto tee = launched_with(FakeTee::snp(), bytes);
  auto other = document_for(TeeFamily::kSevSnp);
  other.protection = Protection::kNone;

  const auto launch = verify_launch(*encode(other), tee);

  ASSERT_EQ(error_code(launch), base::ErrorCode::kAuthentication);
  const auto given = launch_digest(*encode(other), TeeFamily::kSevSnp);
  EXPECT_THAT(launch.error().message,
              AllOf(HasSubstr("its digest is " + base::to_hex(given.bytes)),
                    HasSubstr("HOST_DATA of this VM's own report is " +
                              base::to_hex(tee.machine.launch_digest.bytes)),
                    HasSubstr("launch the VM again")));
}

TEST(LaunchTest, RefusesEveryAlteredByteBeforeItReadsAField) {
  const auto bytes = bytes_for(TeeFamily::kTdx);
  auto tee = launched_with(FakeTee::tdx(), bytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto altered = bytes;
    altered[i] ^= std::byte{1};
    // kCorrupt would say that the document was read before it was verified.
    EXPECT_EQ(error_code(verify_launch(altered, tee)), base::ErrorCode::kAuthentication) << i;
  }
  const auto garbage = verify_launch(base::bytes_of("garbage"), tee);
  ASSERT_EQ(error_code(garbage), base::ErrorCode::kAuthentication);
  EXPECT_THAT(garbage.error().message, HasSubstr("MRCONFIGID"));
}

TEST(LaunchTest, RefusesAVouchedForDocumentThatIsNotCanonical) {
  auto bytes = bytes_for(TeeFamily::kSevSnp);
  bytes.push_back(std::byte{0x78});
  bytes.push_back(std::byte{0x01});
  auto tee = launched_with(FakeTee::snp(), bytes);

  EXPECT_EQ(error_code(verify_launch(bytes, tee)), base::ErrorCode::kCorrupt);
}

TEST(LaunchTest, RefusesADocumentForAnotherFamily) {
  for (const auto family : {TeeFamily::kNone, TeeFamily::kTdx}) {
    const auto bytes = bytes_for(family);
    auto tee = launched_with(FakeTee::snp(), bytes);

    const auto launch = verify_launch(bytes, tee);

    ASSERT_EQ(error_code(launch), base::ErrorCode::kDenied);
    EXPECT_THAT(launch.error().message, HasSubstr("this VM runs on sev-snp"));
  }
}

TEST(LaunchTest, PassesOnWhatFailsInTheTee) {
  const auto bytes = bytes_for(TeeFamily::kSevSnp);
  auto tee = launched_with(FakeTee::snp(), bytes);
  tee.report_fails = base::Error{base::ErrorCode::kUnavailable, "busy"};

  EXPECT_EQ(error_code(verify_launch(bytes, tee)), base::ErrorCode::kUnavailable);
}

TEST(LaunchTest, AnOrdinaryVmHasItsDocumentUnvouchedFor) {
  const auto launch = plain_launch(bytes_for(TeeFamily::kNone));

  ASSERT_TRUE(launch);
  EXPECT_EQ(launch->document, document_for(TeeFamily::kNone));
  EXPECT_EQ(launch->digest, launch_digest(bytes_for(TeeFamily::kNone), TeeFamily::kNone));
}

TEST(LaunchTest, ADocumentOfAConfidentialVmIsNotUsedWithoutItsTee) {
  for (const auto family : {TeeFamily::kSevSnp, TeeFamily::kTdx}) {
    EXPECT_EQ(error_code(plain_launch(bytes_for(family))), base::ErrorCode::kDenied);
  }
  EXPECT_EQ(error_code(plain_launch(base::bytes_of("x"))), base::ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace vtpm::sealing
