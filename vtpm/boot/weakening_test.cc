// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <string>

#include "tests/support/error_code.h"
#include "tests/support/fake_certifier.h"
#include "tests/support/fake_tee.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tpm_commands.h"
#include "vmgs/format/file_id.h"
#include "vmgs/storage/container.h"
#include "vtpm/boot/manufacture.h"
#include "vtpm/boot/provisioning.h"
#include "vtpm/boot/state_store.h"
#include "vtpm/engine/engine.h"
#include "vtpm/provision/tpm_life.h"

namespace vtpm::boot {
namespace {

namespace tpm = tests::support;
using engine::BlobKind;
using keybroker::protocol::Protection;
using tests::support::FakeCertifier;
using tests::support::FakeTee;
using vmgs::format::FileId;
using vmgs::volume::Transaction;

struct Move {
  Protection from;
  Protection to;
  bool weaker;
};

std::ostream& operator<<(std::ostream& out, const Move& move) {
  return out << name(move.from) << " to " << name(move.to);
}

// A TPM whose owner takes it out of its store and puts it into one under another protection. No
// store is ever opened under another protection than its own, so this is the one way.
class WeakeningTest : public testing::TestWithParam<Move> {
 protected:
  WeakeningTest() { statement_.launch = base::Bytes(32); }

  [[nodiscard]] StoreSettings settings(Protection protection) const {
    StoreSettings settings;
    settings.path = folder_ / (std::string(name(protection)) + ".vmgs");
    settings.vm_id = vm_;
    return settings;
  }

  std::unique_ptr<Protector> protector(Protection protection) {
    switch (protection) {
      case Protection::kNone:
        return no_protector();
      case Protection::kHost:
        return host_key_protector(folder_ / "key", sealing::KeyFileKind::kFile);
      default:
        return sealed_keys_protector(tee_, vm_, sealing::TcbGrace::kOver);
    }
  }

  provision::ProvisionWishes wishes() {
    return {
        .vouching =
            provision::Vouching{.certifier = authority_, .statement = statement_, .tee = nullptr},
        .now = authority_.now};
  }

  // What `vmgs read`, `vmgs create` and `vmgs write` do, given the key.
  void move() {
    auto from = protector(GetParam().from);
    const auto source = *StateStore::open(settings(GetParam().from), *from);
    const auto state = *source->volume().read(FileId::kTpmNvram);
    const auto id = *source->volume().read(FileId::kVmUniqueId);
    auto beginning = *protector(GetParam().to)->make();
    Transaction files;
    files.put(FileId::kTpmNvram, state.expose());
    files.put(FileId::kVmUniqueId, id.expose(), vmgs::volume::Protection::kPlaintext);
    if (beginning.sealed_keys) {
      files.put(FileId::kSealedKeys, *beginning.sealed_keys, vmgs::volume::Protection::kPlaintext);
    }
    auto container = *vmgs::storage::create_container(
        settings(GetParam().to).path, {.kind = vmgs::storage::ContainerKind::kFixedVhd,
                                       .store_bytes = vmgs::format::kDefaultStoreBytes});
    ASSERT_TRUE(vmgs::volume::Volume::format(*container.device, container.spacing,
                                             std::move(beginning.key), files));
    ASSERT_TRUE(container.file->publish_as(folder_ / "published"));
    std::filesystem::rename(folder_ / "published", settings(GetParam().to).path);
  }

  // A start, and its certificate.
  struct Started {
    bool weaker = false;
    base::Bytes ak_name;
    base::Bytes certificate;
    base::Bytes srk_name;
  };

  Started start(Protection protection) {
    auto kept = protector(protection);
    auto store = StateStore::open(settings(protection), *kept);
    EXPECT_TRUE(store) << store.error().message;
    Started started;
    started.weaker = (*store)->is_weaker();
    const auto provisioned = provision_stored(**store, wishes());
    EXPECT_TRUE(provisioned) << provisioned.error().message;
    EXPECT_FALSE((*store)->is_weaker());
    started.ak_name = provisioned->rsa_ak->name;
    const auto state = *(*store)->load(BlobKind::kPermanent);
    started.certificate = provision::StoredCertificates::in(state->expose()).ak;
    auto life = *provision::TpmLife::begin(state->expose());
    started.srk_name = provision::primary_key(life->esys(), provision::storage_places()[0])->name;
    EXPECT_TRUE((*store)->close());
    return started;
  }

  tests::support::TempFolder folder_;
  FakeTee tee_ = FakeTee::snp();
  const vmgs::format::VmId vm_{.bytes = {std::byte{1}}};
  FakeCertifier authority_;
  provision::Statement statement_;
};

TEST_P(WeakeningTest, ChangesTheEndorsementSeedOnce) {
  const auto [from, to, weaker] = GetParam();
  {
    auto kept = protector(from);
    ASSERT_TRUE((*StateStore::create(settings(from), *kept, manufacture()->expose()))->close());
  }
  const auto before = start(from);
  EXPECT_FALSE(before.weaker);
  move();

  const auto after = start(to);

  EXPECT_EQ(after.weaker, weaker);
  EXPECT_EQ(after.ak_name != before.ak_name, weaker);
  EXPECT_EQ(after.srk_name, before.srk_name) << "what the guest has sealed still opens";
  EXPECT_FALSE(after.certificate.empty());
  EXPECT_EQ(after.certificate != before.certificate, weaker);
  EXPECT_EQ(authority_.asked, weaker ? 2 : 1);
  EXPECT_TRUE(authority_.of_host->new_seeds);

  const auto again = start(to);
  EXPECT_FALSE(again.weaker);
  EXPECT_EQ(again.ak_name, after.ak_name) << "once";
}

// A sleeping TPM's seed cannot be changed before its guest has woken up. It is not forgotten.
TEST_P(WeakeningTest, WaitsForATpmThatSleepsAndDoesNotAttestUntilThen) {
  const auto [from, to, weaker] = GetParam();
  {
    auto kept = protector(from);
    ASSERT_TRUE((*StateStore::create(settings(from), *kept, manufacture()->expose()))->close());
  }
  const auto before = start(from);
  const auto live = [&](Protection protection, std::vector<base::Bytes> commands) {
    auto kept = protector(protection);
    auto store = *StateStore::open(settings(protection), *kept);
    auto engine = *engine::Engine::create(*store);
    ASSERT_TRUE(engine->start(engine::Origin::kExisting));
    for (auto& command : commands) {
      ASSERT_EQ(tpm::response_code(*engine->process(protocol::Locality(), command)), tpm::kSuccess);
    }
  };
  live(from, {tpm::startup_clear(), tpm::shutdown_state()});
  move();
  {
    auto kept = protector(to);
    auto store = *StateStore::open(settings(to), *kept);
    EXPECT_EQ(tests::support::error_code(provision_stored(*store, wishes())),
              base::ErrorCode::kDenied);
  }
  live(to, {tpm::startup_state(), tpm::shutdown_clear()});

  EXPECT_EQ(start(to).ak_name != before.ak_name, weaker);
}

INSTANTIATE_TEST_SUITE_P(Moves, WeakeningTest,
                         testing::Values(Move{Protection::kHardware, Protection::kHost, true},
                                         Move{Protection::kHardware, Protection::kNone, true},
                                         Move{Protection::kHost, Protection::kNone, true},
                                         Move{Protection::kNone, Protection::kHost, false},
                                         Move{Protection::kHost, Protection::kHardware, false}),
                         [](const testing::TestParamInfo<Move>& move) {
                           return std::string(name(move.param.from)) + "_" +
                                  std::string(name(move.param.to));
                         });

}  // namespace
}  // namespace vtpm::boot
