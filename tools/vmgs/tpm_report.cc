// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <utility>

#include "tools/vmgs/file_report.h"
#include "tools/vmgs/tpm_words.h"
#include "vmgs/base/cursor.h"
#include "vmgs/format/swtpm_blob.h"
#include "vmgs/format/tpm_permanent.h"
#include "vmgs/format/tpm_state.h"

namespace tools::vmgs {

namespace format = ::vmgs::format;
namespace json = boost::json;
using format::TpmStateForm;

namespace {

json::value or_null(std::string_view text) {
  return text.empty() ? json::value() : json::value(text);
}

std::string_view word(format::TpmShutdown shutdown) {
  switch (shutdown) {
    case format::TpmShutdown::kClear:
      return "in order";
    case format::TpmShutdown::kState:
      return "in order, with state to resume from";
    case format::TpmShutdown::kDaUsed:
      return "not in order, after a guarded object was used: the next start counts a failed try";
    case format::TpmShutdown::kNone:
      return "not in order";
    case format::TpmShutdown::kUnknown:
      break;
  }
  return "unknown";
}

std::string_view word(format::SeedProtection protection) {
  switch (protection) {
    case format::SeedProtection::kNone:
      return "none: they have lain in plaintext";
    case format::SeedProtection::kHost:
      return "a key of the host";
    case format::SeedProtection::kTee:
      return "a key of the TEE";
    case format::SeedProtection::kUnknown:
      break;
  }
  return "unknown: older than this note";
}

json::object authority(std::string_view name, const json::value& enabled,
                       const format::TpmAuthority& set) {
  return {{"hierarchy", name},
          {"enabled", enabled},
          {"authorization_set", set.has_authorization},
          {"policy_set", set.has_policy}};
}

// A hierarchy that was switched off comes back with the next start that is no resume, so only state
// to resume from says anything of it.
json::array hierarchies(const format::TpmPermanent& tpm) {
  const auto enabled = [&](bool format::TpmResumable::*member) {
    return tpm.resumable ? json::value((*tpm.resumable).*member) : json::value();
  };
  json::array all = {authority("owner", enabled(&format::TpmResumable::owner_enabled), tpm.owner),
                     authority("endorsement", enabled(&format::TpmResumable::endorsement_enabled),
                               tpm.endorsement),
                     authority("lockout", json::value(), tpm.lockout_authority)};
  if (tpm.resumable) {
    all.push_back(authority("platform", json::value(), tpm.resumable->platform));
  }
  return all;
}

json::object lockout(const format::TpmLockout& lockout) {
  const bool is_locked = lockout.max_tries != 0 && lockout.failed_tries >= lockout.max_tries;
  // Of running time: a TPM that is off forgets nothing.
  const std::uint64_t seconds =
      is_locked
          ? (std::uint64_t{lockout.failed_tries} - lockout.max_tries + 1) * lockout.recovery_seconds
          : 0;
  return {{"locked_out", is_locked},
          {"failed_tries", lockout.failed_tries},
          {"max_tries", lockout.max_tries},
          {"recovery_seconds", lockout.recovery_seconds},
          {"lockout_recovery_seconds", lockout.lockout_recovery_seconds},
          {"lockout_authorization_enabled", lockout.lockout_authorization_enabled},
          {"running_seconds_until_free", seconds}};
}

json::array banks(const std::vector<format::TpmPcrBank>& from) {
  json::array all;
  for (const auto& bank : from) {
    all.push_back({{"bank", algorithm_word(bank.algorithm)},
                   {"pcrs", std::popcount(bank.pcrs)},
                   {"allocated", bank.pcrs != 0}});
  }
  return all;
}

json::array indices(const format::TpmPermanent& tpm) {
  json::array all;
  for (const auto& index : tpm.nv->indices) {
    // What is kept in RAM is told by the RAM: its attributes, and whether it has been written.
    auto attributes = index.attributes;
    for (const auto& in_ram : tpm.orderly_indices) {
      attributes = in_ram.index == index.index ? in_ram.attributes : attributes;
    }
    const bool is_written = (attributes & format::kTpmNvWritten) != 0;
    all.push_back({{"index", handle_word(index.index)},
                   {"name", or_null(nv_index_name(index.index))},
                   {"type", nv_type_word(attributes)},
                   {"size_bytes", index.data_bytes},
                   {"written", is_written},
                   {"name_algorithm", algorithm_word(index.name_algorithm)},
                   {"policy_set", index.has_policy},
                   {"authorization_set", index.has_authorization},
                   {"attributes", nv_attribute_words(attributes)},
                   {"content", or_null(is_written ? certificate_word(index.content) : "")}});
  }
  return all;
}

json::array objects(const format::TpmNvMemory& nv) {
  json::array all;
  for (const auto& each : nv.objects) {
    all.push_back({{"handle", handle_word(each.handle)},
                   {"name", or_null(handle_name(each.handle))},
                   {"key", key_word(each.object)},
                   {"scheme", algorithm_word(each.object.scheme)},
                   {"policy_set", each.object.has_policy},
                   {"authorization_set", each.object.has_authorization},
                   {"attributes", object_attribute_words(each.object.attributes)},
                   {"object_name", base::to_hex(each.object.name)}});
  }
  return all;
}

FileMeaning meaning_of_permanent(base::ByteView blob) {
  FileMeaning meaning;
  const auto tpm = format::decode_tpm_permanent(blob);
  if (!tpm) {
    meaning.trouble = tpm.error().message;
    return meaning;
  }
  auto& fields = meaning.fields;
  fields["libtpms_state_version"] = tpm->version;
  if (!tpm->profile.empty()) {
    fields["profile"] = tpm->profile;
  }
  if (tpm->has_data) {
    fields["shut_down"] = word(tpm->shutdown);
    fields["resets_since_clear"] = tpm->reset_count;
    fields["total_resets"] = tpm->total_resets;
    if (tpm->resumable) {
      fields["restarts_since_reset"] = tpm->resumable->restart_count;
    }
    if (tpm->clock) {
      fields["clock_milliseconds"] = tpm->clock->clock_milliseconds;
      fields["clock_is_safe"] = tpm->clock->is_safe;
    }
    fields["clear_disabled"] = tpm->clear_disabled;
    fields["hierarchies"] = hierarchies(*tpm);
    fields["lockout"] = lockout(tpm->lockout);
    fields["pcr_banks"] = banks(tpm->banks);
    const bool is_in_order = tpm->shutdown == format::TpmShutdown::kClear ||
                             tpm->shutdown == format::TpmShutdown::kState;
    meaning.summary = std::string(is_in_order ? "shut down in order" : "not shut down in order") +
                      ", reset " + std::to_string(tpm->reset_count) + " times since it was cleared";
  }
  if (tpm->nv) {
    fields["nv_used_bytes"] = tpm->nv->used_bytes;
    fields["nv_room_bytes"] = tpm->nv->room_bytes;
    fields["nv_indices"] = indices(*tpm);
    fields["persistent_objects"] = objects(*tpm->nv);
    meaning.summary += (meaning.summary.empty() ? "" : ", ") +
                       std::to_string(tpm->nv->indices.size()) + " NV indices, " +
                       std::to_string(tpm->nv->objects.size()) + " persistent keys";
  }
  fields["not_understood"] = or_null(tpm->not_understood);
  meaning.trouble = tpm->not_understood;
  return meaning;
}

FileMeaning meaning_of_volatile(base::ByteView blob) {
  FileMeaning meaning;
  const auto tpm = format::decode_tpm_volatile(blob);
  if (!tpm) {
    meaning.trouble = tpm.error().message;
    return meaning;
  }
  auto& fields = meaning.fields;
  fields["libtpms_state_version"] = tpm->version;
  fields["running_milliseconds"] = tpm->time_milliseconds;
  if (tpm->clock) {
    fields["clock_milliseconds"] = tpm->clock->clock_milliseconds;
  }
  if (tpm->resumable) {
    fields["owner_enabled"] = tpm->resumable->owner_enabled;
    fields["endorsement_enabled"] = tpm->resumable->endorsement_enabled;
    fields["platform_enabled"] = tpm->platform_enabled;
    fields["restarts_since_reset"] = tpm->resumable->restart_count;
    fields["pcr_changes"] = tpm->resumable->pcr_counter;
  }
  json::object pcrs;
  for (const auto& bank : tpm->pcrs) {
    json::object values;
    for (std::size_t pcr = 0; pcr < bank.values.size(); ++pcr) {
      values[std::to_string(pcr)] = base::to_hex(bank.values[pcr]);
    }
    pcrs[algorithm_word(bank.algorithm)] = std::move(values);
  }
  fields["pcrs"] = std::move(pcrs);
  fields["not_understood"] = or_null(tpm->not_understood);
  meaning.summary =
      "a TPM that was stopped while it ran, PCRs of " + std::to_string(tpm->pcrs.size()) + " banks";
  meaning.trouble = tpm->not_understood;
  return meaning;
}

FileMeaning meaning_of_libtpms(base::ByteView blob) {
  return format::recognise_tpm_state(blob) == TpmStateForm::kLibtpmsVolatile
             ? meaning_of_volatile(blob)
             : meaning_of_permanent(blob);
}

std::string libtpms_version(std::uint32_t version) {
  return std::to_string(version >> 16) + "." + std::to_string(version >> 8 & 0xFF) + "." +
         std::to_string(version & 0xFF);
}

void put_in_front(FileMeaning& meaning, std::string_view form, json::object fields) {
  for (auto& member : meaning.fields) {
    fields[member.key()] = std::move(member.value());
  }
  meaning.fields = std::move(fields);
  meaning.summary = std::string(form) + (meaning.summary.empty() ? "" : ": " + meaning.summary);
}

FileMeaning meaning_of_ours(base::ByteView content) {
  const auto state = format::decode_tpm_state(content);
  if (!state) {
    return {.summary = "a TPM state of ours, not whole",
            .fields = {},
            .trouble = state.error().message};
  }
  auto meaning = meaning_of_libtpms(state->blob);
  const bool is_permanent = state->kind == format::TpmStateKind::kPermanent;
  put_in_front(meaning, is_permanent ? "a TPM of ours" : "a running TPM of ours",
               {{"form", "ours"},
                {"kind", is_permanent ? "permanent" : "volatile"},
                {"vm_id", format::to_string(state->vm_id)},
                {"libtpms", libtpms_version(state->libtpms_version)},
                {"seeds_were_protected_by", word(state->seed_protection)},
                {"made_by_another_program", state->imported}});
  return meaning;
}

// The records of ms-tpm-20-ref's NV memory: a size and, whatever they are, a handle.
FileMeaning meaning_of_reference_image(base::ByteView content, TpmStateForm form) {
  constexpr std::size_t kRecordsOffset = 3508;
  json::array records;
  if (content.size() > kRecordsOffset) {
    base::Reader in(content.subspan(kRecordsOffset));
    for (;;) {
      const auto size = in.u32_le();
      const auto handle = in.u32_le();
      if (!size || *size < 8 || !handle || !in.bytes(*size - 8)) {
        break;
      }
      const auto name =
          nv_index_name(*handle).empty() ? handle_name(*handle) : nv_index_name(*handle);
      records.push_back(
          {{"handle", handle_word(*handle)}, {"name", or_null(name)}, {"size_bytes", *size}});
    }
  }
  FileMeaning meaning;
  meaning.summary =
      std::string(format::describe(form)) + ", " + std::to_string(records.size()) + " NV records";
  meaning.fields = {{"form", "reference-image"},
                    {"cut", form == TpmStateForm::kReferenceImageCut},
                    {"records", std::move(records)}};
  if (form == TpmStateForm::kReferenceImageCut) {
    meaning.trouble = "its last records were cut off by an old defect of its makers";
  }
  return meaning;
}

}  // namespace

FileMeaning meaning_of_tpm_state(base::ByteView content) {
  const auto form = format::recognise_tpm_state(content);
  switch (form) {
    case TpmStateForm::kOurs:
      return meaning_of_ours(content);
    case TpmStateForm::kLibtpmsPermanent:
    case TpmStateForm::kLibtpmsVolatile: {
      auto meaning = meaning_of_libtpms(content);
      put_in_front(meaning, format::describe(form), {{"form", "libtpms"}});
      return meaning;
    }
    case TpmStateForm::kSwtpm: {
      const auto blob = format::decode_swtpm_blob(content);
      if (!blob) {
        return {.summary = std::string(format::describe(form)),
                .fields = {{"form", "swtpm"}},
                .trouble = blob.error().message};
      }
      auto meaning = meaning_of_libtpms(blob->state);
      put_in_front(meaning, format::describe(form), {{"form", "swtpm"}});
      return meaning;
    }
    case TpmStateForm::kSwtpmEncrypted:
      return {.summary = std::string(format::describe(form)),
              .fields = {{"form", "swtpm-encrypted"}},
              .trouble = {}};
    case TpmStateForm::kReferenceImage:
    case TpmStateForm::kReferenceImageCut:
      return meaning_of_reference_image(content, form);
    case TpmStateForm::kEmpty:
    case TpmStateForm::kAllZero:
    case TpmStateForm::kUnknown:
      break;
  }
  return {.summary = std::string(format::describe(form)),
          .fields = {{"form", "unknown"}},
          .trouble = "it holds no TPM that this program knows"};
}

}  // namespace tools::vmgs
