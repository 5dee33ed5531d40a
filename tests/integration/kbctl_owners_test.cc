// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/integration/keybrokerd.h"
#include "tests/support/temp_folder.h"

// Two owners at one broker, by kbctl: what each may say of a VM, and whose log each reads.
namespace tests::integration {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kBobs = "11111111-2222-4333-8444-555555555555";
constexpr const char* kCarols = "66666666-7777-4888-9999-aaaaaaaaaaaa";
constexpr const char* kVm = "bbbbbbbb-cccc-4ddd-8eee-ffffffffffff";
constexpr int kUsage = 2;
constexpr int kNotFound = 4;
constexpr int kRefused = 5;

class KbctlOwnersTest : public testing::Test {
 protected:
  KbctlOwnersTest() {
    setenv("STRONGROOM_SIMULATED_MACHINE", (folder_ / "machine").c_str(), 1);
    const auto published = support::run_command(
        {SIMULATED_MACHINE, "publish", folder_ / "vendor", "--tee", "sev-snp"});
    EXPECT_EQ(published.status, 0) << published.err;
    broker_.emplace(folder_ / "broker", folder_ / "vendor");
    broker_->start();
    const auto alice = broker_->issue("operator", "alice");
    bob_ = broker_->issue("tenant", "bob", kBobs);
    carol_ = broker_->issue("tenant", "carol", kCarols);
    (void)broker_->kbctl_json(alice, {"tenant", "create", "b", "--id", kBobs});
    (void)broker_->kbctl_json(alice, {"tenant", "create", "c", "--id", kCarols});
    std::ofstream(folder_ / "root.pem") << broker_->kbctl(alice, {"status", "--roots"}).out;
    std::ofstream(folder_ / "policy.json")
        << R"({"version":"1.0.0","anyOf":[{"authority":")" << Keybrokerd::kAuthority
        << R"(","allOf":[{"claim":"strongroom-region","equals":"eu-1"},)"
        << R"({"claim":"strongroom-root-class","equals":"simulated"},)"
        << R"({"claim":"strongroom-debug","equals":false}]}]})";
    policy_ = put(bob_);
  }

  std::string put(const fs::path& whose) {
    const auto ran = broker_->kbctl(whose, {"policy", "put", folder_ / "policy.json"});
    EXPECT_EQ(ran.status, 0) << ran.err;
    return ran.out.substr(0, ran.out.find('\n'));
  }

  support::Ran register_vm(const std::string& id, std::vector<std::string> more = {}) {
    const auto made = support::run_command({KBCTL, "launch-document", "make", id, "--tee",
                                            "sev-snp", "--tenant", kBobs, "--broker-root",
                                            folder_ / "root.pem", "--out", folder_ / "launch"});
    EXPECT_EQ(made.status, 0) << made.err;
    more.insert(more.begin(), {"vm", "register", folder_ / "launch", "--policy", policy_,
                               "--root-class", "simulated"});
    return broker_->kbctl(bob_, std::move(more));
  }

  support::TempFolder folder_;
  std::optional<Keybrokerd> broker_;
  fs::path bob_;
  fs::path carol_;
  std::string policy_;
};

// Nobody could name another owner, and an owner could not step back.
TEST_F(KbctlOwnersTest, AnotherOwnerIsNamedAtRegistrationAndCanWithdraw) {
  const auto made =
      register_vm(kVm, {"--owner", std::string(kCarols) + ":" + policy_, "--region", "eu-1"});
  ASSERT_EQ(made.status, 0) << made.err;
  EXPECT_THAT(made.out, HasSubstr("eu-1"));
  EXPECT_THAT(broker_->kbctl(carol_, {"vm", "show", kVm}).out, HasSubstr(policy_));

  EXPECT_EQ(broker_->kbctl(carol_, {"vm", "set-policies", kVm}).status, kUsage);
  EXPECT_EQ(broker_->kbctl(bob_, {"vm", "set-policies", kVm, "--withdraw"}).status, kRefused);
  const auto left = broker_->kbctl(carol_, {"vm", "set-policies", kVm, "--withdraw"});
  EXPECT_EQ(left.status, 0) << left.err;

  EXPECT_EQ(broker_->kbctl(carol_, {"vm", "show", kVm}).status, kNotFound);
  EXPECT_EQ(broker_->kbctl(bob_, {"vm", "show", kVm}).status, 0);
}

// With a VM of another tenant's id one read that tenant's log, and wrote into it; and no tenant
// could list its own lines.
TEST_F(KbctlOwnersTest, ATenantListsItsOwnLinesAndNoOthers) {
  const auto taken = register_vm(kCarols);
  EXPECT_EQ(taken.status, kRefused) << taken.out;
  EXPECT_THAT(taken.err, HasSubstr("is a tenant's"));
  EXPECT_EQ(broker_->kbctl(bob_, {"releases", "list", kCarols}).status, kNotFound);

  const auto own = broker_->kbctl(carol_, {"releases", "list", kCarols});
  EXPECT_EQ(own.status, 0) << own.err;
  EXPECT_THAT(own.out, HasSubstr("kek-added"));
  EXPECT_THAT(own.out, HasSubstr(std::string("tenant:") + kCarols + "/1"));
  EXPECT_THAT(own.out, Not(HasSubstr("registered")));
  EXPECT_EQ(broker_->kbctl(carol_, {"releases", "explain", std::string("tenant:") + kCarols + "/1"})
                .status,
            0);
  EXPECT_EQ(
      broker_->kbctl(bob_, {"releases", "explain", std::string("tenant:") + kCarols + "/1"}).status,
      kNotFound);
  EXPECT_EQ(broker_->kbctl(carol_, {"audit", kCarols}).status, 0);
}

TEST_F(KbctlOwnersTest, AKeyFileThatOthersMayReadIsNotImported) {
  const auto file = folder_ / "key";
  std::ofstream(file) << std::string(32, 'k');
  fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write | fs::perms::others_read);
  const std::vector<std::string> import = {"key", "import",   "disk", "--from",
                                           file,  "--policy", policy_};
  EXPECT_NE(broker_->kbctl(bob_, import).status, 0);
  fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write);
  const auto kept = broker_->kbctl(bob_, import);
  EXPECT_EQ(kept.status, 0) << kept.err;
}

}  // namespace
}  // namespace tests::integration
