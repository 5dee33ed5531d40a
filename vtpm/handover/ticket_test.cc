// SPDX-License-Identifier: Apache-2.0
#include "vtpm/handover/ticket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <optional>

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

class TicketTest : public testing::Test {
 protected:
  static base::Result<std::optional<Ownership>> no_store() { return std::optional<Ownership>(); }

  [[nodiscard]] Claim claim(const std::optional<Ownership>& before = std::nullopt) const {
    auto made = Claim::make(path_, before);
    EXPECT_TRUE(made) << made.error().message;
    return *std::move(made);
  }

  [[nodiscard]] fs::path beside(const char* suffix) const { return path_.string() + suffix; }

  tests::support::TempFolder folder_;
  const fs::path path_ = folder_ / "ticket";
};

TEST_F(TicketTest, IsReadByTheOtherHostAndSaysNothingSecret) {
  const auto held = claim();

  const auto ticket = read_ticket(path_);

  ASSERT_TRUE(ticket) << ticket.error().message;
  EXPECT_EQ(ticket->id, held.ticket().id);
  EXPECT_EQ(ticket->release_digest, held.ticket().release_digest);
  EXPECT_EQ(ticket->key, held.key().public_key());

  struct stat status {};

  ASSERT_EQ(::stat(beside(".claim").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  EXPECT_EQ(error_code(read_ticket(folder_ / "none")), ErrorCode::kNotFound);
}

TEST_F(TicketTest, IsRefusedWhereAByteOfItIsAnother) {
  const auto held = claim();
  const auto bytes = encode_ticket(held.ticket());
  ASSERT_TRUE(decode_ticket(bytes));

  for (std::size_t at = 0; at < bytes.size(); ++at) {
    auto spoilt = bytes;
    spoilt[at] ^= std::byte{1};
    const auto ticket = decode_ticket(spoilt);
    if (ticket) {
      // Another id, digest or key, which is as good as any, in the same form.
      EXPECT_EQ(encode_ticket(*ticket), spoilt) << at;
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
  EXPECT_EQ(error_code(release(path_, no_store)), ErrorCode::kUnavailable);
  EXPECT_EQ(error_code(read_release(path_)), ErrorCode::kNotFound);
}

TEST_F(TicketTest, IsReleasedOnceNobodyClaimsIt) {
  std::array<std::byte, 32> digest{};
  { digest = claim().ticket().release_digest; }

  ASSERT_TRUE(release(path_, no_store));

  const auto secret = read_release(path_);
  ASSERT_TRUE(secret) << secret.error().message;
  EXPECT_EQ(vmgs::crypto::sha256(secret->expose()), digest);
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_EQ(error_code(release(path_, no_store)), ErrorCode::kNotFound);
  // It belongs to the other host, and is not lost to another ticket.
  EXPECT_EQ(error_code(Claim::make(path_, std::nullopt)), ErrorCode::kDenied);
}

TEST_F(TicketTest, IsNotReleasedOnceItsStateHasArrived) {
  Ownership arrived;
  { arrived.ticket = claim().ticket().id; }
  arrived.epoch = 2;

  // And whatever became of it then.
  for (const auto standing : {Standing::kOwned, Standing::kOffered}) {
    arrived.standing = standing;
    EXPECT_EQ(error_code(release(path_, [&] { return std::optional(arrived); })),
              standing == Standing::kOwned ? ErrorCode::kDenied : ErrorCode::kNotFound);
    EXPECT_EQ(error_code(read_release(path_)), ErrorCode::kNotFound);
  }
}

TEST_F(TicketTest, IsReleasedWhereTheStoreIsAsItWasBefore) {
  Ownership given_away;
  given_away.standing = Standing::kOffered;
  given_away.ticket.fill(std::byte{1});
  given_away.release_digest.fill(std::byte{2});
  { const auto held = claim(given_away); }
  EXPECT_EQ(error_code(Claim::make(path_, given_away)), ErrorCode::kDenied)
      << "what was offered may have to be given back";

  EXPECT_TRUE(release(path_, [&] { return std::optional(given_away); }));
}

TEST_F(TicketTest, IsNotReleasedWhereTheStoreCannotBeSeen) {
  { const auto held = claim(); }

  const auto released = release(path_, []() -> base::Result<std::optional<Ownership>> {
    return base::fail(ErrorCode::kUnavailable, "it is locked");
  });

  EXPECT_EQ(error_code(released), ErrorCode::kUnavailable);
  EXPECT_TRUE(release(path_, no_store)) << "and later it is";
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
    const auto sealed = seal_state(*read_ticket(path_), {.kind = kind, .epoch = 7}, state);
    ASSERT_TRUE(sealed) << sealed.error().message;

    const auto opened = open_state(held, *sealed);

    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_EQ(opened->half.kind, kind);
    EXPECT_EQ(opened->half.epoch, 7U);
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

TEST_F(SealedStateTest, IsRefusedByTheHolderOfAnotherClaim) {
  const auto held = claim();
  const auto sealed = *seal_state(held.ticket(), {.epoch = 1}, base::Bytes(10));
  const auto other = *Claim::make(folder_ / "other", std::nullopt);

  EXPECT_EQ(error_code(open_state(other, sealed)), ErrorCode::kDenied);
}

}  // namespace
}  // namespace vtpm::handover
