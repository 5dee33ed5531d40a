// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/instance.h"
#include "tests/support/command.h"
#include "tests/support/hypervisor.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tpm_commands.h"

// A TPM that moves, sealed, from one instance to another, with the test as both hypervisors and as
// the person who carries files between the hosts.
namespace tests::integration {
namespace {

namespace fs = std::filesystem;
namespace tpm = support;
using support::Control;
using support::Hypervisor;
using support::TempFolder;
using testing::HasSubstr;

constexpr std::uint32_t kIndex = 0x01500016;
constexpr std::array<std::byte, 32> kDigest = {std::byte{0x5a}};

base::Bytes data_of(std::uint8_t value) { return base::Bytes(8, std::byte{value}); }

// A host: its files, and an instance of the VM's if it runs there.
class Host {
 public:
  enum class Form { kSealed, kPlain };

  explicit Host(Form form = Form::kSealed) : form_(form) {}

  [[nodiscard]] std::vector<std::string> options(const std::vector<std::string>& more,
                                                 const fs::path& store) const {
    std::vector<std::string> all = {"--vmgs", store};
    if (form_ == Form::kSealed) {
      all.insert(all.end(), {"--state-blobs", "sealed", "--migration-ticket", ticket()});
    }
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  [[nodiscard]] fs::path store() const { return folder_ / "vm.vmgs"; }

  [[nodiscard]] fs::path ticket() const { return folder_ / "ticket"; }

  // start() begins to serve, and is false if the instance refuses.
  bool start(const std::vector<std::string>& more = {}) { return start(more, store()); }

  // With a store that another host has, too.
  bool start(const std::vector<std::string>& more, const fs::path& store) {
    stop();
    fs::remove(folder_ / "ctrl");
    std::vector<std::string> argv = {VTPM_INSTANCE, "--ctrl", folder_ / "ctrl"};
    for (const auto& option : options(more, store)) {
      argv.push_back(option);
    }
    process_ = *support::Process::start(argv, {.output = folder_ / "log"});
    if (!support::wait_for_socket(folder_ / "ctrl", *process_, std::chrono::seconds(20))) {
      process_->wait(std::chrono::seconds(20));
      process_.reset();
      return false;
    }
    qemu_ = *Hypervisor::connect(folder_ / "ctrl");
    EXPECT_EQ(qemu_->set_data_descriptor(), 0U);
    return true;
  }

  bool boot(const std::vector<std::string>& more = {}) {
    return start(more) && qemu_->init() == 0U && run(tpm::startup_clear()) == tpm::kSuccess;
  }

  void kill() {
    process_->signal(SIGKILL);
    process_->wait(std::chrono::seconds(20));
    stop();
  }

  void stop() {
    qemu_.reset();
    process_.reset();
  }

  // release() gives back what was offered to this host's ticket, as its operator does.
  [[nodiscard]] bool release() const {
    std::vector<std::string> argv = {VTPM_INSTANCE, "--ctrl", folder_ / "unused"};
    for (const auto& option : options({"--release-ticket"}, store())) {
      argv.push_back(option);
    }
    return support::run_command(argv).status == 0;
  }

  Hypervisor& qemu() { return *qemu_; }

  [[nodiscard]] Hypervisor another_client() const { return *Hypervisor::connect(folder_ / "ctrl"); }

  support::Process& process() { return *process_; }

  std::uint32_t run(const base::Bytes& command) {
    const auto response = qemu_->command(command);
    return response ? support::response_code(*response) : 0xffffffff;
  }

  base::Bytes pcr() { return tpm::pcr_value(*qemu_->command(tpm::pcr_read(16))); }

  base::Bytes nv() {
    const auto response = qemu_->command(tpm::nv_read(kIndex, 8));
    return response ? tpm::nv_data(*response) : base::Bytes();
  }

  [[nodiscard]] std::string log() const {
    std::ifstream file(folder_ / "log");
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

 private:
  const Form form_;
  TempFolder folder_;
  std::optional<support::Process> process_;
  std::optional<Hypervisor> qemu_;
};

class MigrationTest : public testing::Test {
 protected:
  // A guest at the source, whose TPM holds a number and a measurement; and one that awaits it.
  void SetUp() override {
    ASSERT_TRUE(source_.boot({"--create"})) << source_.log();
    ASSERT_EQ(source_.run(tpm::nv_define(kIndex, 8)), tpm::kSuccess);
    ASSERT_EQ(source_.run(tpm::nv_write(kIndex, data_of(7))), tpm::kSuccess);
    ASSERT_EQ(source_.run(tpm::pcr_extend(16, kDigest)), tpm::kSuccess);
    pcr_ = source_.pcr();
    ASSERT_TRUE(destination_.start({"--create", "--incoming"})) << destination_.log();
    carry(destination_.ticket(), source_.ticket());
  }

  static void carry(const fs::path& from, const fs::path& to) {
    fs::copy_file(from, to, fs::copy_options::overwrite_existing);
  }

  void carry_release() {
    carry(destination_.ticket().string() + ".released", source_.ticket().string() + ".released");
  }

  void take() {
    permanent_ = *source_.qemu().get_state_blob(1);
    transient_ = *source_.qemu().get_state_blob(2);
  }

  std::uint32_t put(Host& host) {
    const auto permanent = *host.qemu().set_state_blob(1, permanent_);
    return permanent != 0 ? permanent : *host.qemu().set_state_blob(2, transient_);
  }

  static base::Bytes retries(std::uint8_t count) {
    return {std::byte{0}, std::byte{0}, std::byte{0}, std::byte{count}};
  }

  Host source_;
  Host destination_;
  base::Bytes pcr_;
  base::Bytes permanent_;
  base::Bytes transient_;
};

TEST_F(MigrationTest, GoesOnAtTheDestinationAndNeverAgainAtTheSource) {
  take();
  ASSERT_EQ(put(destination_), 0U) << destination_.log();
  ASSERT_EQ(*destination_.qemu().init(1), 0U) << destination_.log();

  EXPECT_EQ(destination_.pcr(), pcr_);
  EXPECT_EQ(destination_.nv(), data_of(7));
  EXPECT_EQ(destination_.run(tpm::nv_write(kIndex, data_of(8))), tpm::kSuccess);
  EXPECT_FALSE(fs::exists(destination_.ticket())) << "it is used up";
  EXPECT_NE(source_.run(tpm::nv_write(kIndex, data_of(9))), tpm::kSuccess);
  EXPECT_EQ(*source_.qemu().result(Control::kShutdown), 0U);
  EXPECT_EQ(source_.process().wait(std::chrono::seconds(20)), 0) << source_.log();
  EXPECT_FALSE(source_.boot());
  EXPECT_THAT(source_.log(), HasSubstr("offered to another host"));
  destination_.kill();
  ASSERT_TRUE(destination_.boot()) << destination_.log();
  EXPECT_EQ(destination_.nv(), data_of(8));
}

TEST_F(MigrationTest, ComesBackAndGoesAgain) {
  for (int journey = 0; journey < 2; ++journey) {
    take();
    ASSERT_EQ(put(destination_), 0U) << destination_.log();
    ASSERT_EQ(*destination_.qemu().init(1), 0U) << destination_.log();
    source_.kill();
    // Back, into the store that it was given away from.
    ASSERT_TRUE(source_.start({"--incoming"})) << source_.log();
    carry(source_.ticket(), destination_.ticket());
    permanent_ = *destination_.qemu().get_state_blob(1);
    transient_ = *destination_.qemu().get_state_blob(2);
    ASSERT_EQ(put(source_), 0U) << source_.log();
    ASSERT_EQ(*source_.qemu().init(1), 0U) << source_.log();
    EXPECT_EQ(source_.pcr(), pcr_);
    destination_.kill();
    ASSERT_TRUE(destination_.start({"--incoming"})) << destination_.log();
    carry(destination_.ticket(), source_.ticket());
  }
}

TEST_F(MigrationTest, LeavesOnlyToATicketAndOnlyByIt) {
  fs::remove(source_.ticket());
  EXPECT_FALSE(source_.another_client().get_state_blob(1));
  EXPECT_EQ(source_.run(tpm::nv_write(kIndex, data_of(8))), tpm::kSuccess) << "it stays";
  Host third;
  ASSERT_TRUE(third.start({"--create", "--incoming"}));
  carry(third.ticket(), source_.ticket());
  take();

  EXPECT_NE(put(destination_), 0U) << "it is sealed to another";

  EXPECT_NE(*destination_.qemu().init(1), 0U);
  ASSERT_EQ(put(third), 0U) << third.log();
  ASSERT_EQ(*third.qemu().init(1), 0U) << third.log();
  EXPECT_EQ(*third.qemu().result(Control::kStop), 0U);
  EXPECT_NE(put(third), 0U) << "once";
}

TEST_F(MigrationTest, GoesOnAtTheSourceWhenItIsGivenBackWhileItsGuestWaits) {
  take();
  EXPECT_NE(*source_.qemu().result(Control::kLockStorage, retries(2)), 0U);
  EXPECT_FALSE(destination_.release()) << "it is still awaited";
  destination_.kill();
  ASSERT_TRUE(destination_.release());
  carry_release();

  EXPECT_EQ(*source_.qemu().result(Control::kLockStorage, retries(2)), 0U) << source_.log();

  EXPECT_EQ(source_.run(tpm::nv_write(kIndex, data_of(8))), tpm::kSuccess);
  EXPECT_EQ(source_.pcr(), pcr_);
  source_.kill();
  fs::remove(source_.ticket().string() + ".released");
  ASSERT_TRUE(source_.boot()) << source_.log();
  EXPECT_EQ(source_.nv(), data_of(8));
}

// Whoever is killed, and whenever: one of the two starts, and not the other.
enum class Step { kOffered, kHalfSent, kSent, kArrived };

class MigrationStepTest : public MigrationTest, public testing::WithParamInterface<Step> {};

TEST_P(MigrationStepTest, LeavesOneSideThatStarts) {
  take();
  if (GetParam() >= Step::kHalfSent) {
    ASSERT_EQ(*destination_.qemu().set_state_blob(1, permanent_), 0U);
  }
  if (GetParam() >= Step::kSent) {
    ASSERT_EQ(*destination_.qemu().set_state_blob(2, transient_), 0U);
  }
  if (GetParam() >= Step::kArrived) {
    ASSERT_EQ(*destination_.qemu().init(1), 0U);
  }
  source_.kill();
  destination_.kill();

  EXPECT_FALSE(source_.boot()) << "nobody knows yet";
  const bool arrived = GetParam() == Step::kArrived;
  EXPECT_NE(destination_.release(), arrived);
  EXPECT_EQ(destination_.boot(), arrived);
  if (!arrived) {
    carry_release();
  }
  EXPECT_NE(source_.boot(), arrived);
  EXPECT_EQ((arrived ? destination_ : source_).nv(), data_of(7));
}

INSTANTIATE_TEST_SUITE_P(EachStep, MigrationStepTest,
                         testing::Values(Step::kOffered, Step::kHalfSent, Step::kSent,
                                         Step::kArrived));

// Both hosts have one disk, as many clusters do: whoever has the store open keeps it, and is told
// what to do.
TEST_F(MigrationTest, ArrivesInNoStoreThatItsSourceHasOpen) {
  const auto shared = source_.store();
  Host sealed;
  EXPECT_FALSE(sealed.start({"--incoming"}, shared));
  EXPECT_THAT(sealed.log(), HasSubstr("a store of its own"));

  carry(destination_.ticket(), source_.ticket());
  take();
  destination_.kill();
  ASSERT_TRUE(destination_.release());
  carry_release();
  EXPECT_EQ(*source_.qemu().result(Control::kLockStorage, retries(2)), 0U) << source_.log();
  EXPECT_EQ(source_.run(tpm::nv_write(kIndex, data_of(8))), tpm::kSuccess) << "nobody else has";
}

// In the clear nothing says that the state has left, and the lock alone keeps one of two out.
TEST_F(MigrationTest, ArrivesUnsealedInNoStoreThatItsSourceHasOpen) {
  Host plain(Host::Form::kPlain);
  ASSERT_TRUE(plain.boot({"--create"})) << plain.log();
  ASSERT_EQ(plain.run(tpm::nv_define(kIndex, 8)), tpm::kSuccess);
  permanent_ = *plain.qemu().get_state_blob(1);
  transient_ = *plain.qemu().get_state_blob(2);
  Host there(Host::Form::kPlain);
  ASSERT_TRUE(there.start({"--incoming"}, plain.store())) << there.log();

  ASSERT_EQ(put(there), 0U);
  EXPECT_NE(*there.qemu().init(1), 0U);

  EXPECT_THAT(there.log(), HasSubstr("a store of its own"));
  EXPECT_EQ(plain.run(tpm::nv_write(kIndex, data_of(8))), tpm::kSuccess) << "it goes on";
}

TEST_F(MigrationTest, IsNotAwaitedWhereTheTpmIs) {
  source_.kill();

  EXPECT_FALSE(source_.start({"--incoming"}));

  EXPECT_THAT(source_.log(), HasSubstr("has its TPM"));
  EXPECT_TRUE(source_.boot()) << source_.log();
}

// At a moment of the arrival that nobody has chosen.
TEST_F(MigrationTest, LeavesOneSideThatStartsWheneverTheDestinationDies) {
  std::mt19937 random(std::random_device{}());
  std::array<int, 2> arrivals{};
  for (int round = 0; round < 5; ++round) {
    take();
    ASSERT_EQ(put(destination_), 0U) << destination_.log();
    // It waits for nothing: the time is drawn.
    std::thread killer([&] {
      std::this_thread::sleep_for(
          std::chrono::microseconds(std::uniform_int_distribution<int>(0, 150'000)(random)));
      destination_.process().signal(SIGKILL);
    });
    (void)destination_.qemu().init(1);
    killer.join();
    destination_.kill();

    const bool released = destination_.release();
    const bool starts = destination_.boot();

    ++arrivals[starts ? 1 : 0];
    ASSERT_NE(released, starts) << destination_.log();
    source_.kill();
    if (starts) {
      EXPECT_FALSE(source_.boot());
      break;  // it lives there now
    }
    carry_release();
    ASSERT_TRUE(source_.boot()) << source_.log();
    fs::remove(source_.ticket().string() + ".released");
    fs::remove(destination_.ticket().string() + ".released");
    ASSERT_TRUE(destination_.start({"--create", "--incoming"})) << destination_.log();
    carry(destination_.ticket(), source_.ticket());
  }
  std::printf("it arrived %d times, and was given back %d times\n", arrivals[1], arrivals[0]);
}

}  // namespace
}  // namespace tests::integration
