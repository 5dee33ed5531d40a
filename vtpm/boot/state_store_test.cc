// SPDX-License-Identifier: Apache-2.0
#include "vtpm/boot/state_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/support/error_code.h"
#include "tests/support/fake_tee.h"
#include "tests/support/temp_folder.h"
#include "vmgs/storage/file.h"
#include "vmgs/volume/volume.h"
#include "vtpm/boot/incoming_store.h"
#include "vtpm/boot/manufacture.h"
#include "vtpm/sealing/openhcl_key.h"
#include "vtpm/state/volume_nv_store.h"

namespace vtpm::boot {
namespace {

using base::ErrorCode;
using engine::BlobKind;
using tests::support::error_code;
using tests::support::FakeTee;
using vmgs::format::FileId;

vmgs::format::VmId vm(unsigned char number) {
  vmgs::format::VmId id;
  id.bytes.fill(std::byte{number});
  return id;
}

// A TEE that derives another key every time.
class FickleTee final : public tee::Tee {
 public:
  base::Result<tee::Evidence> report(const tee::ReportData& report_data) override {
    return steady_.report(report_data);
  }

  base::Result<base::Bytes> hardware_report(const tee::ReportData& report_data) override {
    return steady_.hardware_report(report_data);
  }

  base::Result<tee::OwnReport> own_report() override { return steady_.own_report(); }

  base::Result<base::Secret<32>> derive_key(const tee::KeyBinding&) override {
    ++derived_;
    return base::Secret<32>::filled_by([this](std::span<std::byte, 32> out) {
      std::fill(out.begin(), out.end(), std::byte{derived_});
      return base::Result<void>();
    });
  }

 private:
  FakeTee steady_ = FakeTee::snp();
  unsigned char derived_ = 0;
};

class StateStoreTest : public testing::Test {
 protected:
  // A VM's store and what keeps its key.
  struct Kept {
    StoreSettings settings;
    std::shared_ptr<Protector> protector;
  };

  StateStoreTest() : tee_(FakeTee::snp()), permanent_(*manufacture()) {}

  [[nodiscard]] StoreSettings at(const std::string& name) const {
    StoreSettings settings;
    settings.path = folder_ / name;
    return settings;
  }

  [[nodiscard]] Kept host(const std::string& key = "vm.vmgs.key") const {
    return {at("vm.vmgs"), host_key_protector(folder_ / key, sealing::KeyFileKind::kFile)};
  }

  [[nodiscard]] Kept hardware(unsigned char number = 1) {
    auto settings = at("vm.vmgs");
    settings.vm_id = vm(number);
    return {settings, sealed_keys_protector(tee_, vm(number), sealing::TcbGrace::kOver)};
  }

  [[nodiscard]] Kept none() const { return {at("vm.vmgs"), no_protector()}; }

  static base::Result<std::unique_ptr<StateStore>> create(const Kept& kept, base::ByteView state) {
    return StateStore::create(kept.settings, *kept.protector, state);
  }

  base::Result<std::unique_ptr<StateStore>> create(const Kept& kept) const {
    return create(kept, permanent_.expose());
  }

  static base::Result<std::unique_ptr<StateStore>> open(const Kept& kept) {
    return StateStore::open(kept.settings, *kept.protector);
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
  for (const auto& kept : {host(), hardware(), none()}) {
    {
      auto store = create(kept);
      ASSERT_TRUE(store) << store.error().message;
      EXPECT_EQ(loaded(**store), permanent_hex());
      ASSERT_TRUE((*store)->store(BlobKind::kPermanent, base::bytes_of("second state")));
      ASSERT_TRUE((*store)->close());
    }
    for (int restart = 0; restart < 3; ++restart) {
      auto store = open(kept);
      ASSERT_TRUE(store) << store.error().message;
      EXPECT_EQ(loaded(**store), base::to_hex(base::bytes_of("second state")));
      EXPECT_TRUE((*store)->volume().findings().empty());
    }
    std::filesystem::remove(kept.settings.path);
  }
}

TEST_F(StateStoreTest, ANewStoreIsWholeInItsFirstGeneration) {
  const auto kept = hardware();
  const auto store = *create(kept);

  EXPECT_EQ(store->volume().commit_sequence(), 1U);
  for (const auto id :
       {FileId::kTpmNvram, FileId::kVmUniqueId, FileId::kRecord, FileId::kSealedKeys}) {
    EXPECT_TRUE(store->volume().contains(id)) << describe(id);
  }
}

TEST_F(StateStoreTest, CreateNeverTouchesWhatIsThere) {
  const auto kept = host();
  ASSERT_TRUE(create(kept));

  EXPECT_EQ(error_code(create(kept, base::bytes_of("another"))), ErrorCode::kDenied);

  std::ofstream(folder_ / "other.vmgs") << std::string(65536, 'x');
  const Kept other{at("other.vmgs"), no_protector()};
  EXPECT_FALSE(create(other));
  EXPECT_EQ(loaded(**open(kept)), permanent_hex());
}

TEST_F(StateStoreTest, TakesABlankFileThatWasLaidOutBeforehand) {
  const auto kept = host();
  ASSERT_TRUE(vmgs::storage::FileDevice::create_preallocated(kept.settings.path, 1 << 20));

  ASSERT_TRUE(create(kept));

  EXPECT_EQ(std::filesystem::file_size(kept.settings.path), 1U << 20);
  EXPECT_EQ(loaded(**open(kept)), permanent_hex());
}

TEST_F(StateStoreTest, ACrashedCreationLeavesNothingInTheWay) {
  // What is left when the power goes while the file is made: half of it under its temporary name,
  // and the key, which comes first.
  std::ofstream(folder_ / "vm.vmgs.creating") << "half";
  ASSERT_TRUE(sealing::make_host_key(folder_ / "vm.vmgs.key"));
  const auto kept = host();

  EXPECT_EQ(error_code(open(kept)), ErrorCode::kNotFound);
  ASSERT_TRUE(create(kept));

  EXPECT_EQ(file_names(), (std::vector<std::string>{"vm.vmgs", "vm.vmgs.key"}));
}

TEST_F(StateStoreTest, TwoDoNotMakeTheSameStoreAtOnce) {
  const auto other =
      vmgs::storage::FileDevice::create_preallocated(folder_ / "vm.vmgs.creating", 1 << 20);
  ASSERT_TRUE(other);

  EXPECT_EQ(error_code(create(host())), ErrorCode::kUnavailable);
}

TEST_F(StateStoreTest, AStoreWithoutTpmStateIsNeverFilled) {
  auto kept = none();
  kept.settings.vm_id = vm(1);
  {
    auto container = *vmgs::storage::create_container(kept.settings.path, {});
    ASSERT_TRUE(vmgs::volume::Volume::format(*container.device, container.spacing, std::nullopt));
  }

  const auto store = open(kept);

  ASSERT_EQ(error_code(store), ErrorCode::kNotFound);
  EXPECT_NE(store.error().message.find("never made anew"), std::string::npos);
  EXPECT_EQ(error_code(create(kept)), ErrorCode::kDenied);
}

TEST_F(StateStoreTest, NamesTheTpmOfAnotherMakerAndLeavesItAlone) {
  auto kept = none();
  kept.settings.vm_id = vm(1);
  {
    auto container = *vmgs::storage::create_container(kept.settings.path, {});
    base::Bytes image(32768);
    image[0] = std::byte{1};
    vmgs::volume::Transaction first;
    first.put(FileId::kTpmNvram, image);
    ASSERT_TRUE(
        vmgs::volume::Volume::format(*container.device, container.spacing, std::nullopt, first));
  }

  const auto store = open(kept);

  ASSERT_EQ(error_code(store), ErrorCode::kDenied);
  EXPECT_NE(store.error().message.find("OpenHCL"), std::string::npos) << store.error().message;
}

TEST_F(StateStoreTest, NamesWhatIsInAStoreThatDoesNotSayWhoseItIs) {
  const auto make = [&](const std::string& name, base::ByteView nvram) {
    auto kept = none();
    kept.settings.path = folder_ / name;
    auto container = *vmgs::storage::create_container(kept.settings.path, {});
    vmgs::volume::Transaction first;
    if (!nvram.empty()) {
      first.put(FileId::kTpmNvram, nvram);
    }
    EXPECT_TRUE(
        vmgs::volume::Volume::format(*container.device, container.spacing, std::nullopt, first));
    return kept;
  };
  base::Bytes image(32768);
  image[0] = std::byte{1};
  const auto ours =
      state::encode_first_state(vm(1), vmgs::format::SeedProtection::kHost, permanent_.expose());

  const auto nothing = open(make("nothing", {}));
  ASSERT_EQ(error_code(nothing), ErrorCode::kNotFound);
  EXPECT_NE(nothing.error().message.find("no TPM state"), std::string::npos)
      << nothing.error().message;
  const auto foreign = open(make("foreign", image));
  ASSERT_EQ(error_code(foreign), ErrorCode::kDenied);
  EXPECT_NE(foreign.error().message.find("OpenHCL"), std::string::npos) << foreign.error().message;
  EXPECT_EQ(error_code(open(make("noise", base::bytes_of("noise")))), ErrorCode::kCorrupt);
  const auto without_id = open(make("without-id", ours.expose()));
  ASSERT_EQ(error_code(without_id), ErrorCode::kCorrupt);
  EXPECT_NE(without_id.error().message.find("VM_UNIQUE_ID"), std::string::npos);
}

TEST_F(StateStoreTest, ProtectionIsNeverTakenDownNorPutOn) {
  ASSERT_TRUE(create(none()));
  EXPECT_EQ(error_code(open(host())), ErrorCode::kDenied);
  EXPECT_EQ(error_code(open(hardware())), ErrorCode::kDenied);

  std::filesystem::remove(at("vm.vmgs").path);
  ASSERT_TRUE(create(host()));
  EXPECT_EQ(error_code(open(none())), ErrorCode::kDenied);
  EXPECT_EQ(error_code(open(hardware())), ErrorCode::kDenied);

  std::filesystem::remove(at("vm.vmgs").path);
  ASSERT_TRUE(create(hardware()));
  EXPECT_EQ(error_code(open(none())), ErrorCode::kDenied);
  EXPECT_EQ(error_code(open(host())), ErrorCode::kDenied);
}

TEST_F(StateStoreTest, TheWrongKeyFileOpensNothing) {
  ASSERT_TRUE(create(host()));
  const auto other = host("other.key");
  EXPECT_EQ(error_code(open(other)), ErrorCode::kAuthentication) << "the store is there";
  ASSERT_TRUE(sealing::make_host_key(folder_ / "other.key"));

  EXPECT_EQ(error_code(open(other)), ErrorCode::kAuthentication);
}

TEST_F(StateStoreTest, AStoreWhoseKeyIsGoneIsThereAndGetsNoOtherKey) {
  const auto kept = host();
  ASSERT_TRUE(create(kept));
  std::filesystem::rename(folder_ / "vm.vmgs.key", folder_ / "saved");

  const auto store = open(kept);

  ASSERT_EQ(error_code(store), ErrorCode::kAuthentication);
  EXPECT_NE(store.error().message.find("vm.vmgs.key"), std::string::npos) << store.error().message;
  EXPECT_EQ(error_code(create(kept)), ErrorCode::kDenied);
  EXPECT_EQ(file_names(), (std::vector<std::string>{"saved", "vm.vmgs"}));
  std::filesystem::rename(folder_ / "saved", folder_ / "vm.vmgs.key");
  EXPECT_EQ(loaded(**open(kept)), permanent_hex());
}

TEST_F(StateStoreTest, AKeyFileThatIsOpenToOthersOrNoKeyDoesNotMakeTheStoreForeign) {
  const auto kept = host();
  ASSERT_TRUE(create(kept));
  const auto key = folder_ / "vm.vmgs.key";

  std::filesystem::permissions(key, std::filesystem::perms(0644));
  EXPECT_EQ(error_code(open(kept)), ErrorCode::kAuthentication);
  std::filesystem::permissions(key, std::filesystem::perms(0600));
  std::ofstream(key) << "no key";
  EXPECT_EQ(error_code(open(kept)), ErrorCode::kAuthentication);
}

TEST_F(StateStoreTest, AFolderThatIsNotThereIsNoPlaceForAStore) {
  auto kept = none();
  kept.settings.path = folder_ / "none" / "vm.vmgs";
  EXPECT_EQ(error_code(create(kept)), ErrorCode::kNotFound);
}

TEST_F(StateStoreTest, AnInUseStoreIsRefused) {
  const auto kept = host();
  const auto first = *create(kept);

  EXPECT_EQ(error_code(open(kept)), ErrorCode::kUnavailable);
}

TEST_F(StateStoreTest, EachStartRotatesTheHardwareKeyAndTheBootId) {
  const auto kept = hardware();
  { ASSERT_TRUE(create(kept)); }
  std::vector<std::string> seen;
  for (int start = 0; start < 3; ++start) {
    const auto store = *open(kept);
    seen.push_back(base::to_hex(store->volume().read(FileId::kSealedKeys)->expose()));
    seen.push_back(base::to_hex(store->volume().read(FileId::kRecord)->expose()));
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end());
}

TEST_F(StateStoreTest, AnExportForOpenHclOpensTheStoreUntilTheNextStart) {
  const auto kept = hardware();
  { ASSERT_TRUE(create(kept)); }
  auto exporting = kept;
  exporting.protector =
      sealed_keys_protector(tee_, vm(1), sealing::TcbGrace::kOver, R"({"secure-boot":true})");
  { ASSERT_TRUE(open(exporting)); }
  {
    // As OpenHCL reads it: the protector before the store is unlocked, and its key.
    auto container = *vmgs::storage::open_container(
        kept.settings.path, {.access = vmgs::storage::Access::kReadWrite, .spacing = {}});
    auto volume = *vmgs::volume::Volume::open(*container.device, container.spacing);
    const auto protector = volume.read(FileId::kHwKeyProtector);
    ASSERT_TRUE(protector) << protector.error().message;
    auto key = sealing::open_hw_key_protector(protector->expose(), tee_, R"({"secure-boot":true})");
    ASSERT_TRUE(key) << key.error().message;
    EXPECT_TRUE(volume.unlock(vmgs::volume::fixed_key(*std::move(key))));
  }

  const auto store = *open(kept);

  EXPECT_FALSE(store->volume().contains(FileId::kHwKeyProtector));
}

TEST_F(StateStoreTest, AnExportThatDoesNotOpenAgainIsNotWritten) {
  const auto kept = hardware();
  { ASSERT_TRUE(create(kept)); }

  // The export asks for the reported TCB, which this machine claims not to have reached.
  tee_.machine.reported_svn.fill(std::byte{0xFF});
  auto exporting = kept;
  exporting.protector = sealed_keys_protector(tee_, vm(1), sealing::TcbGrace::kOver, "{}");
  EXPECT_FALSE(open(exporting));

  const auto store = open(kept);
  ASSERT_TRUE(store) << store.error().message;
  EXPECT_FALSE((*store)->volume().contains(FileId::kHwKeyProtector));
}

TEST_F(StateStoreTest, NothingDependsOnAKeyThatWasNotProvenToOpenAgain) {
  FickleTee fickle;
  auto kept = hardware();
  kept.protector = sealed_keys_protector(fickle, vm(1), sealing::TcbGrace::kOver);

  EXPECT_EQ(error_code(create(kept)), ErrorCode::kAuthentication);
  EXPECT_TRUE(file_names().empty());
}

TEST_F(StateStoreTest, ARecordOfAnotherVmIsRefused) {
  const auto kept = host();
  { ASSERT_TRUE(create(kept)); }
  {
    auto container = *vmgs::storage::open_container(
        kept.settings.path, {.access = vmgs::storage::Access::kReadWrite, .spacing = {}});
    auto volume = *vmgs::volume::Volume::open(*container.device, container.spacing);
    auto key = *sealing::read_host_key(folder_ / "vm.vmgs.key");
    ASSERT_TRUE(volume.unlock(vmgs::volume::fixed_key(std::move(key))));
    vmgs::format::Record record;
    record.vm_id = vm(9);
    const auto bytes = vmgs::format::encode_record(record);
    vmgs::volume::Transaction change;
    change.put(FileId::kRecord, bytes);
    ASSERT_TRUE(volume.commit(change));
  }

  const auto store = open(kept);

  ASSERT_EQ(error_code(store), ErrorCode::kDenied);
  EXPECT_NE(store.error().message.find("RECORD (49)"), std::string::npos);
}

TEST_F(StateStoreTest, AnotherVmOfTheSameImageAndChipIsRefused) {
  { ASSERT_TRUE(create(hardware())); }

  // The same machine and measurement, another launch document.
  tee_.machine.launch_digest.bytes.fill(std::byte{0xEE});
  const auto other_launch = open(hardware());
  ASSERT_EQ(error_code(other_launch), ErrorCode::kDenied);
  EXPECT_NE(other_launch.error().message.find("launch"), std::string::npos)
      << other_launch.error().message;
}

TEST_F(StateStoreTest, AnotherImageIsToldWhatWouldOpenTheStore) {
  { ASSERT_TRUE(create(hardware())); }

  tee_.machine.measurement.fill(std::byte{0x44});
  const auto store = open(hardware());

  ASSERT_FALSE(store);
  EXPECT_NE(store.error().message.find("measurement"), std::string::npos) << store.error().message;
}

TEST_F(StateStoreTest, AnOrdinaryVmIsKnownByItsStore) {
  vmgs::format::VmId id;
  { id = (*create(host()))->vm_id(); }
  EXPECT_NE(id, vmgs::format::VmId{});

  EXPECT_EQ((*open(host()))->vm_id(), id);
  auto other = host();
  other.settings.vm_id = vm(9);
  EXPECT_EQ(error_code(open(other)), ErrorCode::kDenied);
}

TEST_F(StateStoreTest, AFileSwappedUnderneathIsNoticedAtPowerOnAndAtClose) {
  const auto kept = host();
  const auto store = *create(kept);
  std::filesystem::rename(kept.settings.path, folder_ / "away");
  std::filesystem::copy_file(folder_ / "away", kept.settings.path);

  EXPECT_EQ(error_code(store->load(BlobKind::kPermanent)), ErrorCode::kDenied);
  EXPECT_EQ(error_code(store->close()), ErrorCode::kDenied);
}

TEST_F(StateStoreTest, NothingCountsAsStoredInAFileThatLostItsName) {
  const auto kept = host();
  const auto store = *create(kept);
  ASSERT_TRUE(store->store(BlobKind::kVolatile, base::bytes_of("running")));
  std::filesystem::rename(kept.settings.path, folder_ / "away");
  EXPECT_EQ(error_code(store->store(BlobKind::kPermanent, base::bytes_of("lost"))),
            ErrorCode::kDenied);
  std::filesystem::copy_file(folder_ / "away", kept.settings.path);

  EXPECT_EQ(error_code(store->store(BlobKind::kPermanent, base::bytes_of("lost"))),
            ErrorCode::kDenied);
  EXPECT_EQ(error_code(store->remove(BlobKind::kVolatile)), ErrorCode::kDenied);
  EXPECT_EQ(error_code(store->load(BlobKind::kPermanent)), ErrorCode::kDenied)
      << "and the other file is not taken for it";
}

TEST_F(StateStoreTest, NothingIsWrittenBeforeTheStateWasRead) {
  const auto kept = hardware();
  { ASSERT_TRUE(create(kept)); }
  const auto bytes_of_file = [&] {
    std::ifstream file(kept.settings.path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const auto before = bytes_of_file();

  tee_.machine.measurement.fill(std::byte{0x44});
  ASSERT_FALSE(open(hardware()));

  EXPECT_EQ(bytes_of_file(), before);
}

TEST_F(StateStoreTest, APowerOnAfterAFailedCommitOpensTheStoreAnew) {
  const auto kept = hardware();
  const auto store = *create(kept);
  const auto protector_before = store->volume().read(FileId::kSealedKeys);
  const base::Bytes too_large(8U << 20, std::byte{1});
  ASSERT_FALSE(store->store(BlobKind::kPermanent, too_large));

  EXPECT_EQ(loaded(*store), permanent_hex());
  const auto protector_after = store->volume().read(FileId::kSealedKeys);
  EXPECT_FALSE(std::ranges::equal(protector_before->expose(), protector_after->expose()))
      << "opening rotates";
  EXPECT_TRUE(store->store(BlobKind::kPermanent, base::bytes_of("later")));
  EXPECT_EQ(loaded(*store), base::to_hex(base::bytes_of("later")));
}

TEST_F(StateStoreTest, AClosedStoreLetsGoOfItsFileAndAnswersNothing) {
  const auto kept = host();
  const auto store = *create(kept);

  ASSERT_TRUE(store->close());
  ASSERT_TRUE(store->close());

  EXPECT_EQ(error_code(store->load(BlobKind::kPermanent)), ErrorCode::kDenied);
  EXPECT_EQ(error_code(store->store(BlobKind::kPermanent, base::bytes_of("x"))),
            ErrorCode::kDenied);
  EXPECT_EQ(error_code(store->remove(BlobKind::kVolatile)), ErrorCode::kDenied);
  EXPECT_TRUE(open(kept));
}

TEST_F(StateStoreTest, AnIncomingStateMakesItsStoreWhenItArrives) {
  const auto kept = host();
  IncomingStore incoming(kept.settings, *kept.protector, true);
  EXPECT_EQ(loaded(incoming), "none");
  EXPECT_TRUE(file_names().empty());
  EXPECT_FALSE(incoming.store(BlobKind::kVolatile, base::bytes_of("too early")));
  std::ofstream(arriving_marker(kept.settings.path)) << "it is still to be made";

  ASSERT_TRUE(incoming.store(BlobKind::kPermanent, permanent_.expose()));
  EXPECT_FALSE(std::filesystem::exists(arriving_marker(kept.settings.path)));
  ASSERT_TRUE(incoming.store(BlobKind::kVolatile, base::bytes_of("running")));

  EXPECT_EQ(loaded(incoming), permanent_hex());
  EXPECT_TRUE(incoming.close());
  EXPECT_EQ(error_code(incoming.load(BlobKind::kPermanent)), ErrorCode::kDenied);
  EXPECT_EQ(loaded(**open(kept)), permanent_hex());
}

TEST_F(StateStoreTest, AnIncomingStateReplacesTheOneThatIsThere) {
  const auto kept = host();
  { ASSERT_TRUE(create(kept)); }
  IncomingStore incoming(kept.settings, *kept.protector, true);
  EXPECT_TRUE(open(kept)) << "it takes no lock before the state arrives";

  ASSERT_TRUE(incoming.store(BlobKind::kPermanent, base::bytes_of("arrived")));

  EXPECT_EQ(loaded(incoming), base::to_hex(base::bytes_of("arrived")));
}

TEST_F(StateStoreTest, AnIncomingStateMakesNothingUnasked) {
  const auto kept = host();
  IncomingStore incoming(kept.settings, *kept.protector, false);

  EXPECT_EQ(error_code(incoming.store(BlobKind::kPermanent, permanent_.expose())),
            ErrorCode::kNotFound);
  EXPECT_TRUE(file_names().empty());
}

TEST_F(StateStoreTest, AnIncomingStateThatNeverCameLeavesNothing) {
  const auto kept = host();
  IncomingStore incoming(kept.settings, *kept.protector, true);

  EXPECT_TRUE(incoming.close());

  EXPECT_EQ(error_code(incoming.store(BlobKind::kPermanent, permanent_.expose())),
            ErrorCode::kDenied);
  EXPECT_TRUE(file_names().empty());
}

}  // namespace
}  // namespace vtpm::boot
