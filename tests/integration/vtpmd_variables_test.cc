// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <fstream>
#include <iterator>

#include "tests/integration/guest.h"
#include "tests/support/command.h"
#include "tests/support/nbd_client.h"

namespace tests::integration {
namespace {

namespace fs = std::filesystem;
using support::NbdClient;
using testing::HasSubstr;
using testing::Optional;

constexpr std::size_t kFlashBytes = 131072;

// The UEFI variables of vtpmd's VMs.
class VtpmdVariablesTest : public VtpmdTest {
 protected:
  // A file with an image of which every byte has that value.
  std::string image(const std::string& name, char value, std::size_t size = kFlashBytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << std::string(size, value);
    return folder_ / name;
  }

  NbdClient use(const std::string& vm) const {
    auto client = NbdClient::connect(vtpmd_.text(vm, "variables_socket"));
    EXPECT_TRUE(client) << vtpmd_.log();
    return *std::move(client);
  }

  static base::Bytes some(char value) { return base::Bytes(512, static_cast<std::byte>(value)); }
};

TEST_F(VtpmdVariablesTest, BeginWithTheImageThatTheVmWasCreatedWith) {
  const auto vm = vtpmd_.create("a", {"--variables", image("first", 'a')});
  EXPECT_TRUE(fs::is_socket(Vtpmd::text_in(vm, "variables_socket")));
  EXPECT_THAT(Vtpmd::text_in(vm, "qemu_variables_option"),
              HasSubstr("file.server.path=" + Vtpmd::text_in(vm, "variables_socket")));

  auto client = use("a");
  EXPECT_EQ(client.size_bytes(), kFlashBytes);
  EXPECT_THAT(client.read(512, 512), Optional(some('a')));
}

TEST_F(VtpmdVariablesTest, ABlankFlashIsOfTheSizeThatWasAskedFor) {
  (void)vtpmd_.create("a");
  (void)vtpmd_.create("b", {"--variables-size", "131072"});

  EXPECT_EQ(use("a").size_bytes(), 540672U);
  EXPECT_EQ(use("b").size_bytes(), 131072U);
  EXPECT_THAT(use("b").read(0, 512), Optional(some('\xff')));
}

TEST_F(VtpmdVariablesTest, AHypervisorThatWantsThemStartsTheInstance) {
  (void)vtpmd_.create("a", {"--variables", image("first", 'a'), "--leave-stopped"});
  EXPECT_EQ(vtpmd_.readiness("a"), "stopped");

  auto client = use("a");
  EXPECT_THAT(client.read(0, 512), Optional(some('a')));
  Vtpmd::Watch watch(vtpmd_, {"a"});
  bool is_used = false;
  while (!is_used) {
    const auto change = watch.next();
    ASSERT_FALSE(change.empty()) << vtpmd_.log();
    is_used = change.contains("vm") && Vtpmd::text_in(change, "vm.guest") == "true";
  }
  EXPECT_EQ(vtpmd_.ctl({"stop", "a"}).status, 5) << "a hypervisor uses it";
}

TEST_F(VtpmdVariablesTest, SurviveTheirInstance) {
  (void)vtpmd_.create("a", {"--variables", image("first", 'a')});
  {
    auto client = use("a");
    ASSERT_THAT(client.write(512, some('b')), Optional(0U));
    ASSERT_THAT(client.flush(), Optional(0U));
    ASSERT_EQ(::kill(vtpmd_.pid("a"), SIGKILL), 0);
    EXPECT_EQ(client.flush(), std::nullopt);
  }
  vtpmd_.wait_for("a", "crashed");
  auto client = use("a");
  EXPECT_THAT(client.read(0, 512), Optional(some('a')));
  EXPECT_THAT(client.read(512, 512), Optional(some('b')));
}

TEST_F(VtpmdVariablesTest, AnotherImageIsNoSuccessOfTheSameWish) {
  (void)vtpmd_.create("a", {"--variables", image("first", 'a')});
  EXPECT_EQ(Vtpmd::text_in(vtpmd_.create("a", {"--variables", image("first", 'a')}), "created"),
            "false");
  EXPECT_EQ(Vtpmd::text_in(vtpmd_.create("a"), "created"), "false") << "which asks for none";

  const auto other = vtpmd_.ctl({"create", "a", "--variables", image("other", 'b')});
  EXPECT_EQ(other.status, 5);
  EXPECT_THAT(other.err, HasSubstr("UEFI variables"));
}

TEST_F(VtpmdVariablesTest, RefuseWhatIsNoImageOfAFlash) {
  const auto odd = vtpmd_.ctl({"create", "a", "--variables", image("odd", 'a', 4097)});
  EXPECT_EQ(odd.status, 2);
  EXPECT_THAT(odd.err, HasSubstr("4097"));
  EXPECT_EQ(vtpmd_.ctl({"create", "a", "--variables", folder_ / "missing"}).status, 4);
  EXPECT_EQ(vtpmd_.ctl({"create", "a", "--variables-size", "1"}).status, 2);
  EXPECT_EQ(vtpmd_.ctl({"show", "a"}).status, 4) << "nothing was made";
}

TEST_F(VtpmdVariablesTest, HaveToBeThoseThatTheLaunchDocumentDemands) {
  const auto ran = vtpmd_.ctl({"create", "a", "--variables", image("first", 'a'),
                               "--secure-boot-template-digest", std::string(64, '0')});
  EXPECT_EQ(ran.status, 2) << ran.out << ran.err;

  // SHA-256 of 131072 times 'a'.
  const auto sum = support::run_command({"/usr/bin/sha256sum", folder_ / "first"});
  (void)vtpmd_.create("b", {"--variables", folder_ / "first", "--secure-boot-template-digest",
                            sum.out.substr(0, 64)});
  EXPECT_THAT(use("b").read(0, 512), Optional(some('a')));
}

TEST_F(VtpmdVariablesTest, GoWithTheirVm) {
  (void)vtpmd_.create("a", {"--variables", image("first", 'a')});
  const fs::path socket = vtpmd_.text("a", "variables_socket");
  ASSERT_EQ(vtpmd_.ctl({"stop", "a"}).status, 0);
  ASSERT_EQ(vtpmd_.ctl({"delete", "a", "--yes"}).status, 0);

  EXPECT_FALSE(fs::exists(socket));
  (void)vtpmd_.create("a", {"--variables-size", "131072"});
  EXPECT_THAT(use("a").read(0, 512), Optional(some('\xff')));
}

}  // namespace
}  // namespace tests::integration
