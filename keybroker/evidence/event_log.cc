// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/event_log.h"

#include <algorithm>
#include <array>

#include "vmgs/base/cursor.h"
#include "vmgs/base/layout.h"

namespace keybroker::evidence {

namespace {

using crypto::Hash;

constexpr std::array kHashes{Hash::kSha1, Hash::kSha256, Hash::kSha384, Hash::kSha512};
constexpr std::string_view kSpecId03{"Spec ID Event03\0", 16};

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "event log: " + why);
}

// An event of the SHA-1 form; the header of a crypto-agile log has it too.
struct OldEvent {
  std::uint32_t index = 0;
  std::uint32_t type = 0;
  base::ByteView digest;
  base::ByteView data;
};

base::Result<base::ByteView> read_data(base::Reader& in) {
  TRY_ASSIGN(size, in.u32_le());
  if (size > kMaxEventBytes) {
    return corrupt("an event has " + std::to_string(size) + " bytes, at most 1 MiB are allowed");
  }
  return in.bytes(size);
}

base::Result<OldEvent> read_old_event(base::Reader& in) {
  OldEvent event;
  TRY_ASSIGN(index, in.u32_le());
  TRY_ASSIGN(type, in.u32_le());
  TRY_ASSIGN(digest, in.bytes(crypto::hash_bytes(Hash::kSha1)));
  TRY_ASSIGN(data, read_data(in));
  event.index = index;
  event.type = type;
  event.digest = digest;
  event.data = data;
  return event;
}

// TCG_EfiSpecIdEvent, behind its signature.
base::Result<std::vector<LogAlgorithm>> read_spec_id(base::ByteView data) {
  base::Reader in(data);
  TRY(in.bytes(kSpecId03.size() + 4 + 4));  // signature, platform class, versions and uintn size
  TRY_ASSIGN(count, in.u32_le());
  if (count == 0 || count > kMaxLogAlgorithms) {
    return corrupt("its header names " + std::to_string(count) + " algorithms, 1 to 8 are allowed");
  }
  std::vector<LogAlgorithm> algorithms;
  for (std::uint32_t i = 0; i < count; ++i) {
    TRY_ASSIGN(id, in.u16_le());
    TRY_ASSIGN(size, in.u16_le());
    const auto hash = hash_of_tpm(id);
    if (size == 0 || size > 64 || (hash && crypto::hash_bytes(*hash) != size)) {
      return corrupt("its header gives algorithm " + std::to_string(id) + " digests of " +
                     std::to_string(size) + " bytes");
    }
    if (std::ranges::find(algorithms, id, &LogAlgorithm::id) != algorithms.end()) {
      return corrupt("its header names algorithm " + std::to_string(id) + " twice");
    }
    algorithms.push_back({id, size});
  }
  TRY_ASSIGN(vendor_bytes, in.u8());
  TRY(in.bytes(vendor_bytes));
  TRY(in.expect_end());
  return algorithms;
}

base::Result<LogEvent> read_event(base::Reader& in, const std::vector<LogAlgorithm>& algorithms) {
  LogEvent event;
  TRY_ASSIGN(index, in.u32_le());
  TRY_ASSIGN(type, in.u32_le());
  TRY_ASSIGN(count, in.u32_le());
  if (count != algorithms.size()) {
    return corrupt("an event has " + std::to_string(count) + " digests, its header names " +
                   std::to_string(algorithms.size()));
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    TRY_ASSIGN(id, in.u16_le());
    const auto algorithm = std::ranges::find(algorithms, id, &LogAlgorithm::id);
    if (algorithm == algorithms.end() || event.digest(id) != nullptr) {
      return corrupt("an event has a digest of algorithm " + std::to_string(id) +
                     ", which is there twice or not in its header");
    }
    TRY_ASSIGN(digest, in.bytes(algorithm->digest_bytes));
    event.digests.push_back({id, base::copy_of(digest)});
  }
  TRY_ASSIGN(data, read_data(in));
  event.index = index;
  event.type = static_cast<EventType>(type);
  event.data = base::copy_of(data);
  return event;
}

// What fills the area behind the last event is all FF, or all zero. Zero could begin an event, but
// one of type 0 without digests is none.
bool is_filling(base::ByteView rest) {
  const auto is_all = [&](std::byte value) {
    return std::ranges::all_of(rest, [&](std::byte byte) { return byte == value; });
  };
  return is_all(std::byte{0}) || is_all(std::byte{0xFF});
}

template <typename Read>
base::Result<void> read_events(base::Reader& in, base::ByteView bytes, EventLog& log, Read read) {
  while (!is_filling(bytes.subspan(in.offset()))) {
    if (log.events.size() == kMaxEvents) {
      return corrupt("has more than 65536 events");
    }
    const auto begin = in.offset();
    TRY_ASSIGN(event, read(in));
    if (is_filling(bytes.subspan(begin, in.offset() - begin))) {
      return corrupt("has filling between its events");
    }
    event.number = log.events.size() + 1;
    log.events.push_back(std::move(event));
  }
  log.used_bytes = in.offset();
  return {};
}

base::Result<EventLog> read_log(base::ByteView bytes) {
  base::Reader in(bytes);
  EventLog log;
  TRY_ASSIGN(header, read_old_event(in));
  const std::string_view text(reinterpret_cast<const char*>(header.data.data()),
                              header.data.size());
  if (static_cast<EventType>(header.type) == EventType::kNoAction && text.starts_with(kSpecId03)) {
    TRY_ASSIGN(algorithms, read_spec_id(header.data));
    log.header_index = header.index;
    log.header_data = base::copy_of(header.data);
    log.algorithms = std::move(algorithms);
    TRY(read_events(in, bytes, log,
                    [&](base::Reader& reader) { return read_event(reader, log.algorithms); }));
    return log;
  }
  log.crypto_agile = false;
  log.algorithms = {{kTpmSha1, 20}};
  in = base::Reader(bytes);
  TRY(read_events(in, bytes, log, [](base::Reader& reader) -> base::Result<LogEvent> {
    TRY_ASSIGN(old, read_old_event(reader));
    LogEvent event;
    event.index = old.index;
    event.type = static_cast<EventType>(old.type);
    event.digests.push_back({kTpmSha1, base::copy_of(old.digest)});
    event.data = base::copy_of(old.data);
    return event;
  }));
  if (log.events.empty()) {
    return corrupt("holds nothing but filling");
  }
  return log;
}

void write_data(base::Writer& out, const base::Bytes& data) {
  out.u32_le(static_cast<std::uint32_t>(data.size()));
  out.bytes(data);
}

}  // namespace

std::optional<Hash> hash_of_tpm(std::uint16_t algorithm) {
  const auto found = std::ranges::find(kHashes, algorithm, tpm_of_hash);
  return found == kHashes.end() ? std::nullopt : std::optional(*found);
}

std::uint16_t tpm_of_hash(Hash hash) {
  switch (hash) {
    case Hash::kSha1:
      return kTpmSha1;
    case Hash::kSha256:
      return kTpmSha256;
    case Hash::kSha384:
      return kTpmSha384;
    case Hash::kSha512:
      break;
  }
  return kTpmSha512;
}

std::string bank_name(Hash hash) {
  switch (hash) {
    case Hash::kSha1:
      return "sha1";
    case Hash::kSha256:
      return "sha256";
    case Hash::kSha384:
      return "sha384";
    case Hash::kSha512:
      break;
  }
  return "sha512";
}

std::optional<Hash> parse_bank(std::string_view name) {
  const auto found = std::ranges::find(kHashes, name, bank_name);
  return found == kHashes.end() ? std::nullopt : std::optional(*found);
}

std::string event_type_name(EventType type) {
  switch (type) {
    case EventType::kPostCode:
      return "EV_POST_CODE";
    case EventType::kNoAction:
      return "EV_NO_ACTION";
    case EventType::kSeparator:
      return "EV_SEPARATOR";
    case EventType::kAction:
      return "EV_ACTION";
    case EventType::kEventTag:
      return "EV_EVENT_TAG";
    case EventType::kScrtmContents:
      return "EV_S_CRTM_CONTENTS";
    case EventType::kScrtmVersion:
      return "EV_S_CRTM_VERSION";
    case EventType::kIpl:
      return "EV_IPL";
    case EventType::kEfiVariableDriverConfig:
      return "EV_EFI_VARIABLE_DRIVER_CONFIG";
    case EventType::kEfiVariableBoot:
      return "EV_EFI_VARIABLE_BOOT";
    case EventType::kEfiBootServicesApplication:
      return "EV_EFI_BOOT_SERVICES_APPLICATION";
    case EventType::kEfiGptEvent:
      return "EV_EFI_GPT_EVENT";
    case EventType::kEfiAction:
      return "EV_EFI_ACTION";
    case EventType::kEfiVariableAuthority:
      return "EV_EFI_VARIABLE_AUTHORITY";
  }
  base::U32Be number;
  number = static_cast<std::uint32_t>(type);
  return "0x" + base::to_hex(base::view(number));
}

const base::Bytes* LogEvent::digest(std::uint16_t algorithm) const {
  const auto found = std::ranges::find(digests, algorithm, &EventDigest::algorithm);
  return found == digests.end() ? nullptr : &found->bytes;
}

bool EventLog::has_bank(std::uint16_t algorithm) const {
  return std::ranges::find(algorithms, algorithm, &LogAlgorithm::id) != algorithms.end();
}

base::Result<EventLog> decode_event_log(base::ByteView bytes) {
  if (bytes.size() > kMaxLogBytes) {
    return corrupt("has " + std::to_string(bytes.size()) + " bytes, at most 16 MiB are allowed");
  }
  auto log = read_log(bytes);
  if (!log && !log.error().message.starts_with("event log")) {
    return corrupt(log.error().message);
  }
  return log;
}

base::Bytes encode(const EventLog& log) {
  base::Writer out;
  if (log.crypto_agile) {
    out.u32_le(log.header_index);
    out.u32_le(static_cast<std::uint32_t>(EventType::kNoAction));
    out.bytes(base::Bytes(20));
    write_data(out, log.header_data);
  }
  for (const auto& event : log.events) {
    out.u32_le(event.index);
    out.u32_le(static_cast<std::uint32_t>(event.type));
    if (log.crypto_agile) {
      out.u32_le(static_cast<std::uint32_t>(event.digests.size()));
    }
    for (const auto& digest : event.digests) {
      if (log.crypto_agile) {
        out.u16_le(digest.algorithm);
      }
      out.bytes(digest.bytes);
    }
    write_data(out, event.data);
  }
  return std::move(out).take();
}

}  // namespace keybroker::evidence
