// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/format/file_id.h"
#include "vmgs/storage/container.h"
#include "vmgs/volume/volume.h"
#include "vtpm/boot/incoming_store.h"
#include "vtpm/boot/manufacture.h"
#include "vtpm/boot/state_store.h"

// Stores whose TPM moves between hosts.
namespace vtpm::boot {
namespace {

using base::ErrorCode;
using engine::BlobKind;
using tests::support::error_code;
using vmgs::format::Ownership;
using vmgs::format::Standing;
using vmgs::format::TicketId;

constexpr TicketId kTicket = {std::byte{1}};

base::Secret<32> secret(unsigned char number) {
  std::array<std::byte, 32> bytes{};
  bytes.fill(std::byte{number});
  return base::Secret<32>::copy_of(bytes);
}

// Nothing more is written while it lives.
class FullDisk {
 public:
  FullDisk() : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    EXPECT_EQ(::getrlimit(RLIMIT_FSIZE, &before_), 0);
    const rlimit none{.rlim_cur = 0, .rlim_max = before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &none), 0);
  }

  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

  ~FullDisk() {
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &before_), 0);
    (void)std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*const handler_)(int);
  rlimit before_{};
};

std::array<std::byte, 32> digest_of(unsigned char number) {
  return vmgs::crypto::sha256(secret(number).expose());
}

// The test runs with an encrypted store and with one that is not.
class StateOwnershipTest : public testing::TestWithParam<bool> {
 protected:
  StateOwnershipTest()
      : permanent_(*manufacture()),
        protector_(GetParam() ? host_key_protector(folder_ / "key", sealing::KeyFileKind::kFile)
                              : no_protector()) {
    settings_.path = folder_ / "vm.vmgs";
  }

  std::unique_ptr<StateStore> create() {
    auto made = StateStore::create(settings_, *protector_, permanent_.expose());
    EXPECT_TRUE(made) << made.error().message;
    return *std::move(made);
  }

  base::Result<std::unique_ptr<StateStore>> open() {
    return StateStore::open(settings_, *protector_);
  }

  base::Result<vmgs::format::VmId> vm_id_in_store() {
    const auto container =
        vmgs::storage::open_container(settings_.path, {.access = vmgs::storage::Access::kReadOnly});
    TRY_ASSIGN(volume, vmgs::volume::Volume::open(*container->device, container->spacing));
    TRY_ASSIGN(content, volume.read(vmgs::format::FileId::kVmUniqueId));
    return vmgs::format::vm_id_of_guid(content.expose().first<16>());
  }

  // A store whose TPM is offered.
  void offer() {
    auto store = create();
    ASSERT_TRUE(store->offer(kTicket, digest_of(1)));
    ASSERT_TRUE(store->close());
  }

  static Arrival arrival(std::uint64_t epoch) {
    Arrival arrival;
    arrival.ownership.epoch = epoch;
    arrival.ownership.ticket.fill(std::byte{2});
    return arrival;
  }

  tests::support::TempFolder folder_;
  base::SecretBytes permanent_;
  std::unique_ptr<Protector> protector_;
  StoreSettings settings_;
};

TEST_P(StateOwnershipTest, IsOwnedInItsFirstEpochWhereNothingIsSaid) {
  EXPECT_FALSE(*StateStore::ownership_in(settings_, *protector_)) << "there is none";
  EXPECT_EQ(create()->ownership(), Ownership());
  EXPECT_EQ(*StateStore::ownership_in(settings_, *protector_), Ownership());
}

TEST_P(StateOwnershipTest, StoresNothingMoreAndDoesNotStartOnceItIsOffered) {
  auto store = create();

  ASSERT_TRUE(store->offer(kTicket, digest_of(1)));

  EXPECT_EQ(store->ownership().epoch, 1U);
  EXPECT_EQ(error_code(store->store(BlobKind::kPermanent, permanent_.expose())),
            ErrorCode::kDenied);
  EXPECT_EQ(error_code(store->remove(BlobKind::kVolatile)), ErrorCode::kDenied);
  EXPECT_EQ(error_code(store->store_flash(base::Bytes(4096))), ErrorCode::kDenied);
  EXPECT_EQ(error_code(store->load(BlobKind::kPermanent)), ErrorCode::kDenied);
  EXPECT_EQ(error_code(store->offer({std::byte{9}}, digest_of(9))), ErrorCode::kDenied);
  EXPECT_EQ(error_code(store->hand_over()), ErrorCode::kDenied);
  ASSERT_TRUE(store->close());
  EXPECT_EQ(error_code(open()), ErrorCode::kDenied);
  const auto found = *StateStore::ownership_in(settings_, *protector_);
  EXPECT_EQ(found->standing, Standing::kOffered);
  EXPECT_EQ(found->ticket, kTicket);
}

TEST_P(StateOwnershipTest, GoesOnWhenItIsGivenBack) {
  auto store = create();
  EXPECT_EQ(error_code(store->take_back(secret(1))), ErrorCode::kDenied) << "it was not offered";
  ASSERT_TRUE(store->offer(kTicket, digest_of(1)));

  EXPECT_EQ(error_code(store->take_back(secret(2))), ErrorCode::kDenied);
  ASSERT_TRUE(store->take_back(secret(1)));

  EXPECT_TRUE(store->store(BlobKind::kPermanent, permanent_.expose()));
  ASSERT_TRUE(store->close());
  EXPECT_TRUE(open());
}

TEST_P(StateOwnershipTest, StartsWithWhatGivesItBackAndWithNothingElse) {
  offer();
  unsigned char released = 2;
  settings_.release_of = [&](const TicketId& ticket) {
    EXPECT_EQ(ticket, kTicket);
    return base::Result<base::Secret<32>>(secret(released));
  };
  EXPECT_EQ(error_code(open()), ErrorCode::kDenied);
  released = 1;

  {
    auto store = *open();
    ASSERT_TRUE(store->store(BlobKind::kPermanent, permanent_.expose()));
    ASSERT_TRUE(store->close());
  }

  settings_.release_of = nullptr;
  EXPECT_TRUE(open());
}

TEST_P(StateOwnershipTest, IsMadeAroundATpmThatArrives) {
  settings_.arrival = arrival(5);
  { EXPECT_EQ(create()->ownership(), arrival(5).ownership); }
  settings_.arrival.reset();

  EXPECT_EQ((*open())->ownership(), arrival(5).ownership);
}

TEST_P(StateOwnershipTest, TakesATpmThatComesBackToWhereItWasGivenAway) {
  offer();
  settings_.arrival = arrival(1);
  EXPECT_EQ(error_code(open()), ErrorCode::kDenied) << "it is older than what was given away";
  settings_.arrival = arrival(3);
  {
    // Until its state is stored it has not arrived.
    auto store = open();
    ASSERT_TRUE(store) << store.error().message;
    store->reset();
    EXPECT_EQ((*StateStore::ownership_in(settings_, *protector_))->standing, Standing::kOffered);
  }
  {
    auto store = *open();
    ASSERT_TRUE(store->store(BlobKind::kPermanent, permanent_.expose()));
    ASSERT_TRUE(store->close());
  }
  settings_.arrival.reset();

  EXPECT_EQ((*open())->ownership(), arrival(3).ownership);
}

// The state left although the offer was never durable, and both hosts started the TPM.
TEST_P(StateOwnershipTest, LetsNothingLeaveByAnOfferThatIsNotDurable) {
  auto store = create();
  {
    const FullDisk full;
    EXPECT_FALSE(store->offer(kTicket, digest_of(1)));
  }
  EXPECT_FALSE(store->leaves_for(kTicket));
  EXPECT_EQ(error_code(store->store(BlobKind::kPermanent, permanent_.expose())), ErrorCode::kDenied)
      << "nobody knows what the disk says";

  ASSERT_TRUE(store->open_anew_after_failure());

  EXPECT_EQ(store->ownership(), Ownership());
  EXPECT_FALSE(store->leaves_for(kTicket));
  EXPECT_TRUE(store->load(BlobKind::kPermanent));
  ASSERT_TRUE(store->offer(kTicket, digest_of(1)));
  EXPECT_TRUE(store->leaves_for(kTicket));
}

TEST_P(StateOwnershipTest, IsTakenBackWhereAnOfferThatFailedIsOnTheDisk) {
  auto store = create();
  std::filesystem::rename(settings_.path, folder_ / "moved");
  EXPECT_FALSE(store->offer(kTicket, digest_of(1)));
  EXPECT_FALSE(store->leaves_for(kTicket));
  std::filesystem::rename(folder_ / "moved", settings_.path);

  EXPECT_EQ(error_code(store->load(BlobKind::kPermanent)), ErrorCode::kDenied);

  ASSERT_TRUE(store->take_back(secret(1)));
  EXPECT_TRUE(store->load(BlobKind::kPermanent));
}

TEST_P(StateOwnershipTest, IsOfferedOnceToEachTicket) {
  auto store = create();
  ASSERT_TRUE(store->offer(kTicket, digest_of(1)));
  ASSERT_TRUE(store->take_back(secret(1)));

  EXPECT_EQ(error_code(store->offer(kTicket, digest_of(1))), ErrorCode::kDenied);

  EXPECT_TRUE(store->offer({std::byte{7}}, digest_of(2)));
  store.reset();
  settings_.arrival = arrival(2);
  store = *open();
  ASSERT_TRUE(store->store(BlobKind::kPermanent, permanent_.expose()));
  EXPECT_EQ(error_code(store->offer(arrival(2).ownership.ticket, digest_of(3))), ErrorCode::kDenied)
      << "it came by that";
}

// The TPM that was given away before was started in the place of the one that had not arrived, and
// counted as that one.
TEST_P(StateOwnershipTest, KeepsTheOldTpmOutWhereTheNewOneCouldNotBeStored) {
  offer();
  settings_.arrival = arrival(3);
  auto store = *open();
  {
    const FullDisk full;
    EXPECT_FALSE(store->store(BlobKind::kPermanent, permanent_.expose()));
  }

  EXPECT_EQ(error_code(store->load(BlobKind::kPermanent)), ErrorCode::kDenied);
  EXPECT_EQ(error_code(store->store_flash(base::Bytes(4096))), ErrorCode::kDenied);
  EXPECT_EQ(error_code(store->store(BlobKind::kVolatile, permanent_.expose())), ErrorCode::kDenied);
  EXPECT_EQ(error_code(store->remove(BlobKind::kPermanent)), ErrorCode::kDenied);
  EXPECT_EQ(store->ownership().standing, Standing::kOffered);

  ASSERT_TRUE(store->store(BlobKind::kPermanent, permanent_.expose())) << "again";
  EXPECT_TRUE(store->load(BlobKind::kPermanent));
  EXPECT_EQ(store->ownership(), arrival(3).ownership);
}

TEST_P(StateOwnershipTest, StillAwaitsTheTpmWhoseFirstCommitFailed) {
  offer();
  const auto vm_id = vmgs::format::VmId{{std::byte{9}}};
  IncomingStore incoming(settings_, *protector_, false);
  ASSERT_TRUE(incoming.arrives_by(vm_id, arrival(3)));
  EXPECT_EQ(error_code(incoming.store(BlobKind::kPermanent, permanent_.expose())),
            ErrorCode::kDenied)
      << "the store is another VM's";
  ASSERT_TRUE(incoming.arrives_by(*vm_id_in_store(), arrival(3)));
  {
    const FullDisk full;
    EXPECT_FALSE(incoming.store(BlobKind::kPermanent, permanent_.expose()));
  }

  EXPECT_TRUE(incoming.is_awaited());
  EXPECT_FALSE(*incoming.load(BlobKind::kPermanent));
  EXPECT_FALSE(incoming.store_flash(base::Bytes(4096)));
  ASSERT_TRUE(incoming.store(BlobKind::kPermanent, permanent_.expose()));
  EXPECT_EQ(incoming.opened()->ownership(), arrival(3).ownership);
}

TEST_P(StateOwnershipTest, SaysOfATpmThatArrivesWhatTheOtherHostSaidOfIt) {
  settings_.arrival = arrival(2);
  settings_.arrival->imported = true;
  settings_.arrival->seeds = vmgs::format::SeedProtection::kTee;
  {
    const auto made = create();
    EXPECT_EQ(made->seeds(), vmgs::format::SeedProtection::kTee);
    EXPECT_TRUE(made->is_weaker());
    ASSERT_TRUE(made->offer(kTicket, digest_of(1)));
  }
  settings_.arrival = arrival(3);
  {
    auto store = *open();
    ASSERT_TRUE(store->store(BlobKind::kPermanent, permanent_.expose()));
    EXPECT_FALSE(store->is_imported()) << "this is another TPM";
    EXPECT_FALSE(store->is_weaker());
  }
  settings_.arrival.reset();

  const auto store = *open();

  EXPECT_FALSE(store->is_imported());
  EXPECT_FALSE(store->is_weaker());
}

TEST_P(StateOwnershipTest, TakesNoTpmWhereOneIsOwned) {
  { create(); }
  settings_.arrival = arrival(7);

  EXPECT_EQ(error_code(open()), ErrorCode::kDenied);

  settings_.arrival.reset();
  EXPECT_TRUE(open());
}

// A commit that failed is no reason to doubt what arrived before.
TEST_P(StateOwnershipTest, IsOpenedAnewWithWhatHasArrived) {
  settings_.arrival = arrival(2);
  auto store = create();
  std::filesystem::rename(settings_.path, folder_ / "moved");
  EXPECT_FALSE(store->store(BlobKind::kPermanent, permanent_.expose()));
  std::filesystem::rename(folder_ / "moved", settings_.path);

  EXPECT_TRUE(store->load(BlobKind::kPermanent));
  EXPECT_EQ(store->ownership(), arrival(2).ownership);
}

INSTANTIATE_TEST_SUITE_P(Protections, StateOwnershipTest, testing::Bool());

}  // namespace
}  // namespace vtpm::boot
