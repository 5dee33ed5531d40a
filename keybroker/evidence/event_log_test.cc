// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/event_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "keybroker/evidence/replay.h"
#include "tests/support/error_code.h"
#include "tests/support/evidence_vectors.h"
#include "vmgs/base/cursor.h"

namespace keybroker::evidence {
namespace {

using crypto::Hash;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

base::Bytes spec_id(const std::vector<LogAlgorithm>& algorithms) {
  base::Writer out;
  out.bytes(base::bytes_of(std::string_view("Spec ID Event03\0", 16)));
  out.u32_le(0);
  out.u8(0);
  out.u8(2);
  out.u8(0);
  out.u8(2);
  out.u32_le(static_cast<std::uint32_t>(algorithms.size()));
  for (const auto& algorithm : algorithms) {
    out.u16_le(algorithm.id);
    out.u16_le(algorithm.digest_bytes);
  }
  out.u8(0);
  return std::move(out).take();
}

LogEvent event(std::uint32_t index, EventType type, std::string_view data) {
  LogEvent result;
  result.index = index;
  result.type = type;
  result.data = base::copy_of(base::bytes_of(data));
  for (const auto hash : {Hash::kSha256, Hash::kSha384}) {
    result.digests.push_back({tpm_of_hash(hash), crypto::digest(hash, result.data)});
  }
  return result;
}

// A log of two banks. Each test spoils one thing about it.
EventLog valid_log() {
  EventLog log;
  log.algorithms = {{kTpmSha256, 32}, {kTpmSha384, 48}};
  log.header_data = spec_id(log.algorithms);
  log.events = {event(0, EventType::kScrtmVersion, "version"),
                event(4, EventType::kEfiAction, "calling"),
                event(0, EventType::kSeparator, std::string_view("\0\0\0\0", 4)),
                event(4, EventType::kIpl, "kernel"), event(4, EventType::kEfiAction, "exiting")};
  for (std::size_t i = 0; i < log.events.size(); ++i) {
    log.events[i].number = i + 1;
  }
  return log;
}

void expect_corrupt(const base::Bytes& bytes, const std::string& why) {
  const auto log = decode_event_log(bytes);
  ASSERT_EQ(tests::support::error_code(log), base::ErrorCode::kCorrupt) << why;
  EXPECT_THAT(log.error().message, HasSubstr(why));
}

TEST(EventLogTest, RoundTrips) {
  const auto bytes = encode(valid_log());
  const auto log = decode_event_log(bytes);
  ASSERT_TRUE(log) << log.error().message;
  EXPECT_EQ(log->events, valid_log().events);
  EXPECT_EQ(log->algorithms, valid_log().algorithms);
  EXPECT_EQ(log->used_bytes, bytes.size());
  EXPECT_EQ(encode(*log), bytes);
}

TEST(EventLogTest, ReadsTheSha1Form) {
  EventLog log;
  log.crypto_agile = false;
  log.algorithms = {{kTpmSha1, 20}};
  for (std::size_t i = 1; i <= 3; ++i) {
    log.events.push_back(
        {i, 4, EventType::kAction, {{kTpmSha1, base::Bytes(20, std::byte(i))}}, base::Bytes(i)});
  }
  const auto read = decode_event_log(encode(log));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_FALSE(read->crypto_agile);
  EXPECT_EQ(read->events, log.events);
  EXPECT_FALSE(replay(*read, Hash::kSha256, Registers::kPcrs));
  EXPECT_TRUE(replay(*read, Hash::kSha1, Registers::kPcrs));
}

TEST(EventLogTest, TakesOnlyOneFillingBehindIt) {
  const auto bytes = encode(valid_log());
  for (const auto fill : {std::byte{0}, std::byte{0xFF}}) {
    for (const std::size_t more : {1U, 11U, 12U, 13U, 4096U}) {
      auto padded = bytes;
      padded.resize(bytes.size() + more, fill);
      const auto log = decode_event_log(padded);
      ASSERT_TRUE(log) << more << " " << log.error().message;
      EXPECT_EQ(log->used_bytes, bytes.size());
      padded[bytes.size() + more - 1] = std::byte{0x5A};
      EXPECT_FALSE(decode_event_log(padded)) << more;
    }
  }
}

// E6.
TEST(EventLogTest, RefusesAnAreaThatIsAllFilling) {
  for (const auto fill : {std::byte{0}, std::byte{0xFF}}) {
    EXPECT_FALSE(decode_event_log(base::Bytes(82, fill)));
  }
}

// In the SHA-1 form an event may be nothing but zeros, and then nobody can tell it from filling.
TEST(EventLogTest, RefusesFillingBetweenEvents) {
  base::Bytes bytes(64, std::byte{0});
  bytes[0] = std::byte{1};
  ASSERT_TRUE(decode_event_log(bytes));
  bytes.resize(66, std::byte{0xFF});
  EXPECT_FALSE(decode_event_log(bytes));
}

TEST(EventLogTest, RefusesOtherDigests) {
  auto log = valid_log();
  log.events[1].digests.pop_back();
  expect_corrupt(encode(log), "has 1 digests");
  log.events[1].digests.clear();
  expect_corrupt(encode(log), "has 0 digests");
  log.events[1].digests.assign(1000, {kTpmSha256, base::Bytes(32)});
  expect_corrupt(encode(log), "has 1000 digests");
  log = valid_log();
  log.events[1].digests[1] = log.events[1].digests[0];
  expect_corrupt(encode(log), "there twice or not in its header");
  log = valid_log();
  log.events[1].digests[1].algorithm = 0x12;
  expect_corrupt(encode(log), "there twice or not in its header");
}

TEST(EventLogTest, RefusesOtherHeaders) {
  const auto with = [](const std::vector<LogAlgorithm>& algorithms) {
    EventLog log;
    log.header_data = spec_id(algorithms);
    return encode(log);
  };
  expect_corrupt(with({}), "names 0 algorithms");
  expect_corrupt(with(std::vector<LogAlgorithm>(9, {kTpmSha256, 32})), "names 9 algorithms");
  expect_corrupt(with({{kTpmSha256, 20}}), "digests of 20 bytes");
  expect_corrupt(with({{0x12, 0}}), "digests of 0 bytes");
  expect_corrupt(with({{0x12, 65}}), "digests of 65 bytes");
  expect_corrupt(with({{kTpmSha256, 32}, {kTpmSha256, 32}}), "twice");
  EXPECT_TRUE(decode_event_log(with({{0x12, 32}})));

  EventLog log;
  log.header_data = spec_id({{kTpmSha256, 32}});
  log.header_data.push_back(std::byte{0});
  expect_corrupt(encode(log), "event log");
}

// Zero behind a whole event is filling, so a cut may leave some of it; never a part of an event.
TEST(EventLogTest, RefusesEveryCutInsideAnEvent) {
  const auto whole = valid_log();
  const auto bytes = encode(whole);
  std::size_t accepted = 0;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto log = decode_event_log(base::ByteView(bytes).first(size));
    if (!log) {
      continue;
    }
    ++accepted;
    ASSERT_LT(log->events.size(), whole.events.size());
    EXPECT_TRUE(std::equal(log->events.begin(), log->events.end(), whole.events.begin())) << size;
    EXPECT_TRUE(base::is_all_zero(base::ByteView(bytes).first(size).subspan(log->used_bytes)));
  }
  EXPECT_GE(accepted, whole.events.size());
  EXPECT_LT(accepted, 12 * whole.events.size());
}

TEST(EventLogTest, RefusesMoreThanItsLimits) {
  auto log = valid_log();
  log.events[0].data.resize(kMaxEventBytes + 1);
  expect_corrupt(encode(log), "at most 1 MiB");
  expect_corrupt(base::Bytes(kMaxLogBytes + 1), "at most 16 MiB");

  log = valid_log();
  log.algorithms = {{0x12, 1}};
  log.header_data = spec_id(log.algorithms);
  log.events.assign(kMaxEvents, {0, 0, EventType::kIpl, {{0x12, base::Bytes(1)}}, {}});
  EXPECT_TRUE(decode_event_log(encode(log)));
  log.events.push_back(log.events.back());
  expect_corrupt(encode(log), "more than 65536");

  // A size that lies beyond the buffer.
  auto bytes = encode(valid_log());
  bytes[bytes.size() - 7 - 4] = std::byte{8};
  expect_corrupt(bytes, "event log");
}

TEST(ReplayTest, ExtendsEachRegisterByItsOwnEvents) {
  const auto log = valid_log();
  const auto registers = *replay(log, Hash::kSha256, Registers::kPcrs);

  EXPECT_EQ(registers.size(), 24U);
  EXPECT_THAT(registers.at(0).events, ElementsAre(1, 3));
  EXPECT_THAT(registers.at(4).events, ElementsAre(2, 4, 5));
  base::Bytes value(32);
  for (const std::size_t i : {0U, 2U}) {
    value.insert(value.end(), log.events[i].digests[0].bytes.begin(),
                 log.events[i].digests[0].bytes.end());
    value = crypto::digest(Hash::kSha256, value);
  }
  EXPECT_EQ(registers.at(0).value, value);
}

TEST(ReplayTest, RegistersWithoutEventsKeepTheirInitialValue) {
  const auto registers = *replay(valid_log(), Hash::kSha384, Registers::kPcrs);
  for (const auto& [index, replayed] : registers) {
    if (index != 0 && index != 4) {
      EXPECT_TRUE(replayed.events.empty());
      EXPECT_EQ(replayed.value,
                base::Bytes(48, index >= 17 && index <= 22 ? std::byte{0xFF} : std::byte{0}))
          << index;
    }
  }
}

TEST(ReplayTest, StartupLocalityChangesOnlyWherePcr0Begins) {
  auto log = valid_log();
  auto locality = event(0, EventType::kNoAction, std::string_view("StartupLocality\0\3", 17));
  log.events.insert(log.events.begin(), locality);
  const auto with = *replay(log, Hash::kSha256, Registers::kPcrs);
  const auto without = *replay(valid_log(), Hash::kSha256, Registers::kPcrs);
  EXPECT_NE(with.at(0).value, without.at(0).value);
  EXPECT_EQ(with.at(4).value, without.at(4).value);

  log.events.insert(log.events.begin(), locality);
  EXPECT_FALSE(replay(log, Hash::kSha256, Registers::kPcrs));
  log = valid_log();
  log.events.push_back(locality);
  EXPECT_FALSE(replay(log, Hash::kSha256, Registers::kPcrs));

  // Other events without action measure nothing, whatever register they name.
  log = valid_log();
  log.events.push_back(event(99, EventType::kNoAction, "anything"));
  EXPECT_EQ(replay(log, Hash::kSha256, Registers::kPcrs)->at(0).value, without.at(0).value);
}

// E8.
TEST(ReplayTest, RefusesRegistersThatDoNotExist) {
  const auto refused = [](std::uint32_t index, Registers registers) {
    auto log = valid_log();
    for (auto& each : log.events) {
      each.index = 1;
    }
    log.events[0].index = index;
    return tests::support::error_code(replay(log, Hash::kSha384, registers)) ==
           base::ErrorCode::kCorrupt;
  };
  EXPECT_FALSE(refused(23, Registers::kPcrs));
  EXPECT_TRUE(refused(24, Registers::kPcrs));
  EXPECT_TRUE(refused(0, Registers::kRtmrs));
  EXPECT_FALSE(refused(4, Registers::kRtmrs));
  EXPECT_TRUE(refused(5, Registers::kRtmrs));
  EXPECT_TRUE(refused(255, Registers::kRtmrs));
  EXPECT_FALSE(replay(valid_log(), Hash::kSha1, Registers::kPcrs));
}

// E1, by what a person is told.
TEST(ReplayTest, SaysWhereALogWentWrong) {
  const auto good = valid_log();
  const auto actual = replay(good, Hash::kSha256, Registers::kPcrs)->at(4).value;
  const auto told = [&](const EventLog& log) {
    return diagnose(log, Hash::kSha256, Registers::kPcrs, 4, actual);
  };
  auto log = good;
  log.events.push_back(event(4, EventType::kIpl, "more"));
  log.events.back().number = 6;
  EXPECT_THAT(told(log), HasSubstr("fits after event 5"));

  log = good;
  log.events.insert(log.events.begin() + 3, log.events[3]);
  EXPECT_THAT(told(log), HasSubstr("without event 4"));

  log = good;
  std::swap(log.events[3], log.events[4]);
  EXPECT_THAT(told(log), HasSubstr("events 5 and 4 in the other order"));

  log = good;
  log.events.erase(log.events.begin() + 3);
  EXPECT_THAT(told(log), HasSubstr("missing or has another digest, among events 2 to 5"));

  log = good;
  log.events[1].digests[0].bytes[0] ^= std::byte{1};
  EXPECT_THAT(told(log), HasSubstr("event 2 has a digest that is not that of its data"));

  log = good;
  std::erase_if(log.events, [](const LogEvent& each) { return each.index == 4; });
  EXPECT_THAT(told(log), HasSubstr("no event for it"));

  // Among many events nobody searches: it takes time with the square of their number.
  for (const std::size_t events : {8U, 80U}) {
    log = good;
    for (std::size_t i = 0; i < events; ++i) {
      log.events.push_back(event(5, EventType::kIpl, std::to_string(i)));
    }
    const auto right = replay(log, Hash::kSha256, Registers::kPcrs)->at(5).value;
    std::swap(log.events[log.events.size() - 1], log.events[log.events.size() - 2]);
    EXPECT_THAT(diagnose(log, Hash::kSha256, Registers::kPcrs, 5, right),
                HasSubstr(events == 8 ? "in the other order" : "missing or has another digest"));
  }

  EXPECT_THAT(diagnose(good, Hash::kSha256, Registers::kPcrs, 4, base::Bytes(32)),
              HasSubstr("initial value"));
}

TEST(ReplayTest, ComparesDataOnlyWhereTheDigestCoversIt) {
  EXPECT_EQ(data_matches(event(7, EventType::kSeparator, "x"), Hash::kSha256), true);
  EXPECT_EQ(data_matches(event(8, EventType::kIpl, "x"), Hash::kSha256), std::nullopt);
  EXPECT_EQ(data_matches(event(7, EventType::kSeparator, "x"), Hash::kSha512), std::nullopt);
  auto spoilt = event(7, EventType::kEfiVariableDriverConfig, "x");
  spoilt.data.push_back(std::byte{0});
  EXPECT_EQ(data_matches(spoilt, Hash::kSha256), false);
  spoilt.type = EventType::kEfiVariableAuthority;
  EXPECT_EQ(data_matches(spoilt, Hash::kSha256), true);
  spoilt.data.push_back(std::byte{0});
  EXPECT_EQ(data_matches(spoilt, Hash::kSha256), false);
}

using EventLogVectorsTest = tests::support::EvidenceVectors;

TEST_F(EventLogVectorsTest, ReplayToTheirPublishedValues) {
  const auto text = tests::support::read_evidence_vector("manifest.json");
  const auto manifest =
      boost::json::parse({reinterpret_cast<const char*>(text.data()), text.size()});
  std::size_t seen = 0;
  for (const auto& item : manifest.at("items").as_array()) {
    if (item.at("kind") != "event-log") {
      continue;
    }
    SCOPED_TRACE(item.at("id").as_string().c_str());
    const auto bytes = tests::support::read_evidence_vector(
        std::string(item.at("files").at("event_log").as_string()));
    const auto& expected = item.at("expected_fields");

    const auto log = decode_event_log(bytes);

    ASSERT_TRUE(log) << log.error().message;
    EXPECT_EQ(encode(*log), bytes);
    if (const auto* events = expected.as_object().if_contains("events")) {
      EXPECT_EQ(log->events.size(), events->to_number<std::size_t>());
    }
    for (const auto& [name, bank] :
         {std::pair("pcrs_sha256", Hash::kSha256), std::pair("pcrs_sha384", Hash::kSha384)}) {
      const auto* pcrs = expected.as_object().if_contains(name);
      if (pcrs == nullptr) {
        continue;
      }
      ++seen;
      const auto registers = replay(*log, bank, Registers::kPcrs);
      ASSERT_TRUE(registers) << registers.error().message;
      for (const auto& pcr : pcrs->as_object()) {
        EXPECT_EQ(base::to_hex(
                      registers->at(static_cast<std::uint32_t>(std::stoul(std::string(pcr.key()))))
                          .value),
                  pcr.value().as_string())
            << pcr.key();
      }
    }
  }
  const char* other = std::getenv("STRONGROOM_EVIDENCE_VECTORS");
  EXPECT_TRUE(seen >= 2 || (other != nullptr && *other != '\0'));
}

TEST_F(EventLogVectorsTest, ReadALogAreaToItsFilling) {
  const auto bytes = tests::support::read_evidence_vector("tdx/v4-ccel.ccel-data.bin");
  const auto log = decode_event_log(bytes);
  ASSERT_TRUE(log) << log.error().message;
  EXPECT_EQ(log->events.size(), 43U);
  EXPECT_EQ(log->used_bytes, 18101U);
  EXPECT_EQ(log->header_index, 1U);
}

}  // namespace
}  // namespace keybroker::evidence
