// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "keybroker/crypto/signature.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::evidence {

// TPM_ALG_ID of a hash, as logs and quotes name it.
inline constexpr std::uint16_t kTpmSha1 = 0x0004;
inline constexpr std::uint16_t kTpmSha256 = 0x000B;
inline constexpr std::uint16_t kTpmSha384 = 0x000C;
inline constexpr std::uint16_t kTpmSha512 = 0x000D;

// hash_of_tpm() is the hash of an algorithm, if it is known here; tpm_of_hash() its inverse.
std::optional<crypto::Hash> hash_of_tpm(std::uint16_t algorithm);
std::uint16_t tpm_of_hash(crypto::Hash hash);

// bank_name() is "sha256", as tpm2-tools and our policies call the bank of a hash; parse_bank()
// reads it.
std::string bank_name(crypto::Hash hash);
std::optional<crypto::Hash> parse_bank(std::string_view name);

// TCG PC Client Platform Firmware Profile, 10.4.1: the event types that are looked into here.
enum class EventType : std::uint32_t {
  kPostCode = 0x00000001,
  kNoAction = 0x00000003,
  kSeparator = 0x00000004,
  kAction = 0x00000005,
  kEventTag = 0x00000006,
  kScrtmContents = 0x00000007,
  kScrtmVersion = 0x00000008,
  kIpl = 0x0000000D,
  kEfiVariableDriverConfig = 0x80000001,
  kEfiVariableBoot = 0x80000002,
  kEfiBootServicesApplication = 0x80000003,
  kEfiGptEvent = 0x80000006,
  kEfiAction = 0x80000007,
  kEfiVariableAuthority = 0x800000E0,
};

// event_type_name() is "EV_SEPARATOR", or the number of a type that has no name here.
std::string event_type_name(EventType type);

// What one bank was extended by.
struct EventDigest {
  std::uint16_t algorithm = 0;
  base::Bytes bytes;

  friend bool operator==(const EventDigest&, const EventDigest&) = default;
};

// One event. Its number is what people are told: the first one behind the header is 1.
struct LogEvent {
  std::size_t number = 0;
  std::uint32_t index = 0;  // of the PCR, or of the register in a CC log
  EventType type = EventType::kNoAction;
  std::vector<EventDigest> digests;
  base::Bytes data;

  // digest() is that of one bank, if there is one.
  [[nodiscard]] const base::Bytes* digest(std::uint16_t algorithm) const;

  friend bool operator==(const LogEvent&, const LogEvent&) = default;
};

struct LogAlgorithm {
  std::uint16_t id = 0;
  std::uint16_t digest_bytes = 0;

  friend bool operator==(const LogAlgorithm&, const LogAlgorithm&) = default;
};

// EventLog is a log that has the right shape. Nobody has compared it with a PCR.
struct EventLog {
  bool crypto_agile = true;              // false: the SHA-1 form of TPM 1.2
  std::uint32_t header_index = 0;        // 0 for PCRs, 1 in a CC log
  base::Bytes header_data;               // of a crypto-agile log, as it stood
  std::vector<LogAlgorithm> algorithms;  // of each event, in the order of the header
  std::vector<LogEvent> events;
  std::size_t used_bytes = 0;  // without the padding

  [[nodiscard]] bool has_bank(std::uint16_t algorithm) const;
};

inline constexpr std::size_t kMaxLogBytes = 16 * 1024 * 1024;
inline constexpr std::size_t kMaxEventBytes = 1024 * 1024;
inline constexpr std::size_t kMaxEvents = 65536;
inline constexpr std::size_t kMaxLogAlgorithms = 8;

// decode_event_log() reads a crypto-agile log (TCG PC Client Platform Firmware Profile, 10.2.2) or,
// where the first event is no Spec ID Event03, one of the SHA-1 form. Zero or FF may fill the area
// behind it. kCorrupt for more than the limits, for an event that has not exactly one digest of
// each algorithm of the header, for lengths that do not fit, and for anything else behind the last
// event.
base::Result<EventLog> decode_event_log(base::ByteView bytes);

// encode() writes a log, without padding.
base::Bytes encode(const EventLog& log);

}  // namespace keybroker::evidence
