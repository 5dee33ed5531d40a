// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "vmgs/repair/plan.h"
#include "vmgs/repair/salvage.h"
#include "vmgs/repair/sick_store.h"
#include "vmgs/storage/memory.h"

// Whatever becomes of a store, a repair does not crash, does not hang, and does not make anything
// that reads less readable. STRONGROOM_DAMAGED_IMAGES in the environment says how many are tried.
namespace vmgs::repair {
namespace {

using storage::MemoryDevice;

constexpr int kShortRun = 300;
constexpr std::size_t kSector = 512;

int images_to_try() {
  const char* const wanted = std::getenv("STRONGROOM_DAMAGED_IMAGES");
  return wanted != nullptr ? std::atoi(wanted) : kShortRun;
}

// Where damage hits: mostly where it matters.
std::size_t place_in(const SickStore& store, std::mt19937_64& random) {
  const auto any = [&](std::size_t from, std::size_t count) { return from + random() % count; };
  switch (random() % 5) {
    case 0:
      return any(store.header_at(0), 168);
    case 1:
      return any(store.header_at(1), 168);
    case 2:
      return any(store.table_at(random() % 2), format::kBlockBytes);
    case 3:
      return any(store.bytes.size() - kSector, kSector);
    default:
      return any(0, store.bytes.size());
  }
}

void strike(base::Bytes& bytes, std::size_t at, std::mt19937_64& random) {
  if (at >= bytes.size()) {
    return;
  }
  const auto here = std::span(bytes).subspan(at);
  switch (random() % 8) {
    case 0:
    case 1:
    case 2:
      here[0] ^= static_cast<std::byte>(1U << (random() % 8));
      break;
    case 3:
      here[0] = static_cast<std::byte>(random());
      break;
    case 4: {
      const auto sector = std::span(bytes).subspan(at / kSector * kSector);
      std::ranges::fill(sector.first(std::min(kSector, sector.size())), std::byte{0});
      break;
    }
    case 5: {
      // A sector of somewhere else, as a lost or misdirected write leaves it.
      const auto from = random() % (bytes.size() / kSector) * kSector;
      const auto to = at / kSector * kSector;
      std::copy_n(base::copy_of(std::span(bytes).subspan(from)).begin(),
                  std::min({kSector, bytes.size() - from, bytes.size() - to}),
                  bytes.begin() + static_cast<std::ptrdiff_t>(to));
      break;
    }
    case 6:
      for (auto& byte : here.first(std::min<std::size_t>(here.size(), 1 + random() % 64))) {
        byte = static_cast<std::byte>(random());
      }
      break;
    default:
      bytes.resize(random() % 4 == 0
                       ? bytes.size() + random() % 5000
                       : bytes.size() - random() % std::min<std::size_t>(bytes.size(), 9000));
      break;
  }
}

void mend_checksums(const SickStore& store, base::Bytes& bytes) {
  for (std::size_t slot = 0; slot < 2; ++slot) {
    if (store.header_at(slot) + format::kHeaderBytes <= bytes.size()) {
      const auto raw =
          std::span(bytes).subspan(store.header_at(slot)).first<format::kHeaderBytes>();
      auto header = base::load<format::HeaderLayout>(raw);
      header.checksum = format::header_checksum(raw);
      base::store(header, raw);
    }
  }
}

// What happened, for whoever looks into a failure.
std::string story(const SickStore& store, const Plan& plan, bool with_key, std::uint64_t seed) {
  auto text = ", seed " + std::to_string(seed) + " on " + store.kind().name() +
              (with_key ? " with the key" : " without a key");
  for (const auto& step : plan.steps) {
    text += "\n  " + step.code + ": " + step.where + ": " + step.message;
  }
  return text;
}

void expect_no_loss(const SickStore& store, const base::Bytes& damaged, bool with_key,
                    std::uint64_t seed) {
  MemoryDevice device(damaged);
  const auto key = with_key ? store.own_key() : std::nullopt;
  const auto plan = plan_repair(device, store.patient(), key ? &*key : nullptr, {});
  ASSERT_TRUE(plan) << plan.error().message << ", seed " << seed;
  ASSERT_EQ(device.contents(), damaged) << "seed " << seed;
  if (plan->steps.empty()) {
    return;
  }
  const auto before = store.contents_of(damaged);
  for (const auto& step : plan->steps) {
    ASSERT_TRUE(apply(device, step)) << "seed " << seed;
  }
  const auto after = store.contents_of(device.contents());
  for (const auto& [id, content] : before) {
    const auto found = after.find(id);
    ASSERT_TRUE(found != after.end())
        << format::describe(id) << " is lost" << story(store, *plan, with_key, seed);
    // A header that authenticates may lead to a newer state than the one that opened before.
    ASSERT_TRUE(found->second == content || found->second == store.healthy().at(id))
        << format::describe(id) << " reads otherwise" << story(store, *plan, with_key, seed);
  }
  const auto again = plan_repair(device, store.patient(), key ? &*key : nullptr, {});
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->steps.empty()) << again->steps.front().message << ", seed " << seed;
}

TEST(RandomDamageTest, IsNeverMadeWorse) {
  const std::vector<SickStore> healthy = {
      SickStore({.encrypted = true}), SickStore({.encrypted = false}),
      SickStore({.encrypted = true, .is_vhd = true}),
      SickStore({.encrypted = false, .is_vhd = true}),
      SickStore({.encrypted = true, .spacing = format::HeaderSpacing::k4096})};
  const int images = images_to_try();
  const std::uint64_t first =
      std::getenv("STRONGROOM_DAMAGE_SEED") != nullptr
          ? std::strtoull(std::getenv("STRONGROOM_DAMAGE_SEED"), nullptr, 10)
          : 1;
  int repaired = 0;
  for (int i = 0; i < images && !::testing::Test::HasFatalFailure(); ++i) {
    const auto seed = first + static_cast<std::uint64_t>(i);
    std::mt19937_64 random(seed);
    const auto& store = healthy[random() % healthy.size()];
    auto damaged = store.bytes;
    for (auto strikes = 1 + random() % 4; strikes > 0 && damaged.size() > 8192; --strikes) {
      strike(damaged, place_in(store, random), random);
    }
    if (random() % 3 == 0) {
      mend_checksums(store, damaged);
    }
    expect_no_loss(store, damaged, random() % 4 != 0, seed);
    MemoryDevice device(damaged);
    const auto key = store.own_key();
    (void)salvage(device, key ? &*key : nullptr, [](const Salvaged&) {
      return base::Result<void>();
    }).has_value();
    repaired += 1;
  }
  RecordProperty("images", repaired);
}

}  // namespace
}  // namespace vmgs::repair
