// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <fstream>

#include "keybroker/protocol/launch_document.h"
#include "tests/integration/vtpmd.h"
#include "tests/support/temp_folder.h"

namespace tests::integration {
namespace {

namespace protocol = keybroker::protocol;
using testing::HasSubstr;

// An operator who moves VMs between machines of SEV-SNP and TDX.
class VtpmctlConvertTest : public testing::Test {
 protected:
  void create_brokered() const {
    const auto ran =
        vtpmd_.ctl({"create", "a", "--tee", "sev-snp", "--protection", "broker", "--tenant",
                    "11111111-2222-4333-8444-555555555555", "--broker-root", std::string(64, 'a')});
    ASSERT_EQ(ran.status, 0) << ran.err;
  }

  [[nodiscard]] protocol::LaunchDocument document(const std::string& file) const {
    std::ifstream stream(folder_ / file, std::ios::binary);
    const std::string content(std::istreambuf_iterator<char>(stream), {});
    const auto decoded = protocol::decode_launch_document(base::bytes_of(content));
    EXPECT_TRUE(decoded) << decoded.error().message;
    return decoded.value_or(protocol::LaunchDocument{});
  }

  support::TempFolder folder_;
  Vtpmd vtpmd_{folder_.path(), VTPM_INSTANCE_SIM};
};

TEST_F(VtpmctlConvertTest, SaysWhatAConversionWouldDoAndDoesNothing) {
  create_brokered();
  const auto digest = vtpmd_.text("a", "launch_digest");

  const auto ran = vtpmd_.ctl(
      {"convert", "a", "--to", "tdx", "--dry-run", "--launch-document-out", folder_ / "a.launch"});

  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("tee: sev-snp -> tdx"));
  EXPECT_THAT(ran.out, HasSubstr("6.7 or later"));
  EXPECT_THAT(ran.out, HasSubstr("kbctl vm convert"));
  EXPECT_THAT(ran.err, HasSubstr("nothing was changed"));
  EXPECT_EQ(document("a.launch").tee_family, protocol::TeeFamily::kTdx);
  EXPECT_EQ(vtpmd_.text("a", "launch_digest"), digest);
}

TEST_F(VtpmctlConvertTest, ConvertsAndGoesBackOverTheDeathOfVtpmd) {
  create_brokered();
  const auto digest = vtpmd_.text("a", "launch_digest");
  ASSERT_EQ(vtpmd_.ctl({"convert", "a", "--to", "tdx"}).status, 0);

  vtpmd_.kill();
  vtpmd_.start();
  EXPECT_EQ(vtpmd_.text("a", "tee"), "tdx");
  EXPECT_NE(vtpmd_.text("a", "launch_digest"), digest);
  EXPECT_THAT(vtpmd_.ctl({"show", "a"}).out, HasSubstr("vtpmctl convert a --undo"));
  const auto again = vtpmd_.ctl({"convert", "a", "--to", "tdx"});
  EXPECT_EQ(again.status, 0);
  EXPECT_THAT(again.err, HasSubstr("nothing changes"));

  const auto undone = vtpmd_.ctl({"convert", "a", "--undo"});
  ASSERT_EQ(undone.status, 0) << undone.err;
  vtpmd_.kill();
  vtpmd_.start();
  EXPECT_EQ(vtpmd_.text("a", "launch_digest"), digest);
  EXPECT_NE(vtpmd_.ctl({"convert", "a", "--undo"}).status, 0);
}

TEST_F(VtpmctlConvertTest, TakesAFinishedDocument) {
  create_brokered();
  ASSERT_EQ(vtpmd_
                .ctl({"convert", "a", "--offline", "allow", "--dry-run", "--launch-document-out",
                      folder_ / "a.launch"})
                .status,
            0);
  const auto ran = vtpmd_.ctl({"convert", "a", "--launch-document", folder_ / "a.launch"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(vtpmd_.text("a", "offline_rule"), "allow");
}

TEST_F(VtpmctlConvertTest, AnOrdinaryVmStaysOneAndKeepsItsTpm) {
  ASSERT_EQ(vtpmd_.ctl({"create", "o"}).status, 0);
  const auto running = vtpmd_.ctl({"convert", "o", "--to", "tdx"});
  EXPECT_NE(running.status, 0);
  ASSERT_EQ(vtpmd_.ctl({"stop", "o"}).status, 0);
  const auto ran = vtpmd_.ctl({"convert", "o", "--to", "sev-snp"});
  EXPECT_NE(ran.status, 0);
  EXPECT_THAT(ran.err, HasSubstr("never becomes a confidential one"));
  EXPECT_EQ(vtpmd_.text("o", "tee"), "none");
  ASSERT_EQ(vtpmd_.ctl({"start", "o"}).status, 0);
  EXPECT_EQ(vtpmd_.ctl({"ready", "o", "--wait"}).status, 0);
}

}  // namespace
}  // namespace tests::integration
