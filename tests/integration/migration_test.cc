// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/migrating_host.h"
#include "tests/support/tpm_commands.h"

// A TPM that moves, sealed, from one instance to another, with the test as both hypervisors and as
// the person who carries files between the hosts.
namespace tests::integration {
namespace {

namespace fs = std::filesystem;
namespace tpm = support;
using Host = MigratingHost;
using support::Control;
using testing::HasSubstr;

constexpr auto kIndex = kMigratedIndex;
constexpr std::array<std::byte, 32> kDigest = {std::byte{0x5a}};

base::Bytes data_of(std::uint8_t value) { return base::Bytes(8, std::byte{value}); }

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

  void carry_release() { carry(destination_.released(), source_.released()); }

  // What was released before its next ticket was made.
  [[nodiscard]] fs::path released_before() const {
    for (const auto& entry : fs::directory_iterator(destination_.folder())) {
      if (entry.path().string().starts_with(destination_.released().string() + ".")) {
        return entry.path();
      }
    }
    ADD_FAILURE() << "there is none";
    return {};
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
  EXPECT_NE(source_.run(tpm::pcr_extend(16, kDigest)), tpm::kSuccess) << "it has left as it was";
  EXPECT_NE(*source_.qemu().result(Control::kLockStorage, retries(2)), 0U);
  EXPECT_FALSE(destination_.release()) << "it is still awaited";
  destination_.kill();
  ASSERT_TRUE(destination_.release());
  carry_release();

  EXPECT_EQ(*source_.qemu().result(Control::kLockStorage, retries(2)), 0U) << source_.log();

  EXPECT_EQ(source_.run(tpm::nv_write(kIndex, data_of(8))), tpm::kSuccess);
  EXPECT_EQ(source_.pcr(), pcr_);
  EXPECT_FALSE(fs::exists(source_.released())) << "it is used up";
  source_.kill();
  ASSERT_TRUE(source_.boot()) << source_.log();
  EXPECT_EQ(source_.nv(), data_of(8));
}

TEST_F(MigrationTest, GoesOnAtTheSourceWithAGuestThatBeginsAnew) {
  take();
  EXPECT_NE(source_.qemu().init(), 0U) << "it is not given back";
  destination_.kill();
  ASSERT_TRUE(destination_.release());
  carry_release();

  EXPECT_EQ(source_.qemu().init(), 0U) << source_.log();

  EXPECT_EQ(source_.run(tpm::startup_clear()), tpm::kSuccess);
  EXPECT_EQ(source_.nv(), data_of(7));
}

// The state left although its store did not say so, and both hosts started the TPM.
TEST_F(MigrationTest, LeavesOnlyOnceTheStoreSaysSo) {
  source_.let_store(0);
  EXPECT_FALSE(source_.qemu().get_state_blob(1));
  EXPECT_FALSE(source_.another_client().get_state_blob(1)) << "nor when it is asked again";
  EXPECT_FALSE(source_.another_client().get_state_blob(2));
  source_.let_store(RLIM_INFINITY);
  source_.reconnect();

  EXPECT_EQ(source_.qemu().init(), 0U) << source_.log();

  EXPECT_EQ(source_.run(tpm::startup_clear()), tpm::kSuccess);
  EXPECT_EQ(source_.run(tpm::nv_write(kIndex, data_of(8))), tpm::kSuccess) << "it is here";
  take();
  ASSERT_EQ(put(destination_), 0U) << destination_.log();
  ASSERT_EQ(*destination_.qemu().init(1), 0U) << destination_.log();
  EXPECT_EQ(destination_.nv(), data_of(8));
}

// A ticket whose secret nobody has any more took the TPM from both hosts.
TEST_F(MigrationTest, LeavesOnceByEachTicket) {
  const auto kept = source_.ticket().string() + ".kept";
  fs::copy_file(source_.ticket(), kept);
  take();
  EXPECT_FALSE(fs::exists(source_.ticket())) << "it is used up";
  take();  // the hypervisor asks again
  destination_.kill();
  ASSERT_TRUE(destination_.release());
  carry_release();
  EXPECT_EQ(*source_.qemu().result(Control::kLockStorage, retries(2)), 0U) << source_.log();
  fs::rename(kept, source_.ticket());

  EXPECT_FALSE(source_.another_client().get_state_blob(1));

  EXPECT_THAT(source_.log(), HasSubstr("Get a new one"));
  EXPECT_EQ(source_.run(tpm::nv_write(kIndex, data_of(8))), tpm::kSuccess) << "it stays";
  ASSERT_TRUE(destination_.start({"--create", "--incoming"})) << destination_.log();
  carry(destination_.ticket(), source_.ticket());
  take();
  ASSERT_EQ(put(destination_), 0U) << destination_.log();
  EXPECT_EQ(*destination_.qemu().init(1), 0U) << destination_.log();
}

// The release of the ticket was gone when the TPM was offered to it, and neither host started it.
TEST_F(MigrationTest, IsTakenBackWhenItIsOfferedToATicketThatWasReleasedBefore) {
  destination_.kill();
  ASSERT_TRUE(destination_.release());
  ASSERT_TRUE(destination_.start({"--create", "--incoming"})) << destination_.log();
  take();
  EXPECT_NE(put(destination_), 0U) << "it awaits another";
  destination_.kill();
  ASSERT_TRUE(destination_.release());
  carry_release();
  EXPECT_NE(*source_.qemu().result(Control::kLockStorage, retries(0)), 0U) << "that is the other's";

  carry(released_before(), source_.released());

  EXPECT_EQ(*source_.qemu().result(Control::kLockStorage, retries(2)), 0U) << source_.log();
  EXPECT_EQ(source_.run(tpm::nv_write(kIndex, data_of(8))), tpm::kSuccess);
}

TEST_F(MigrationTest, IsNotOfferedToATicketWhoseReleaseIsHere) {
  destination_.kill();
  ASSERT_TRUE(destination_.release());
  carry_release();

  EXPECT_FALSE(source_.qemu().get_state_blob(1));

  EXPECT_THAT(source_.log(), HasSubstr("Get a new one"));
  source_.reconnect();
  EXPECT_EQ(source_.run(tpm::nv_write(kIndex, data_of(8))), tpm::kSuccess) << "it stays";
}

// The TPM that had been given away from there was started, and counted as the one that arrives.
TEST_F(MigrationTest, BringsNoOldTpmBackWhereTheNewOneIsNotStored) {
  take();
  ASSERT_EQ(put(destination_), 0U) << destination_.log();
  ASSERT_EQ(*destination_.qemu().init(1), 0U) << destination_.log();
  ASSERT_EQ(destination_.run(tpm::nv_write(kIndex, data_of(8))), tpm::kSuccess);
  source_.kill();
  ASSERT_TRUE(source_.start({"--incoming"})) << source_.log();
  carry(source_.ticket(), destination_.ticket());
  permanent_ = *destination_.qemu().get_state_blob(1);
  transient_ = *destination_.qemu().get_state_blob(2);
  ASSERT_EQ(put(source_), 0U) << source_.log();

  source_.let_store(0);
  EXPECT_NE(*source_.qemu().init(1), 0U);
  source_.let_store(RLIM_INFINITY);
  EXPECT_NE(*source_.qemu().init(1), 0U) << "nothing has arrived";

  EXPECT_TRUE(fs::exists(source_.ticket()));
  ASSERT_EQ(put(source_), 0U) << source_.log();
  EXPECT_EQ(*source_.qemu().init(1), 0U) << source_.log();
  EXPECT_EQ(source_.nv(), data_of(8));
  EXPECT_FALSE(fs::exists(source_.ticket()));
}

// Between what the destination stores and what it says of it; and then its store is not to be seen.
TEST_F(MigrationTest, IsNotGivenBackWhereTheStoreIsMissingThatItMayHaveArrivedIn) {
  take();
  ASSERT_EQ(put(destination_), 0U) << destination_.log();
  const auto claim = destination_.ticket().string() + ".claim";
  fs::copy_file(claim, claim + ".kept");
  ASSERT_EQ(*destination_.qemu().init(1), 0U) << destination_.log();
  destination_.kill();
  fs::rename(claim + ".kept", claim);
  const auto elsewhere = destination_.store().string() + ".elsewhere";

  fs::rename(destination_.store(), elsewhere);
  EXPECT_FALSE(destination_.release());
  fs::rename(elsewhere, destination_.store());

  ASSERT_TRUE(destination_.boot()) << destination_.log();
  EXPECT_FALSE(fs::exists(claim)) << "a start says so, too";
  EXPECT_FALSE(destination_.release());
  EXPECT_EQ(destination_.nv(), data_of(7));
}

TEST_F(MigrationTest, IsNotAwaitedWhereItCouldNotArrive) {
  Host nowhere;

  EXPECT_FALSE(nowhere.start({"--incoming"}));

  EXPECT_THAT(nowhere.log(), HasSubstr("--create"));
  EXPECT_FALSE(fs::exists(nowhere.ticket()));
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

// At a moment of its arrival: when the first byte of the store is written, when the store has its
// name, and when the ticket is used up.
struct Moment {
  const char* file;
  std::optional<bool> arrived;
};

class MigrationMomentTest : public MigrationTest, public testing::WithParamInterface<Moment> {};

TEST_P(MigrationMomentTest, LeavesOneSideThatStarts) {
  take();
  ASSERT_EQ(put(destination_), 0U) << destination_.log();
  const base::Descriptor watch(::inotify_init1(IN_CLOEXEC));
  ASSERT_GE(::inotify_add_watch(watch.number(), destination_.folder().c_str(),
                                IN_CREATE | IN_MOVED_TO | IN_DELETE),
            0);
  std::thread killer([&] {
    std::array<char, 4096> events{};
    for (bool seen = false; !seen;) {
      const auto got = ::read(watch.number(), events.data(), events.size());
      seen = got <= 0;
      for (ssize_t at = 0; at < got;) {
        inotify_event event{};
        std::copy_n(events.data() + at, sizeof event, reinterpret_cast<char*>(&event));
        seen = seen || std::string(events.data() + at + sizeof event) == GetParam().file;
        at += static_cast<ssize_t>(sizeof event + event.len);
      }
    }
    destination_.process().signal(SIGKILL);
  });
  (void)destination_.qemu().init(1);
  killer.join();
  destination_.kill();
  source_.kill();

  const bool released = destination_.release();
  const bool starts = destination_.boot();

  ASSERT_NE(released, starts) << destination_.log();
  EXPECT_EQ(starts, GetParam().arrived.value_or(starts));
  if (released) {
    carry_release();
  }
  EXPECT_EQ(source_.boot(), released) << source_.log();
  EXPECT_EQ((starts ? destination_ : source_).nv(), data_of(7));
}

INSTANTIATE_TEST_SUITE_P(EachMoment, MigrationMomentTest,
                         testing::Values(Moment{"vm.vmgs.creating", std::nullopt},
                                         Moment{"vm.vmgs", true}, Moment{"ticket", true}));

}  // namespace
}  // namespace tests::integration
