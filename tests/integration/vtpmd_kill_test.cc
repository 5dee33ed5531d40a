// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <cstdlib>
#include <random>
#include <thread>

#include "tests/integration/vtpmd.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tpm_commands.h"
#include "vmgs/base/cursor.h"

namespace tests::integration {
namespace {

namespace tpm = support;
using support::Hypervisor;
using support::TempFolder;

constexpr std::uint32_t kIndex = 0x01500016;

// STRONGROOM_KILL_ROUNDS is how long this goes on; 1,000 is for people. STRONGROOM_SEED replays.
unsigned number_from(const char* variable, unsigned otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

base::Bytes data_of(std::uint64_t value) {
  base::Writer writer;
  writer.u64_be(value);
  return std::move(writer).take();
}

// What a round kills, in which order.
enum class Victim { kInstance, kVtpmd, kBoth, kVtpmdThenInstance };

class VtpmdKillTest : public testing::Test {
 protected:
  VtpmdKillTest() {
    std::printf("STRONGROOM_SEED=%u STRONGROOM_KILL_ROUNDS=%u\n", seed_, rounds_);
    RecordProperty("seed", static_cast<int>(seed_));
  }

  unsigned below(unsigned limit) {
    return std::uniform_int_distribution<unsigned>(0, limit - 1)(random_);
  }

  // kill_later() kills within a few milliseconds, while the caller goes on.
  std::thread kill_later(Victim victim, int instance) {
    const std::chrono::microseconds delay(below(6'000));
    const int vtpmd = vtpmd_.process().pid();
    return std::thread([victim, instance, vtpmd, delay] {
      std::this_thread::sleep_for(delay);
      if (victim != Victim::kInstance) {
        ::kill(vtpmd, SIGKILL);
      }
      if (victim != Victim::kVtpmd) {
        ::kill(instance, SIGKILL);
      }
    });
  }

  // kill_vtpmd_during() kills vtpmd within a few milliseconds of the beginning of a call.
  void kill_vtpmd_during(const std::vector<std::string>& call) {
    const std::chrono::microseconds delay(below(30'000));
    const int vtpmd = vtpmd_.process().pid();
    std::thread killer([vtpmd, delay] {
      std::this_thread::sleep_for(delay);
      ::kill(vtpmd, SIGKILL);
    });
    (void)vtpmd_.ctl(call);
    killer.join();
    restart_vtpmd();
  }

  void restart_vtpmd() {
    vtpmd_.kill();
    vtpmd_.start();
  }

  // write_until_dead() writes ever greater numbers, and keeps what was acknowledged.
  void write_until_dead(Hypervisor& hypervisor) {
    for (;;) {
      in_flight_ = acknowledged_ + 1;
      const auto response = hypervisor.command(tpm::nv_write(kIndex, data_of(in_flight_)));
      if (!response) {
        return;
      }
      ASSERT_EQ(support::response_code(*response), tpm::kSuccess);
      acknowledged_ = in_flight_;
    }
  }

  // A guest whose TPM lives on must not notice that vtpmd died.
  void write_some(Hypervisor& hypervisor, unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      const auto response = hypervisor.command(tpm::nv_write(kIndex, data_of(acknowledged_ + 1)));
      ASSERT_TRUE(response) << response.error().message << vtpmd_.log();
      ASSERT_EQ(support::response_code(*response), tpm::kSuccess);
      in_flight_ = ++acknowledged_;
    }
  }

  // check() is the oracle: after whatever happened, the next guest finds what was acknowledged
  // last, or what was on its way.
  void check(Hypervisor& hypervisor) {
    const auto started = hypervisor.command(tpm::startup_clear());
    ASSERT_TRUE(started) << started.error().message << vtpmd_.log();
    ASSERT_EQ(support::response_code(*started), tpm::kSuccess);
    const auto read = hypervisor.command(tpm::nv_read(kIndex, 8));
    ASSERT_TRUE(read) << read.error().message;
    ASSERT_EQ(support::response_code(*read), tpm::kSuccess);
    const auto data = tpm::nv_data(*read);
    base::Reader reader(data);
    const auto found = *reader.u64_be();
    ASSERT_GE(found, acknowledged_) << "an acknowledged write is lost";
    ASSERT_LE(found, in_flight_) << "a write that never was";
    acknowledged_ = found;
    in_flight_ = found;
  }

  const unsigned seed_ = number_from("STRONGROOM_SEED", std::random_device()());
  const unsigned rounds_ = number_from("STRONGROOM_KILL_ROUNDS", 25);
  std::mt19937 random_{seed_};
  TempFolder folder_;
  Vtpmd vtpmd_{folder_.path()};
  std::uint64_t acknowledged_ = 0;
  std::uint64_t in_flight_ = 0;
};

TEST_F(VtpmdKillTest, LosesNothingThatWasAcknowledged) {
  (void)vtpmd_.create("a");
  {
    auto hypervisor = vtpmd_.attach("a");
    ASSERT_TRUE(hypervisor.command(tpm::startup_clear()));
    const auto defined = hypervisor.command(tpm::nv_define(kIndex, 8));
    ASSERT_TRUE(defined);
    ASSERT_EQ(support::response_code(*defined), tpm::kSuccess);
    write_some(hypervisor, 1);
  }
  unsigned written_while_vtpmd_was_dead = 0;
  for (unsigned round = 0; round < rounds_; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    auto hypervisor = vtpmd_.attach("a");
    check(hypervisor);
    if (HasFatalFailure()) {
      return;
    }
    const auto victim = static_cast<Victim>(below(4));
    auto killer = kill_later(victim, vtpmd_.pid("a"));
    if (victim == Victim::kVtpmd) {
      write_some(hypervisor, 20 + below(200));
      killer.join();
      write_some(hypervisor, 5);
      ++written_while_vtpmd_was_dead;
    } else {
      write_until_dead(hypervisor);
      killer.join();
    }
    if (HasFatalFailure()) {
      return;
    }
    if (victim != Victim::kInstance) {
      restart_vtpmd();
    }
    if (victim == Victim::kVtpmd) {
      write_some(hypervisor, 5);
    }
  }
  std::printf("%llu writes acknowledged, %u rounds under a dead vtpmd\n",
              static_cast<unsigned long long>(acknowledged_), written_while_vtpmd_was_dead);
}

// Somebody kills while TPMs are being made. Each VM gets one TPM, and one only, in the end.
TEST_F(VtpmdKillTest, MakesEachTpmOnceWhateverDiesMeanwhile) {
  const unsigned vms = 2 + rounds_ / 5;
  for (unsigned i = 0; i < vms; ++i) {
    const auto name = "vm" + std::to_string(i);
    SCOPED_TRACE(name);
    ASSERT_EQ(vtpmd_.ctl({"create", name, "--leave-stopped"}).status, 0);
    kill_vtpmd_during({"start", name});

    (void)vtpmd_.ctl({"start", name});
    const auto ready = vtpmd_.ctl_json({"ready", name, "--wait", "--timeout", "30s"});
    EXPECT_EQ(Vtpmd::text_in(ready, "name"), "ready");
    auto hypervisor = vtpmd_.attach(name);
    ASSERT_TRUE(hypervisor.command(tpm::startup_clear()));
    const auto key = hypervisor.command(tpm::create_primary_ecc(tpm::kOwner));
    ASSERT_TRUE(key);

    ::kill(vtpmd_.pid(name), SIGKILL);
    vtpmd_.wait_for(name, "crashed");
    auto next = vtpmd_.attach(name);
    ASSERT_TRUE(next.command(tpm::startup_clear()));
    const auto same = next.command(tpm::create_primary_ecc(tpm::kOwner));
    ASSERT_TRUE(same);
    // The same seeds make the same key.
    EXPECT_EQ(*same, *key);
  }
}

// Whoever repeats a call that was cut short gets what the call was for, once.
TEST_F(VtpmdKillTest, FinishesACreationAndADeletionThatWereCutShort) {
  for (unsigned i = 0; i < 2 + rounds_ / 5; ++i) {
    SCOPED_TRACE("round " + std::to_string(i));
    const auto number = std::to_string(i);
    std::vector<std::string> create = {"create", "a"};
    std::vector<std::string> remove = {"delete", "a", "--yes"};
    const bool has_key = below(2) == 0;
    if (has_key) {
      create.insert(create.end(), {"--idempotency-key", "create" + number});
      remove.insert(remove.end(), {"--idempotency-key", "delete" + number});
    }

    kill_vtpmd_during(create);
    const auto created = vtpmd_.ctl(create);
    EXPECT_EQ(created.status, 0) << created.err << vtpmd_.log();
    EXPECT_EQ(vtpmd_.ctl_json({"list"}).at("vms").as_array().size(), 1U);
    { auto hypervisor = vtpmd_.attach("a"); }
    EXPECT_EQ(vtpmd_.ctl({"stop", "a", "--force"}).status, 0);

    kill_vtpmd_during(remove);
    const auto removed = vtpmd_.ctl(remove);
    // Without a key nobody knows that it was this caller who deleted it.
    EXPECT_TRUE(removed.status == 0 || (!has_key && removed.status == 4)) << removed.err;
    EXPECT_TRUE(vtpmd_.ctl_json({"list"}).at("vms").as_array().empty());
    EXPECT_TRUE(std::filesystem::is_empty(vtpmd_.state() / "vms"));
    EXPECT_TRUE(std::filesystem::is_empty(vtpmd_.runtime() / "vms"));
  }
}

}  // namespace
}  // namespace tests::integration
