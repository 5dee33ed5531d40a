// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"
#include "vmgs/crypto/digest.h"
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

  // A store whose TPM is offered.
  void offer() {
    auto store = create();
    ASSERT_TRUE(store->offer(kTicket, digest_of(1)));
    ASSERT_TRUE(store->close());
  }

  static Ownership arrival(std::uint64_t epoch) {
    Ownership ownership;
    ownership.epoch = epoch;
    ownership.ticket.fill(std::byte{2});
    return ownership;
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
  settings_.given_back = std::make_shared<const base::Secret<32>>(secret(2));
  EXPECT_EQ(error_code(open()), ErrorCode::kDenied);
  settings_.given_back = std::make_shared<const base::Secret<32>>(secret(1));

  {
    auto store = *open();
    ASSERT_TRUE(store->store(BlobKind::kPermanent, permanent_.expose()));
    ASSERT_TRUE(store->close());
  }

  settings_.given_back.reset();
  EXPECT_TRUE(open());
}

TEST_P(StateOwnershipTest, IsMadeAroundATpmThatArrives) {
  settings_.arrival = arrival(5);
  { EXPECT_EQ(create()->ownership(), arrival(5)); }
  settings_.arrival.reset();

  EXPECT_EQ((*open())->ownership(), arrival(5));
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

  EXPECT_EQ((*open())->ownership(), arrival(3));
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
  EXPECT_EQ(store->ownership(), arrival(2));
}

INSTANTIATE_TEST_SUITE_P(Protections, StateOwnershipTest, testing::Bool());

}  // namespace
}  // namespace vtpm::boot
