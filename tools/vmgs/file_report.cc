// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/file_report.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <string_view>
#include <utility>

#include "keybroker/evidence/event_log.h"
#include "tools/cli/terminal.h"
#include "tools/vmgs/protector_report.h"
#include "tools/vmgs/tpm_words.h"
#include "tools/vmgs/uefi_report.h"
#include "vmgs/base/cursor.h"
#include "vmgs/format/record.h"
#include "vmgs/format/vm_id.h"

namespace tools::vmgs {

namespace format = ::vmgs::format;
namespace json = boost::json;
using format::FileId;

namespace {

FileMeaning unreadable(std::string trouble) {
  return {.summary = "not what its id says", .fields = {}, .trouble = std::move(trouble)};
}

json::value anchor(const std::optional<format::Anchor>& anchor) {
  if (!anchor) {
    return nullptr;
  }
  return {{"epoch", anchor->epoch},
          {"sequence", anchor->sequence},
          {"digest", base::to_hex(anchor->digest)}};
}

FileMeaning meaning_of_record(base::ByteView content) {
  const auto record = format::decode_record(content);
  if (!record) {
    return unreadable(record.error().message);
  }
  const bool is_witnessed = record->epoch != 0;
  return {.summary = "freshness of VM " + format::to_string(record->vm_id) +
                     (is_witnessed ? ", epoch " + std::to_string(record->epoch)
                                   : ", no witness keeps its state from being rolled back"),
          .fields = {{"vm_id", format::to_string(record->vm_id)},
                     {"witnessed", is_witnessed},
                     {"epoch", record->epoch},
                     {"boot_id", base::to_hex(record->boot_id)},
                     {"acknowledged", anchor(record->acked)},
                     {"pending", anchor(record->pending)},
                     {"receipt_bytes", record->receipt.size()},
                     {"offline_boots", record->offline_boots},
                     {"authorised_restores", record->restores}},
          .trouble = {}};
}

FileMeaning meaning_of_vm_id(base::ByteView content) {
  constexpr std::size_t kGuidBytes = 16;
  constexpr std::size_t kWithPortedFlag = 17;
  if (content.size() < kGuidBytes) {
    return unreadable("a VM id has 16 bytes at least, and this " + std::to_string(content.size()));
  }
  const auto id = format::to_string(format::vm_id_of_guid(content.first<kGuidBytes>()));
  const bool is_ported = content.size() >= kWithPortedFlag && content[16] != std::byte{0};
  return {.summary = "VM " + id + (is_ported ? ", whose key is no longer made from it" : ""),
          .fields = {{"vm_id", id}, {"ported", is_ported}},
          .trouble = {}};
}

FileMeaning meaning_of_marker(base::ByteView content) {
  json::error_code invalid;
  auto value =
      json::parse({reinterpret_cast<const char*>(content.data()), content.size()}, invalid);
  if (invalid || !value.is_object()) {
    return unreadable("a provisioning marker is a JSON object, and this is none");
  }
  const auto text = [&](std::string_view key) {
    const auto* member = value.get_object().if_contains(key);
    return member != nullptr && member->is_string()
               ? cli::printable({member->get_string().data(), member->get_string().size()})
               : std::string("?");
  };
  return {.summary = "provisioned by " + text("provisioner") + ", reason " + text("reason") +
                     ", TPM " + text("tpm_version"),
          .fields = value.get_object(),
          .trouble = {}};
}

FileMeaning meaning_of_ppi(base::ByteView content) {
  constexpr std::array kNames = {"pending_operation", "operation_in_query", "set_operation_state",
                                 "last_operation",    "last_result",        "argument",
                                 "capabilities"};
  base::Reader in(content);
  FileMeaning meaning{.summary = "physical presence requests", .fields = {}, .trouble = {}};
  for (const auto* name : kNames) {
    const auto value = in.u32_le();
    if (!value) {
      return unreadable("physical presence requests have 28 bytes, and this " +
                        std::to_string(content.size()));
    }
    meaning.fields[name] = *value;
  }
  const auto pending = meaning.fields["pending_operation"].to_number<std::uint64_t>();
  meaning.summary +=
      pending == 0 ? ": none pending" : ": operation " + std::to_string(pending) + " is pending";
  return meaning;
}

FileMeaning meaning_of_number(FileId id, base::ByteView content) {
  base::Reader in(content);
  if (id == FileId::kGuestWatchdog) {
    const auto value = in.u8();
    const bool fired = value.value_or(0) == 1;
    return {.summary = fired ? "the last boot ended in a watchdog timeout"
                             : "the last boot did not end in a watchdog timeout",
            .fields = {{"timed_out", fired}},
            .trouble = value ? "" : "it is empty"};
  }
  const auto value = in.u64_le();
  if (!value) {
    return unreadable("it has 8 bytes, and this " + std::to_string(content.size()));
  }
  if (id == FileId::kRtcSkew) {
    const auto skew = static_cast<std::int64_t>(*value);
    return {.summary = "the guest's clock is " + std::to_string(skew / 10'000'000) +
                       " seconds from its host's",
            .fields = {{"skew_100_nanoseconds", skew}},
            .trouble = {}};
  }
  return {.summary = *value == 0 ? "the guest is not hibernated"
                                 : "the guest is hibernated, by firmware " +
                                       std::to_string(*value >> 8 & 0xFF) + "." +
                                       std::to_string(*value & 0xFF),
          .fields = {{"token", *value}},
          .trouble = {}};
}

FileMeaning meaning_of_variables(FileId id, base::ByteView content) {
  auto variables = decode_uefi_variables(id, content);
  if (!variables) {
    return unreadable(variables.error().message);
  }
  const auto report = report_on(*variables);
  std::size_t signatures = 0;
  for (const auto& database : report.databases) {
    signatures += database.signatures.size();
  }
  return {.summary = "Secure Boot " + report.secure_boot + ", " +
                     std::to_string(report.databases.size()) + " signature databases with " +
                     std::to_string(signatures) + " entries, " +
                     std::to_string(report.boot.size()) + " boot entries",
          .fields = to_json(*variables, report, /*all=*/false),
          .trouble = {}};
}

bool begins_with(base::ByteView content, std::size_t at, std::string_view text) {
  const auto bytes = base::bytes_of(text);
  return content.size() >= at + bytes.size() &&
         std::equal(bytes.begin(), bytes.end(), content.begin() + static_cast<std::ptrdiff_t>(at));
}

// TCG PC Client Platform Firmware Profile, 10.4.5.1: the first event of a crypto-agile log.
bool is_event_log(base::ByteView content) { return begins_with(content, 32, "Spec ID Event03"); }

FileMeaning meaning_of_event_log(base::ByteView content) {
  const auto log = keybroker::evidence::decode_event_log(content);
  if (!log) {
    return unreadable(log.error().message);
  }
  json::array events;
  for (const auto& event : log->events) {
    events.push_back({{"number", event.number},
                      {"pcr", event.index},
                      {"type", keybroker::evidence::event_type_name(event.type)},
                      {"data_bytes", event.data.size()}});
  }
  json::array banks;
  for (const auto& algorithm : log->algorithms) {
    banks.emplace_back(algorithm_word(algorithm.id));
  }
  return {.summary = "a TCG event log of " + std::to_string(log->events.size()) + " events",
          .fields = {{"banks", std::move(banks)}, {"events", std::move(events)}},
          .trouble = {}};
}

FileMeaning meaning_of_other(FileId id, base::ByteView content) {
  if (is_event_log(content)) {
    return meaning_of_event_log(content);
  }
  const auto opaque = [&](std::string_view what) {
    return FileMeaning{
        .summary = std::string(what) + (base::is_all_zero(content) ? ", all zero" : ""),
        .fields = {},
        .trouble = {}};
  };
  switch (id) {
    case FileId::kAttest:
      return opaque("data that goes with attestation requests");
    case FileId::kGuestFirmware:
      return opaque(begins_with(content, 0, "IGVM") ? "guest firmware, an IGVM file"
                                                    : "guest firmware, in no form that is known");
    case FileId::kCustomUefi:
      return opaque("custom UEFI variables, as JSON");
    case FileId::kGuestSecretKey:
      return opaque("the guest's secret key");
    case FileId::kPlatformSeed:
      return opaque("seed, label and context of the store's id");
    case FileId::kProvenanceDoc:
      return opaque("signed provisioning claims");
    default:
      return opaque("no assigned meaning");
  }
}

}  // namespace

FileMeaning meaning_of(FileId id, base::ByteView content) {
  switch (id) {
    case FileId::kBiosNvram:
    case FileId::kUefiFlash:
      return meaning_of_variables(id, content);
    case FileId::kTpmPpi:
      return meaning_of_ppi(content);
    case FileId::kTpmNvram:
    case FileId::kTpmNvramBackup:
    case FileId::kTpmVolatile:
      return meaning_of_tpm_state(content);
    case FileId::kKeyProtector:
    case FileId::kHwKeyProtector:
    case FileId::kSealedKeys:
      return meaning_of_protector(id, content);
    case FileId::kVmUniqueId:
      return meaning_of_vm_id(content);
    case FileId::kRtcSkew:
    case FileId::kGuestWatchdog:
    case FileId::kHibernationToken:
      return meaning_of_number(id, content);
    case FileId::kProvisioningMarker:
      return meaning_of_marker(content);
    case FileId::kRecord:
      return meaning_of_record(content);
    default:
      return meaning_of_other(id, content);
  }
}

}  // namespace tools::vmgs
