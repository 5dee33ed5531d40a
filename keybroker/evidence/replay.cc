// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/replay.h"

#include <algorithm>
#include <string_view>

namespace keybroker::evidence {

namespace {

using crypto::Hash;

constexpr std::uint32_t kPcrs = 24;
constexpr std::uint32_t kLastRtmrIndex = 4;
constexpr std::string_view kStartupLocality{"StartupLocality\0", 16};

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "event log: " + why);
}

std::optional<std::byte> startup_locality(const LogEvent& event) {
  if (event.type != EventType::kNoAction || event.data.size() != kStartupLocality.size() + 1 ||
      !std::ranges::equal(base::ByteView(event.data).first(kStartupLocality.size()),
                          base::bytes_of(kStartupLocality))) {
    return std::nullopt;
  }
  return event.data.back();
}

// TCG PC Client Platform TPM Profile: PCR 17 to 22 begin at all ones, the others at zero.
base::Bytes initial(std::uint32_t index, std::size_t size, Registers registers) {
  const bool ones = registers == Registers::kPcrs && index >= 17 && index <= 22;
  return base::Bytes(size, ones ? std::byte{0xFF} : std::byte{0});
}

void extend(base::Bytes& value, const base::Bytes& digest, Hash bank) {
  base::Bytes joined = value;
  joined.insert(joined.end(), digest.begin(), digest.end());
  value = crypto::digest(bank, joined);
}

base::Result<void> check_register(const LogEvent& event, Registers registers) {
  if (registers == Registers::kPcrs ? event.index < kPcrs
                                    : event.index >= 1 && event.index <= kLastRtmrIndex) {
    return {};
  }
  return corrupt("event " + std::to_string(event.number) + " is for register " +
                 std::to_string(event.index) + ", which does not exist or cannot be extended");
}

// What one register begins with and is extended by.
struct Track {
  base::Bytes initial;
  std::vector<const LogEvent*> events;
};

base::Bytes value_of(const Track& track, std::uint16_t algorithm, Hash bank) {
  auto value = track.initial;
  for (const auto* event : track.events) {
    extend(value, *event->digest(algorithm), bank);
  }
  return value;
}

base::Result<std::map<std::uint32_t, Track>> tracks_of(const EventLog& log, Hash bank,
                                                       Registers registers) {
  std::map<std::uint32_t, Track> tracks;
  const bool pcrs = registers == Registers::kPcrs;
  for (std::uint32_t index = pcrs ? 0 : 1; index <= (pcrs ? kPcrs - 1 : kLastRtmrIndex); ++index) {
    tracks[index].initial = initial(index, crypto::hash_bytes(bank), registers);
  }
  bool told = false;
  for (const auto& event : log.events) {
    if (event.type == EventType::kNoAction) {
      if (const auto locality = startup_locality(event); pcrs && locality) {
        if (told || !tracks[0].events.empty()) {
          return corrupt("event " + std::to_string(event.number) +
                         " tells the startup locality twice or too late");
        }
        told = true;
        tracks[0].initial.back() = *locality;
      }
      continue;
    }
    TRY(check_register(event, registers));
    tracks[event.index].events.push_back(&event);
  }
  return tracks;
}

std::string number_of(const LogEvent* event) { return std::to_string(event->number); }

// Larger tracks are not searched: the search takes time with the square of their length.
constexpr std::size_t kMostSearched = 64;

std::optional<std::string> search(const Track& track, std::uint16_t algorithm, Hash bank,
                                  base::ByteView actual) {
  const auto fits = [&](const base::Bytes& value) { return std::ranges::equal(value, actual); };
  auto value = track.initial;
  if (fits(value)) {
    return "it has its initial value, as if nothing had been measured";
  }
  for (const auto* event : track.events) {
    extend(value, *event->digest(algorithm), bank);
    if (fits(value)) {
      return "it fits after event " + number_of(event) + "; what follows was not measured";
    }
  }
  if (track.events.size() > kMostSearched) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < track.events.size(); ++i) {
    auto changed = track;
    changed.events.erase(changed.events.begin() + static_cast<std::ptrdiff_t>(i));
    if (fits(value_of(changed, algorithm, bank))) {
      return "it fits without event " + number_of(track.events[i]) + ", which was not measured";
    }
    if (i + 1 < track.events.size()) {
      changed = track;
      std::swap(changed.events[i], changed.events[i + 1]);
      if (fits(value_of(changed, algorithm, bank))) {
        return "it fits with events " + number_of(track.events[i]) + " and " +
               number_of(track.events[i + 1]) + " in the other order";
      }
    }
  }
  return std::nullopt;
}

}  // namespace

base::Result<Replay> replay(const EventLog& log, Hash bank, Registers registers) {
  const auto algorithm = tpm_of_hash(bank);
  if (!log.has_bank(algorithm)) {
    return corrupt("it has no digests of the bank " + bank_name(bank));
  }
  TRY_ASSIGN(tracks, tracks_of(log, bank, registers));
  Replay result;
  for (const auto& [index, track] : tracks) {
    auto& replayed = result[index];
    replayed.value = value_of(track, algorithm, bank);
    for (const auto* event : track.events) {
      replayed.events.push_back(event->number);
    }
  }
  return result;
}

std::string diagnose(const EventLog& log, Hash bank, Registers registers, std::uint32_t index,
                     base::ByteView actual) {
  const auto algorithm = tpm_of_hash(bank);
  const auto tracks = tracks_of(log, bank, registers);
  if (!tracks || !log.has_bank(algorithm)) {
    return "the log cannot be replayed";
  }
  const auto& track = tracks->at(index);
  if (track.events.empty()) {
    return "the log has no event for it";
  }
  for (const auto* event : track.events) {
    if (data_matches(*event, bank) == false) {
      return "event " + number_of(event) + " has a digest that is not that of its data";
    }
  }
  if (auto explanation = search(track, algorithm, bank, actual)) {
    return *explanation;
  }
  return "an event is missing or has another digest, among events " +
         number_of(track.events.front()) + " to " + number_of(track.events.back());
}

std::optional<bool> data_matches(const LogEvent& event, Hash bank) {
  const auto* digest = event.digest(tpm_of_hash(bank));
  switch (event.type) {
    case EventType::kSeparator:
    case EventType::kScrtmVersion:
    case EventType::kEfiAction:
    case EventType::kEfiVariableDriverConfig:
    case EventType::kEfiVariableAuthority:
    case EventType::kEfiGptEvent:
      break;
    default:
      return std::nullopt;
  }
  if (digest == nullptr) {
    return std::nullopt;
  }
  if (crypto::digest(bank, event.data) == *digest) {
    return true;
  }
  return event.type == EventType::kEfiVariableAuthority && !event.data.empty() &&
         crypto::digest(bank, base::ByteView(event.data).first(event.data.size() - 1)) == *digest;
}

}  // namespace keybroker::evidence
