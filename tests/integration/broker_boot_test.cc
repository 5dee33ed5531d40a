// SPDX-License-Identifier: Apache-2.0
#include "vtpm/boot/broker_boot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "tests/integration/broker_fixture.h"
#include "tests/support/error_code.h"
#include "tests/support/fake_tee.h"
#include "tests/support/temp_folder.h"
#include "vmgs/crypto/random.h"

// A VM's starts against the real broker: its rules, its records in SQLite, and evidence that it
// verifies.
namespace tests::integration {
namespace {

using base::ErrorCode;
using protocol::Readiness;
using protocol::TeeFamily;
using support::error_code;
using testing::HasSubstr;
using vtpm::boot::BrokerBoot;
using vtpm::engine::BlobKind;

// A machine whose evidence is signed as simulated hardware signs it.
class MachineTee final : public vtpm::tee::Tee {
 public:
  explicit MachineTee(TestInstance& instance)
      : instance_(instance),
        keys_(instance.document.tee_family == TeeFamily::kSevSnp ? support::FakeTee::snp()
                                                                 : support::FakeTee::tdx()) {}

  base::Result<vtpm::tee::Evidence> report(const vtpm::tee::ReportData& report_data) override {
    auto shown = instance_.shows(instance_.boot.launch_digest, report_data);
    return vtpm::tee::Evidence{std::move(shown.report), std::move(shown.certificate_table)};
  }

  base::Result<base::Bytes> hardware_report(const vtpm::tee::ReportData& report_data) override {
    return keys_.hardware_report(report_data);
  }

  base::Result<vtpm::tee::OwnReport> own_report() override { return keys_.own_report(); }

  base::Result<base::Secret<32>> derive_key(const vtpm::tee::KeyBinding& binding) override {
    return keys_.derive_key(binding);
  }

 private:
  TestInstance& instance_;
  support::FakeTee keys_;
};

class BrokerBootTest : public testing::TestWithParam<TeeFamily> {
 protected:
  BrokerBootTest() : document_(document_for(at_, 0xB1, GetParam())), path_(folder_ / "vm.vmgs") {}

  void SetUp() override { register_vm(at_, document_); }

  // One start, with its own road to the broker.
  struct Life {
    std::unique_ptr<TestInstance> road;
    std::unique_ptr<MachineTee> tee;
    std::unique_ptr<BrokerBoot> boot;
    BrokerBoot::Started started;
    std::optional<base::Error> error;
  };

  Life begin() {
    at_.now += std::chrono::minutes(10);  // a broker answers a host so often in a while
    Life life;
    life.road = std::make_unique<TestInstance>(at_, document_);
    life.tee = std::make_unique<MachineTee>(*life.road);
    BrokerBoot::Settings settings{.channel = *life.road,
                                  .tee = *life.tee,
                                  .document = document_,
                                  .launch_digest = life.road->boot.launch_digest};
    EXPECT_TRUE(vmgs::crypto::random_bytes(settings.boot_id));
    settings.receipt = receipt_;
    settings.keep_receipt = [this](base::ByteView receipt) { receipt_ = base::copy_of(receipt); };
    life.boot = std::make_unique<BrokerBoot>(std::move(settings));
    vtpm::boot::StoreSettings at;
    at.path = path_;
    at.new_store_bytes = 256 * 1024;
    auto started = life.boot->start(at, true, [] {
      return base::Result<base::SecretBytes>(
          base::SecretBytes::taking(base::copy_of(base::bytes_of("made"))));
    });
    if (started) {
      life.started = *std::move(started);
    } else {
      life.error = started.error();
    }
    return life;
  }

  Life serve() {
    auto life = begin();
    EXPECT_FALSE(life.error) << life.error->message;
    const auto anchored = life.boot->anchor();
    EXPECT_TRUE(anchored) << anchored.error().message;
    return life;
  }

  static void write(const Life& life, const std::string& state) {
    ASSERT_TRUE(life.started.store->store(BlobKind::kPermanent, base::bytes_of(state)));
  }

  void live(const std::string& state) {
    const auto life = serve();
    write(life, state);
    ASSERT_TRUE(life.boot->close());
  }

  void expect_refused(Readiness why) {
    const auto life = begin();
    ASSERT_TRUE(life.error) << name(why);
    EXPECT_EQ(life.boot->trouble(), why) << life.error->message;
  }

  std::string found() {
    const auto life = begin();
    if (life.error) {
      return "error: " + life.error->message;
    }
    const auto blob = life.started.store->load(BlobKind::kPermanent);
    return {reinterpret_cast<const char*>((*blob)->expose().data()), (*blob)->size()};
  }

  void copy(const std::string& to) const {
    std::filesystem::copy_file(path_, folder_ / to,
                               std::filesystem::copy_options::overwrite_existing);
  }

  void put_back(const std::string& from) const {
    std::filesystem::copy_file(folder_ / from, path_,
                               std::filesystem::copy_options::overwrite_existing);
  }

  TestBroker at_;
  support::TempFolder folder_;
  protocol::LaunchDocument document_;
  std::filesystem::path path_;
  base::Bytes receipt_;
};

TEST_P(BrokerBootTest, KeepsAVmOverItsStarts) {
  live("first");
  live("second");
  EXPECT_EQ(found(), "second");
  const auto record = *at_.records.vm(document_.vm_id);
  EXPECT_EQ(record.epoch, 3U);
}

TEST_P(BrokerBootTest, AnOldFileIsStaleAfterTheBootAnchorAndAfterTheClose) {
  live("first");
  copy("closed");
  {
    const auto life = serve();
    copy("booted");
  }
  put_back("closed");
  expect_refused(Readiness::kStaleState);
  put_back("booted");
  EXPECT_EQ(found(), "first");
  live("second");
  put_back("booted");
  expect_refused(Readiness::kStaleState);
}

TEST_P(BrokerBootTest, OfTwoClonesTheLaterOneFencesTheOther) {
  live("first");
  copy("clone");
  const auto original = serve();
  write(original, "of the original");
  // The clone's file is one from before the original's anchor.
  const auto its_own = path_;
  path_ = folder_ / "clone";
  expect_refused(Readiness::kStaleState);
  path_ = its_own;

  // A refused clone has claimed the VM nevertheless: the original's last word is refused, and its
  // state still descends from its anchor.
  EXPECT_TRUE(original.boot->close());
  EXPECT_EQ(found(), "of the original");
}

TEST_P(BrokerBootTest, AStartIsNotServedOnceAnotherHasClaimedTheVm) {
  live("first");
  copy("clone");
  const auto first = begin();
  const auto its_own = path_;
  path_ = folder_ / "clone";
  const auto second = serve();
  path_ = its_own;

  EXPECT_EQ(error_code(first.boot->anchor()), ErrorCode::kDenied);
  EXPECT_EQ(first.boot->trouble(), Readiness::kBrokerRefused);
}

TEST_P(BrokerBootTest, ACrashBetweenAnyTwoStepsIsForgiven) {
  { const auto made = begin(); }  // before the first anchor: made anew
  { const auto life = serve(); }  // after it
  live("first");
  { const auto claimed = begin(); }
  for (const bool arrives : {false, true}) {
    const auto life = begin();
    ASSERT_FALSE(life.error) << life.error->message;
    // A message that is cut off is as good as lost.
    life.road->on_the_way = [&](client::Method method, base::Bytes& message) {
      if (method == client::Method::kAnchor && !arrives) {
        message.resize(message.size() / 2);
      }
    };
    if (arrives) {
      EXPECT_TRUE(life.boot->anchor());
    } else {
      EXPECT_FALSE(life.boot->anchor());
    }
    write(life, arrives ? "arrived" : "lost");
  }
  EXPECT_EQ(found(), "arrived");
}

TEST_P(BrokerBootTest, WhoeverDoesNotEarnTheKeyDoesNotGetIt) {
  live("first");
  const auto digest = at_.put(kDenying);
  const std::array<protocol::Sha256Digest, 1> denying{digest};
  ASSERT_TRUE(broker::set_policies(at_.records, kTenant, document_.vm_id, denying, at_.act()));

  expect_refused(Readiness::kBrokerRefused);
}

TEST_P(BrokerBootTest, AnAllowedRestoreComesBackOnce) {
  live("first");
  copy("kept");
  const auto receipt = receipt_;
  live("second");
  put_back("kept");
  expect_refused(Readiness::kStaleState);

  const auto allowed =
      broker::allow_restore_by_receipt(at_.records, kTenant, document_.vm_id, receipt,
                                       at_.rules.receipt_roots, broker::kRestoreLife, at_.act());
  ASSERT_TRUE(allowed) << allowed.error().message;
  {
    const auto life = serve();
    EXPECT_EQ(life.boot->freshness().restores, 1U);
    write(life, "restored");
    ASSERT_TRUE(life.boot->close());
  }
  EXPECT_EQ(found(), "restored");
  put_back("kept");
  expect_refused(Readiness::kStaleState);
}

TEST_P(BrokerBootTest, AMissingStoreIsNotMadeAgain) {
  live("first");
  std::filesystem::remove(path_);
  expect_refused(Readiness::kStateMissing);
}

INSTANTIATE_TEST_SUITE_P(Families, BrokerBootTest,
                         testing::Values(TeeFamily::kSevSnp, TeeFamily::kTdx),
                         [](const auto& family) {
                           return family.param == TeeFamily::kSevSnp ? "Snp" : "Tdx";
                         });

}  // namespace
}  // namespace tests::integration
