// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "tests/integration/broker_fixture.h"
#include "tests/support/fake_tee.h"
#include "tests/support/temp_folder.h"
#include "vmgs/crypto/random.h"
#include "vtpm/boot/broker_boot.h"

// A VM's starts against the real broker: its rules, its records in SQLite, and evidence that it
// verifies.
namespace tests::integration {

// A machine whose evidence is signed as simulated hardware signs it.
class MachineTee final : public vtpm::tee::Tee {
 public:
  explicit MachineTee(TestInstance& instance)
      : instance_(instance),
        keys_(instance.document.tee_family == protocol::TeeFamily::kSevSnp
                  ? support::FakeTee::snp()
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

// A VM of the family that is the test's parameter, whose state the broker protects.
class BrokerBootCase : public testing::TestWithParam<protocol::TeeFamily> {
 protected:
  BrokerBootCase() : document_(document_for(at_, 0xB1, GetParam())), path_(folder_ / "vm.vmgs") {}

  void SetUp() override { register_vm(at_, document_); }

  // One start, with its own road to the broker.
  struct Life {
    std::unique_ptr<TestInstance> road;
    std::unique_ptr<MachineTee> tee;
    std::unique_ptr<vtpm::boot::BrokerBoot> boot;
    vtpm::boot::BrokerBoot::Started started;
    std::optional<base::Error> error;
  };

  Life begin() {
    at_.now += std::chrono::minutes(10);  // a broker answers a host so often in a while
    Life life;
    life.road = std::make_unique<TestInstance>(at_, document_);
    life.road->is_cut_off = broker_is_away_;
    life.tee = std::make_unique<MachineTee>(*life.road);
    vtpm::boot::BrokerBoot::Settings settings{.channel = *life.road,
                                              .tee = *life.tee,
                                              .document = document_,
                                              .launch_digest = life.road->boot.launch_digest};
    EXPECT_TRUE(vmgs::crypto::random_bytes(settings.boot_id));
    settings.receipt = receipt_;
    settings.keep_receipt = [this](base::ByteView receipt) { receipt_ = base::copy_of(receipt); };
    life.boot = std::make_unique<vtpm::boot::BrokerBoot>(std::move(settings));
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
    ASSERT_TRUE(
        life.started.store->store(vtpm::engine::BlobKind::kPermanent, base::bytes_of(state)));
  }

  void live(const std::string& state) {
    const auto life = serve();
    write(life, state);
    ASSERT_TRUE(life.boot->close());
  }

  void expect_refused(protocol::Readiness why) {
    const auto life = begin();
    ASSERT_TRUE(life.error) << name(why);
    EXPECT_EQ(life.boot->trouble(), why) << life.error->message;
  }

  std::string found() {
    const auto life = begin();
    if (life.error) {
      return "error: " + life.error->message;
    }
    const auto blob = life.started.store->load(vtpm::engine::BlobKind::kPermanent);
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
  bool broker_is_away_ = false;  // what is said to it is lost
  support::TempFolder folder_;
  protocol::LaunchDocument document_;
  std::filesystem::path path_;
  base::Bytes receipt_;
};

}  // namespace tests::integration
