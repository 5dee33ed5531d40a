// SPDX-License-Identifier: Apache-2.0
#include "vtpm/handover/ticket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"
#include "vmgs/crypto/digest.h"
#include "vtpm/handover/sealed_state.h"

namespace vtpm::handover {
namespace {

namespace fs = std::filesystem;
using base::ErrorCode;
using engine::BlobKind;
using tests::support::error_code;
using vmgs::format::Ownership;
using vmgs::format::Standing;
using vmgs::format::TicketId;

class TicketTest : public testing::Test {
 protected:
  static base::Result<std::optional<Ownership>> no_store() { return std::optional<Ownership>(); }

  [[nodiscard]] Claim claim(const std::optional<Ownership>& before = std::nullopt) const {
    auto made = Claim::make(path_, before);
    EXPECT_TRUE(made) << made.error().message;
    return *std::move(made);
  }

  // A ticket that was made and given back.
  [[nodiscard]] TicketId given_back() const {
    TicketId id{};
    { id = claim().ticket().id; }
    EXPECT_TRUE(release(path_, store_, no_store));
    return id;
  }

  [[nodiscard]] fs::path beside(const std::string& suffix) const { return path_.string() + suffix; }

  tests::support::TempFolder folder_;
  const fs::path path_ = folder_ / "ticket";
  const fs::path store_ = folder_ / "vm.vmgs";
};

TEST_F(TicketTest, IsReadByTheOtherHostAndByNobodyElse) {
  const auto held = claim();

  const auto ticket = read_ticket(path_);

  ASSERT_TRUE(ticket) << ticket.error().message;
  EXPECT_EQ(ticket->id, held.ticket().id);
  EXPECT_EQ(ticket->release_digest, held.ticket().release_digest);
  EXPECT_EQ(ticket->key, held.key().public_key());
  EXPECT_TRUE(ticket->sealing_secret.equals_in_constant_time(held.ticket().sealing_secret));
  EXPECT_FALSE(ticket->vm_id);

  struct stat status {};

  for (const auto& file : {path_, beside(".claim")}) {
    ASSERT_EQ(::stat(file.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U) << file;
  }
  EXPECT_EQ(error_code(read_ticket(folder_ / "none")), ErrorCode::kNotFound);
}

TEST_F(TicketTest, IsRefusedWhereAByteOfItIsAnother) {
  const auto held = claim();
  const auto bytes = base::copy_of(encode_ticket(held.ticket()).expose());
  ASSERT_TRUE(decode_ticket(bytes));

  for (std::size_t at = 0; at < bytes.size(); ++at) {
    auto spoilt = bytes;
    spoilt[at] ^= std::byte{1};
    const auto ticket = decode_ticket(spoilt);
    if (ticket) {
      // Another id, digest or key, which is as good as any, in the same form.
      EXPECT_EQ(base::copy_of(encode_ticket(*ticket).expose()), spoilt) << at;
      EXPECT_GE(at, 8U);
    }
  }
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(error_code(decode_ticket(base::ByteView(bytes).first(size))), ErrorCode::kCorrupt);
  }
}

TEST_F(TicketTest, IsClaimedByOneProcess) {
  const auto held = claim();

  EXPECT_EQ(error_code(Claim::make(path_, std::nullopt)), ErrorCode::kUnavailable);
  EXPECT_EQ(error_code(release(path_, store_, no_store)), ErrorCode::kUnavailable);
  EXPECT_EQ(error_code(read_release(path_, held.ticket().id)), ErrorCode::kNotFound);
}

TEST_F(TicketTest, IsReleasedOnceNobodyClaimsIt) {
  std::array<std::byte, 32> digest{};
  TicketId id{};
  {
    const auto held = claim();
    digest = held.ticket().release_digest;
    id = held.ticket().id;
  }

  ASSERT_TRUE(release(path_, store_, no_store));

  const auto secret = read_release(path_, id);
  ASSERT_TRUE(secret) << secret.error().message;
  EXPECT_EQ(vmgs::crypto::sha256(secret->expose()), digest);
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_EQ(error_code(release(path_, store_, no_store)), ErrorCode::kNotFound);
}

// The next ticket asked to remove what gave the TPM back that was offered to a copy of the one
// before, and then no host could start it.
TEST_F(TicketTest, LosesNoReleaseToTheTicketsThatFollow) {
  const std::array ids = {given_back(), given_back(), given_back()};

  for (const auto& id : ids) {
    EXPECT_TRUE(read_release(path_, id)) << base::to_hex(id);
  }
  EXPECT_EQ(error_code(read_release(path_, {std::byte{1}})), ErrorCode::kNotFound);
  EXPECT_TRUE(fs::exists(beside(".released." + base::to_hex(ids[0]))));
  EXPECT_FALSE(fs::exists(beside(".released." + base::to_hex(ids[2]))));
}

TEST_F(TicketTest, IsNotMadeWhereTheReleaseBeforeCannotBeRead) {
  const auto id = given_back();
  fs::resize_file(beside(".released"), 30);

  EXPECT_EQ(error_code(Claim::make(path_, std::nullopt)), ErrorCode::kCorrupt);

  EXPECT_EQ(error_code(read_release(path_, id)), ErrorCode::kCorrupt);
  EXPECT_EQ(fs::file_size(beside(".released")), 30U) << "somebody may know what to do with it";
}

TEST_F(TicketTest, IsReleasedBesideOthersInOneFile) {
  const std::array ids = {given_back(), given_back()};
  std::ofstream(folder_ / "other.released", std::ios::binary)
      << std::ifstream(beside(".released")).rdbuf()
      << std::ifstream(beside(".released." + base::to_hex(ids[0]))).rdbuf();

  for (const auto& id : ids) {
    EXPECT_TRUE(read_release(folder_ / "other", id));
  }
  set_used_release_aside(folder_ / "other", ids[0]);
  EXPECT_FALSE(fs::exists(folder_ / "other.released"));
  for (const auto& id : ids) {
    EXPECT_TRUE(read_release(folder_ / "other", id)) << "it may be offered to that ticket again";
  }
}

TEST_F(TicketTest, IsNotReleasedOnceItsStateHasArrived) {
  // And whatever became of it then.
  for (const auto standing : {Standing::kOwned, Standing::kOffered}) {
    Ownership arrived;
    { arrived.ticket = claim().ticket().id; }
    arrived.epoch = 2;
    arrived.standing = standing;
    arrived.release_digest.fill(standing == Standing::kOffered ? std::byte{1} : std::byte{0});

    EXPECT_EQ(error_code(release(path_, store_, [&] { return std::optional(arrived); })),
              ErrorCode::kDenied);

    EXPECT_EQ(error_code(read_release(path_, arrived.ticket)), ErrorCode::kNotFound);
    EXPECT_FALSE(fs::exists(path_)) << "it is used up";
    EXPECT_FALSE(fs::exists(beside(".claim")));
  }
}

// A store that was not there counted as proof that nothing had arrived in it.
TEST_F(TicketTest, IsNotReleasedWhereAStoreIsMissingThatItsStateMayHaveArrivedIn) {
  { ASSERT_TRUE(claim().arriving(store_)); }
  const auto marker = fs::path(store_.string() + ".arriving");
  ASSERT_TRUE(fs::exists(marker));

  EXPECT_EQ(error_code(release(path_, folder_ / "other", no_store)), ErrorCode::kDenied)
      << "it is another store";
  fs::rename(marker, folder_ / "not mounted");
  EXPECT_EQ(error_code(release(path_, store_, no_store)), ErrorCode::kDenied);
  EXPECT_FALSE(fs::exists(beside(".released")));
  fs::rename(folder_ / "not mounted", marker);

  // It was to be made here, and was not.
  const auto released = release(path_, store_, no_store);
  ASSERT_TRUE(released) << released.error().message;
  EXPECT_EQ(**released, beside(".released"));
  EXPECT_FALSE(fs::exists(marker));
}

// A start without the claim had made another TPM in that place, and that was taken for the one that
// was to arrive.
TEST_F(TicketTest, IsReleasedWhereNothingWasTriedWhateverLiesThereNow) {
  { (void)claim(); }
  EXPECT_TRUE(release(path_, store_, [] { return std::optional(Ownership()); }));

  { ASSERT_TRUE(Claim::make(folder_ / "next", std::nullopt)->arriving(store_)); }
  EXPECT_EQ(
      error_code(release(folder_ / "next", store_, [] { return std::optional(Ownership()); })),
      ErrorCode::kDenied)
      << "it may have arrived";
  EXPECT_TRUE(fs::exists(folder_ / "next.claim")) << "and what gives it back is kept";
}

TEST_F(TicketTest, IsNotReleasedWhereTheStoreIsGoneThatItWasMadeFor) {
  { ASSERT_TRUE(claim(Ownership()).arriving(store_)); }

  EXPECT_EQ(error_code(release(path_, store_, no_store)), ErrorCode::kDenied);

  EXPECT_TRUE(fs::exists(beside(".claim"))) << "it may come back";
  EXPECT_TRUE(release(path_, store_, [] { return std::optional(Ownership()); }));
}

TEST_F(TicketTest, IsSettledByAStoreThatCameByIt) {
  TicketId id{};
  {
    auto held = claim();
    id = held.ticket().id;
    ASSERT_TRUE(held.arriving(store_));
    settle_claim(path_, id);
    EXPECT_TRUE(fs::exists(beside(".claim"))) << "somebody holds it";
  }
  settle_claim(path_, {std::byte{1}});
  EXPECT_TRUE(fs::exists(beside(".claim"))) << "that is another";

  settle_claim(path_, id);

  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

TEST_F(TicketTest, IsForgottenWhereItsClaimWasTornBeforeItWasPublished) {
  { const auto held = claim(); }
  fs::remove(path_);
  fs::resize_file(beside(".claim"), 100);

  const auto released = release(path_, store_, no_store);

  ASSERT_TRUE(released) << released.error().message;
  EXPECT_FALSE(*released) << "nothing was offered to it";
  EXPECT_TRUE(fs::is_empty(folder_.path()));
  // Nor is it in the way of the next.
  { const auto held = claim(); }
  fs::resize_file(beside(".claim"), 100);
  EXPECT_TRUE(Claim::make(path_, std::nullopt));
}

TEST_F(TicketTest, IsGoodForOneOfferAndItsReleaseIsSetAsideWhenItIsUsed) {
  TicketId id{};
  { id = claim().ticket().id; }
  remove_used_ticket(path_, {std::byte{1}});
  EXPECT_TRUE(fs::exists(path_)) << "that is another";
  remove_used_ticket(path_, id);
  EXPECT_FALSE(fs::exists(path_));
  ASSERT_TRUE(release(path_, store_, no_store));

  set_used_release_aside(path_, {std::byte{1}});
  EXPECT_TRUE(fs::exists(beside(".released"))) << "that is another";
  set_used_release_aside(path_, id);
  EXPECT_FALSE(fs::exists(beside(".released")));
  EXPECT_TRUE(read_release(path_, id)) << "somebody may have a copy of the ticket";
}

TEST_F(TicketTest, IsReleasedWhereTheStoreIsAsItWasBefore) {
  Ownership given_away;
  given_away.standing = Standing::kOffered;
  given_away.ticket.fill(std::byte{1});
  given_away.release_digest.fill(std::byte{2});
  { const auto held = claim(given_away); }
  EXPECT_EQ(error_code(Claim::make(path_, given_away)), ErrorCode::kDenied)
      << "what was offered may have to be given back";

  EXPECT_TRUE(release(path_, store_, [&] { return std::optional(given_away); }));
}

TEST_F(TicketTest, IsNotReleasedWhereTheStoreCannotBeSeen) {
  { const auto held = claim(); }

  const auto released = release(path_, store_, []() -> base::Result<std::optional<Ownership>> {
    return base::fail(ErrorCode::kUnavailable, "it is locked");
  });

  EXPECT_EQ(error_code(released), ErrorCode::kUnavailable);
  EXPECT_TRUE(release(path_, store_, no_store)) << "and later it is";
}

TEST_F(TicketTest, IsUsedUpWhenItsStateHasArrived) {
  auto held = claim();

  held.arrived();

  EXPECT_FALSE(fs::exists(path_));
  EXPECT_FALSE(fs::exists(beside(".claim")));
}

using SealedStateTest = TicketTest;

TEST_F(SealedStateTest, IsOpenedByWhoHoldsTheClaim) {
  const auto held = claim();
  const base::Bytes state(100'000, std::byte{0x5a});
  for (const auto kind : {BlobKind::kPermanent, BlobKind::kVolatile}) {
    const SealedHalf half{.kind = kind,
                          .epoch = 7,
                          .vm_id = {{std::byte{3}}},
                          .seeds = vmgs::format::SeedProtection::kHost,
                          .imported = true};
    const auto sealed = seal_state(*read_ticket(path_), half, state);
    ASSERT_TRUE(sealed) << sealed.error().message;

    const auto opened = open_state(held, *sealed);

    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_EQ(opened->half.kind, kind);
    EXPECT_EQ(opened->half.epoch, 7U);
    EXPECT_EQ(opened->half.vm_id, half.vm_id);
    EXPECT_EQ(opened->half.seeds, half.seeds);
    EXPECT_TRUE(opened->half.imported);
    EXPECT_EQ(base::copy_of(opened->state.expose()), state);
  }
}

TEST_F(SealedStateTest, IsRefusedWhereAnyByteOfItIsAnother) {
  const auto held = claim();
  const auto sealed = *seal_state(held.ticket(), {.epoch = 1}, base::Bytes(10));
  for (std::size_t at = 0; at < sealed.size(); ++at) {
    auto spoilt = sealed;
    spoilt[at] ^= std::byte{1};
    EXPECT_FALSE(open_state(held, spoilt)) << at;
  }
  for (std::size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_FALSE(open_state(held, base::ByteView(sealed).first(size))) << size;
  }
  EXPECT_EQ(error_code(seal_state(held.ticket(), {}, {})), ErrorCode::kInvalidArgument);
}

// Whoever had seen the ticket's key could make the TPM that arrived.
TEST_F(SealedStateTest, IsRefusedFromSealersWithoutTheSecretOfTheTicket) {
  const auto held = claim();
  auto guessed = *read_ticket(path_);
  guessed.sealing_secret.fill().front() ^= std::byte{1};

  const auto forged = *seal_state(guessed, {.epoch = 1}, base::Bytes(10));

  EXPECT_EQ(error_code(open_state(held, forged)), ErrorCode::kAuthentication);
}

TEST_F(SealedStateTest, IsOfAnEpochThatOneComesAfter) {
  const auto held = claim();

  EXPECT_EQ(error_code(seal_state(held.ticket(), {.epoch = ~std::uint64_t{0}}, base::Bytes(10))),
            ErrorCode::kInvalidArgument);

  auto altered = *seal_state(held.ticket(), {.epoch = 1}, base::Bytes(10));
  std::fill_n(altered.begin() + 12, 8, std::byte{0xff});
  EXPECT_EQ(error_code(open_state(held, altered)), ErrorCode::kCorrupt);
}

TEST_F(SealedStateTest, IsRefusedByTheHolderOfAnotherClaim) {
  const auto held = claim();
  const auto sealed = *seal_state(held.ticket(), {.epoch = 1}, base::Bytes(10));
  const auto other = *Claim::make(folder_ / "other", std::nullopt);

  EXPECT_EQ(error_code(open_state(other, sealed)), ErrorCode::kDenied);
}

}  // namespace
}  // namespace vtpm::handover
