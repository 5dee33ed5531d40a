// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/broker_wire.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <random>

// A VM whose key a broker has, from its registration on, over the wire: the walk of a good machine,
// what its owner can say, and where the secrets do not lie.
namespace tests::integration {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

class BrokerWalkTest : public BrokerWireTest {
 protected:
  // kill_everything() leaves nothing of the host or the broker running.
  void kill_everything(const std::string& name) {
    const int instance = vtpmd_->pid(name);
    const int parent = parent_of(instance);
    ::kill(instance, SIGKILL);
    if (parent != vtpmd_->process().pid() && parent > 1 && parent != getpid()) {
      ::kill(parent, SIGKILL);
    }
    vtpmd_->kill();
    broker_->kill();
  }
};

TEST_F(BrokerWalkTest, AVmGetsItsKeyOnceRegisteredAndItsSecretOutlivesAKillOfEverything) {
  const auto id = create("a");
  expect("a", "broker-refused", "vm-unregistered");
  register_vm("a");
  EXPECT_EQ(word(start("a")), "ready") << vtpmd_->log();
  {
    auto hypervisor = boot("a");
    define_and_write(hypervisor, 0x5a);
    kill_everything("a");
  }
  broker_->start();
  EXPECT_EQ(broker_->await_health("200"), "200");
  vtpmd_->start();
  EXPECT_EQ(word(start("a")), "ready") << vtpmd_->log();
  auto hypervisor = boot("a");
  EXPECT_EQ(nv(hypervisor), data_of(0x5a));
  EXPECT_EQ(text(registration(id), "epoch"), "2");
  EXPECT_THAT(text(vtpmd_->show("a"), "opened_by"), HasSubstr("key broker released"));
  EXPECT_EQ(text(vtpmd_->show("a"), "broker.endpoint"), broker_->url());

  const auto audit = broker_->kbctl(auditor_, {"audit"});
  EXPECT_EQ(audit.status, 0) << audit.err;
  EXPECT_THAT(audit.out, HasSubstr("intact"));
}

TEST_F(BrokerWalkTest, ItsOwnersPolicyIsAskedAtEachStartAndTheLogNamesTheClause) {
  const auto id = create_registered("a");
  expect("a", "ready", "");
  power_off("a");
  const auto other = put_policy(std::string(measurement_.size(), '0'));
  ASSERT_NE(other, policy_);
  (void)broker_->kbctl_json(tenant_, {"vm", "set-policies", id, other});
  expect("a", "broker-refused", "policy-denied");

  const auto line = last_line(id);
  EXPECT_EQ(text(line, "kind"), "refused");
  EXPECT_EQ(text(line, "reason"), "policy-denied");
  const auto explained =
      broker_->kbctl(tenant_, {"releases", "explain", text(line, "release_id"), "--trace"});
  EXPECT_EQ(explained.status, 0) << explained.err;
  EXPECT_THAT(explained.out, HasSubstr("strongroom-measurement"));
  EXPECT_THAT(explained.out, HasSubstr(measurement_));

  (void)broker_->kbctl_json(tenant_, {"vm", "set-policies", id, policy_});
  expect("a", "ready", "");
}

TEST_F(BrokerWalkTest, ADisabledVmGetsItsKeyWhenItIsEnabledAgain) {
  const auto id = create_registered("a");
  (void)broker_->kbctl_json(tenant_, {"vm", "disable", id});
  expect("a", "broker-refused", "vm-disabled");
  EXPECT_EQ(text(last_line(id), "reason"), "vm-disabled");
  (void)broker_->kbctl_json(tenant_, {"vm", "enable", id});
  expect("a", "ready", "");
}

// Only processes without privileges are kept out by PR_SET_DUMPABLE; root reads what it likes.
TEST_F(BrokerWalkTest, ProcessesWithKeysLeaveNoCore) {
  (void)create_registered("a");
  expect("a", "ready", "");
  for (const int pid : {vtpmd_->pid("a"), static_cast<int>(broker_->process().pid())}) {
    const auto process = fs::path("/proc") / std::to_string(pid);
    const auto limits = content_of(process / "limits");
    const auto line = limits.substr(limits.find("Max core file size"));
    EXPECT_THAT(line.substr(0, line.find('\n')), testing::ContainsRegex("size +0 +0 +bytes"));
    // The kernel gives the folder of a process that is not dumpable to root.
    if (getuid() != 0) {
      EXPECT_FALSE(std::ifstream(process / "mem").is_open());
    }
  }
}

// Whole secrets, as bytes, hexadecimal digits of either case and base64.
std::vector<std::string> forms_of(const std::string& secret) {
  const auto bytes = base::bytes_of(secret);
  auto hex = base::to_hex(bytes);
  std::vector<std::string> forms = {secret, hex};
  std::transform(hex.begin(), hex.end(), hex.begin(),
                 [](char c) { return static_cast<char>(std::toupper(c)); });
  forms.push_back(hex);
  const auto encoded = support::run_command({"/usr/bin/base64", "--wrap=0"}, secret).out;
  forms.push_back(encoded.substr(0, encoded.size() - 4));  // whatever its padding
  return forms;
}

TEST_F(BrokerWalkTest, SecretsLieNowhereButInTheirPlace) {
  const auto id = create_registered("a", "allow");
  expect("a", "ready", "");
  // A secret in the guest's NV, and one that it is not allowed to leave with: 32 bytes that are
  // nowhere else.
  std::string nv_secret(32, '\0');
  std::random_device random;
  for (auto& c : nv_secret) {
    c = static_cast<char>(random());
  }
  {
    auto hypervisor = boot("a");
    ASSERT_EQ(run(hypervisor, support::nv_define(kIndex, 32)), support::kSuccess);
    ASSERT_EQ(run(hypervisor, support::nv_write(kIndex, base::copy_of(base::bytes_of(nv_secret)))),
              support::kSuccess);
    crash("a");
  }
  expect("a", "ready", "");
  power_off("a");
  expect("a", "ready", "");

  const auto broker_folder = broker_->state().parent_path();
  const auto keys = broker_->state() / "broker";
  std::vector<std::pair<fs::path, std::string>> secrets = {{"", nv_secret}};
  for (const auto* name : {"master.key", "cluster.secrets"}) {
    std::ifstream file(keys / name);
    std::string version;
    std::string hex;
    ASSERT_TRUE(file >> version >> hex) << name;
    const auto bytes = base::from_hex(hex);
    ASSERT_TRUE(bytes && bytes->size() == 32) << name;
    secrets.emplace_back(keys / name,
                         std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size()));
  }
  std::size_t looked_at = 0;
  std::size_t found_at_home = 0;
  for (const auto& root : {folder_.path(), broker_folder}) {
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      if (!entry.is_regular_file()) {
        continue;
      }
      ++looked_at;
      const auto content = content_of(entry.path());
      for (const auto& [home, secret] : secrets) {
        for (const auto& form : forms_of(secret)) {
          const bool is_there = content.find(form) != std::string::npos;
          if (entry.path() == home) {
            found_at_home += is_there ? 1 : 0;
          } else {
            EXPECT_FALSE(is_there) << entry.path();
          }
        }
      }
    }
  }
  // The search finds what is there: both files have their secret, in one form.
  EXPECT_EQ(found_at_home, 2U);
  EXPECT_GT(looked_at, 15U);
  EXPECT_FALSE(vtpmd_->log().empty());
  EXPECT_FALSE(broker_->log().empty());
}

}  // namespace
}  // namespace tests::integration
