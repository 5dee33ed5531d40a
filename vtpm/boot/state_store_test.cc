// SPDX-License-Identifier: Apache-2.0
#include "vtpm/boot/state_store.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/error_code.h"
#include "tests/support/fake_tee.h"
#include "tests/support/temp_folder.h"
#include "vmgs/storage/file.h"
#include "vmgs/volume/volume.h"
#include "vtpm/boot/incoming_store.h"

namespace vtpm::boot {
namespace {

using base::ErrorCode;
using engine::BlobKind;
using tests::support::FakeTee;
using vmgs::format::FileId;

vmgs::format::VmId vm(unsigned char number) {
  vmgs::format::VmId id;
  id.bytes.fill(std::byte{number});
  return id;
}

class StateStoreTest : public testing::Test {
 protected:
  StateStoreTest() : tee_(FakeTee::snp()), permanent_(*manufacture()) {}

  [[nodiscard]] StoreSettings host() const {
    StoreSettings settings;
    settings.path = folder_ / "vm.vmgs";
    settings.key_file = folder_ / "vm.vmgs.key";
    return settings;
  }

  [[nodiscard]] StoreSettings hardware(unsigned char number = 1) {
    StoreSettings settings;
    settings.path = folder_ / "vm.vmgs";
    settings.vm_id = vm(number);
    settings.protection = Protection::kHardware;
    settings.tee = &tee_;
    return settings;
  }

  [[nodiscard]] StoreSettings none() const {
    auto settings = host();
    settings.protection = Protection::kNone;
    return settings;
  }

  [[nodiscard]] std::string permanent_hex() const { return base::to_hex(permanent_.expose()); }

  static std::string loaded(engine::NvStore& store) {
    const auto blob = store.load(BlobKind::kPermanent);
    if (!blob) {
      return "error: " + blob.error().message;
    }
    return *blob ? base::to_hex((*blob)->expose()) : "none";
  }

  [[nodiscard]] std::vector<std::string> file_names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      names.push_back(entry.path().filename());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  tests::support::TempFolder folder_;
  FakeTee tee_;
  base::SecretBytes permanent_;
};

TEST_F(StateStoreTest, KeepsATpmOverRestartsUnderEachProtection) {
  for (const auto& settings : {host(), hardware(), none()}) {
    {
      auto store = StateStore::create(settings, permanent_.expose());
      ASSERT_TRUE(store) << store.error().message;
      EXPECT_EQ(loaded(**store), permanent_hex());
      ASSERT_TRUE((*store)->store(BlobKind::kPermanent, base::bytes_of("second state")));
      ASSERT_TRUE((*store)->close());
    }
    for (int restart = 0; restart < 3; ++restart) {
      auto store = StateStore::open(settings);
      ASSERT_TRUE(store) << store.error().message;
      EXPECT_EQ(loaded(**store), base::to_hex(base::bytes_of("second state")));
      EXPECT_TRUE((*store)->findings().empty());
    }
    std::filesystem::remove(settings.path);
  }
}

TEST_F(StateStoreTest, ANewStoreIsWholeInItsFirstGeneration) {
  const auto store = *StateStore::create(hardware(), permanent_.expose());

  EXPECT_EQ(store->volume().commit_sequence(), 1U);
  for (const auto id :
       {FileId::kTpmNvram, FileId::kVmUniqueId, FileId::kRecord, FileId::kSealedKeys}) {
    EXPECT_TRUE(store->volume().contains(id)) << describe(id);
  }
}

TEST_F(StateStoreTest, CreateNeverTouchesWhatIsThere) {
  ASSERT_TRUE(StateStore::create(host(), permanent_.expose()));

  EXPECT_EQ(StateStore::create(host(), base::bytes_of("another")).error().code, ErrorCode::kDenied);

  std::ofstream(folder_ / "other.vmgs") << std::string(65536, 'x');
  auto other = host();
  other.path = folder_ / "other.vmgs";
  EXPECT_FALSE(StateStore::create(other, permanent_.expose()));
  EXPECT_EQ(loaded(**StateStore::open(host())), permanent_hex());
}

TEST_F(StateStoreTest, TakesABlankFileThatWasLaidOutBeforehand) {
  const auto settings = host();
  ASSERT_TRUE(vmgs::storage::FileDevice::create_preallocated(settings.path, 1 << 20));

  ASSERT_TRUE(StateStore::create(settings, permanent_.expose()));

  EXPECT_EQ(std::filesystem::file_size(settings.path), 1U << 20);
  EXPECT_EQ(loaded(**StateStore::open(settings)), permanent_hex());
}

TEST_F(StateStoreTest, ACrashedCreationLeavesNothingInTheWay) {
  // What is left when the power goes while the file is made: half of it under its temporary name,
  // and the key, which comes first.
  std::ofstream(folder_ / "vm.vmgs.creating") << "half";
  ASSERT_TRUE(sealing::make_host_key(host().key_file));

  EXPECT_EQ(StateStore::open(host()).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(StateStore::create(host(), permanent_.expose()));

  EXPECT_EQ(file_names(), (std::vector<std::string>{"vm.vmgs", "vm.vmgs.key"}));
}

TEST_F(StateStoreTest, AStoreWithoutTpmStateIsNeverFilled) {
  const auto settings = none();
  {
    auto container = *vmgs::storage::create_container(settings.path, {});
    ASSERT_TRUE(vmgs::volume::Volume::format(*container.device, container.spacing, std::nullopt));
  }
  auto with_id = settings;
  with_id.vm_id = vm(1);

  const auto store = StateStore::open(with_id);

  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, ErrorCode::kNotFound);
  EXPECT_NE(store.error().message.find("never made anew"), std::string::npos);
}

TEST_F(StateStoreTest, ProtectionIsNeverTakenDown) {
  ASSERT_TRUE(StateStore::create(none(), permanent_.expose()));
  EXPECT_EQ(StateStore::open(host()).error().code, ErrorCode::kDenied);
  EXPECT_EQ(StateStore::open(hardware()).error().code, ErrorCode::kDenied);

  std::filesystem::remove(host().path);
  ASSERT_TRUE(StateStore::create(host(), permanent_.expose()));
  EXPECT_EQ(StateStore::open(none()).error().code, ErrorCode::kDenied);
}

TEST_F(StateStoreTest, TheWrongKeyFileOpensNothing) {
  ASSERT_TRUE(StateStore::create(host(), permanent_.expose()));
  auto other = host();
  other.key_file = folder_ / "other.key";
  EXPECT_EQ(StateStore::open(other).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(sealing::make_host_key(other.key_file));

  EXPECT_EQ(StateStore::open(other).error().code, ErrorCode::kAuthentication);
}

TEST_F(StateStoreTest, AnInUseStoreIsRefused) {
  const auto first = *StateStore::create(host(), permanent_.expose());

  EXPECT_EQ(StateStore::open(host()).error().code, ErrorCode::kUnavailable);
}

TEST_F(StateStoreTest, EachStartRotatesTheHardwareKeyAndTheBootId) {
  { ASSERT_TRUE(StateStore::create(hardware(), permanent_.expose())); }
  std::vector<std::string> seen;
  for (int start = 0; start < 3; ++start) {
    const auto store = *StateStore::open(hardware());
    seen.push_back(base::to_hex(store->volume().read(FileId::kSealedKeys)->expose()));
    seen.push_back(base::to_hex(store->volume().read(FileId::kRecord)->expose()));
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end());
}

TEST_F(StateStoreTest, AnotherVmOfTheSameImageAndChipIsRefused) {
  { ASSERT_TRUE(StateStore::create(hardware(), permanent_.expose())); }

  // The same machine and measurement, another launch document.
  tee_.machine.launch_digest.bytes.fill(std::byte{0xEE});
  const auto other_launch = StateStore::open(hardware());
  ASSERT_FALSE(other_launch);
  EXPECT_EQ(other_launch.error().code, ErrorCode::kDenied);
  EXPECT_NE(other_launch.error().message.find("launch"), std::string::npos)
      << other_launch.error().message;
}

TEST_F(StateStoreTest, AnotherImageIsToldWhatWouldOpenTheStore) {
  { ASSERT_TRUE(StateStore::create(hardware(), permanent_.expose())); }

  tee_.machine.measurement.fill(std::byte{0x44});
  const auto store = StateStore::open(hardware());

  ASSERT_FALSE(store);
  EXPECT_NE(store.error().message.find("measurement"), std::string::npos) << store.error().message;
}

TEST_F(StateStoreTest, AnOrdinaryVmIsKnownByItsStore) {
  vmgs::format::VmId id;
  { id = (*StateStore::create(host(), permanent_.expose()))->vm_id(); }
  EXPECT_NE(id, vmgs::format::VmId{});

  EXPECT_EQ((*StateStore::open(host()))->vm_id(), id);
  auto other = host();
  other.vm_id = vm(9);
  EXPECT_EQ(StateStore::open(other).error().code, ErrorCode::kDenied);
}

TEST_F(StateStoreTest, AFileSwappedUnderneathIsNoticedAtPowerOn) {
  const auto store = *StateStore::create(host(), permanent_.expose());
  std::filesystem::rename(host().path, folder_ / "away");
  std::filesystem::copy_file(folder_ / "away", host().path);

  EXPECT_EQ(store->load(BlobKind::kPermanent).error().code, ErrorCode::kDenied);
  EXPECT_FALSE(store->close());
}

TEST_F(StateStoreTest, NothingIsWrittenBeforeTheStateWasRead) {
  { ASSERT_TRUE(StateStore::create(hardware(), permanent_.expose())); }
  const auto bytes_of_file = [&] {
    std::ifstream file(hardware().path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const auto before = bytes_of_file();

  tee_.machine.measurement.fill(std::byte{0x44});
  ASSERT_FALSE(StateStore::open(hardware()));

  EXPECT_EQ(bytes_of_file(), before);
}

TEST_F(StateStoreTest, AnIncomingStateMakesItsStoreWhenItArrives) {
  IncomingStore incoming(host(), true);
  EXPECT_EQ(loaded(incoming), "none");
  EXPECT_TRUE(file_names().empty());
  EXPECT_FALSE(incoming.store(BlobKind::kVolatile, base::bytes_of("too early")));

  ASSERT_TRUE(incoming.store(BlobKind::kPermanent, permanent_.expose()));
  ASSERT_TRUE(incoming.store(BlobKind::kVolatile, base::bytes_of("running")));

  EXPECT_EQ(loaded(incoming), permanent_hex());
  ASSERT_NE(incoming.arrived(), nullptr);
  EXPECT_TRUE(incoming.arrived()->close());
}

TEST_F(StateStoreTest, AnIncomingStateReplacesNothingUnasked) {
  IncomingStore incoming(host(), false);

  EXPECT_EQ(incoming.store(BlobKind::kPermanent, permanent_.expose()).error().code,
            ErrorCode::kNotFound);
  EXPECT_TRUE(file_names().empty());
}

}  // namespace
}  // namespace vtpm::boot
