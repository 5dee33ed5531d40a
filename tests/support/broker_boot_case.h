// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <stop_token>
#include <string>
#include <tuple>

#include "tests/support/error_code.h"
#include "tests/support/fake_broker.h"
#include "tests/support/fake_tee.h"
#include "tests/support/temp_folder.h"
#include "vmgs/crypto/random.h"
#include "vmgs/format/file_id.h"
#include "vtpm/boot/broker_boot.h"
#include "vtpm/boot/state_store.h"

// A namespace of its own, to be used whole: the words of such tests.
namespace tests::support::broker_boot {

using namespace vtpm::boot;
namespace pb = strongroom::broker::v1;
namespace protocol = keybroker::protocol;
using base::ErrorCode;
using keybroker::client::Method;
using protocol::OfflineRule;
using protocol::Readiness;
using tests::support::error_code;
using tests::support::FakeBroker;
using tests::support::FakeTee;
using vmgs::format::FileId;
using vtpm::engine::BlobKind;

inline constexpr std::uint64_t kStoreBytes = 256 * 1024;
inline constexpr protocol::Uuid kVm{std::byte{0x11}, std::byte{0x22}};

// One start of the VM, from the claim to its end.
struct Life {
  std::unique_ptr<BrokerBoot> boot;
  base::Result<BrokerBoot::Started> started = base::fail(ErrorCode::kInvalidArgument, "");

  [[nodiscard]] StateStore& store() const { return *const_cast<Life*>(this)->started->store; }

  // What the TPM does while its guest runs.
  void write(const std::string& state) const {
    ASSERT_TRUE(store().store(BlobKind::kPermanent, base::bytes_of(state)));
  }
};

// A VM whose state a broker protects, with broker, machine and storage in the test's hands.
class BrokerBootCase : public testing::Test {
 protected:
  BrokerBootCase() : tee_(FakeTee::snp()), path_(folder_ / "vm.vmgs") {
    document_.vm_id = kVm;
    document_.tenant.emplace().fill(std::byte{0x77});
    document_.tee_family = protocol::TeeFamily::kSevSnp;
    document_.broker_root_hashes = {broker_.root()};
    document_.protection = protocol::Protection::kBroker;
    document_.anchor_class = protocol::AnchorClass::kBoot;
  }

  // A start up to the moment when provisioning would begin.
  Life begin(bool may_create = true) {
    Life life;
    BrokerBoot::Settings settings{
        .channel = *channel_, .tee = tee_, .document = document_, .launch_digest = {}};
    settings.launch_digest = base::Bytes(32, std::byte{0x55});
    EXPECT_TRUE(vmgs::crypto::random_bytes(settings.boot_id));
    settings.receipt = receipt_;
    settings.stop = stop_.get_token();
    settings.keep_receipt = [this](base::ByteView receipt) { receipt_ = base::copy_of(receipt); };
    life.boot = std::make_unique<BrokerBoot>(std::move(settings));
    StoreSettings at;
    at.path = path_;
    at.new_store_bytes = kStoreBytes;
    life.started = life.boot->start(at, may_create, make_tpm_);
    return life;
  }

  // A start that is served, or fails.
  Life serve(bool may_create = true) {
    auto life = begin(may_create);
    EXPECT_TRUE(life.started) << life.started.error().message;
    if (life.started) {
      const auto anchored = life.boot->anchor();
      EXPECT_TRUE(anchored) << (anchored ? "" : anchored.error().message);
    }
    return life;
  }

  // A whole life that ends in order with this state.
  void live(const std::string& state) {
    const auto life = serve();
    ASSERT_TRUE(life.started);
    life.write(state);
    ASSERT_TRUE(life.boot->close());
  }

  void expect_refused(Readiness why, ErrorCode code = ErrorCode::kDenied) {
    const auto before = bytes();
    const auto life = begin();
    ASSERT_FALSE(life.started) << name(why);
    EXPECT_EQ(life.boot->trouble(), why) << life.started.error().message;
    EXPECT_EQ(life.started.error().code, code);
    EXPECT_EQ(bytes(), before) << "a refused store is left as it is";
  }

  // The state that the next start finds.
  std::string found() {
    const auto life = begin();
    if (!life.started) {
      return "error: " + life.started.error().message;
    }
    const auto blob = life.store().load(BlobKind::kPermanent);
    const auto view = (*blob)->expose();
    return {reinterpret_cast<const char*>(view.data()), view.size()};
  }

  [[nodiscard]] std::string copy(const std::string& name) const {
    std::filesystem::copy_file(path_, folder_ / name,
                               std::filesystem::copy_options::overwrite_existing);
    return name;
  }

  void put_back(const std::string& name) {
    std::filesystem::copy_file(folder_ / name, path_,
                               std::filesystem::copy_options::overwrite_existing);
  }

  [[nodiscard]] std::string bytes() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  void broker_is_away(bool away) {
    broker_.loses_request = [away](Method) { return away; };
  }

  tests::support::TempFolder folder_;
  FakeBroker broker_{kVm};
  keybroker::client::Channel* channel_ = &broker_;
  FakeTee tee_;
  protocol::LaunchDocument document_;
  std::filesystem::path path_;
  base::Bytes receipt_;
  std::function<base::Result<base::SecretBytes>()> make_tpm_ = [] {
    return base::SecretBytes::taking(base::copy_of(base::bytes_of("made")));
  };
  std::stop_source stop_;
};

}  // namespace tests::support::broker_boot
