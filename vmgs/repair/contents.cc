// SPDX-License-Identifier: Apache-2.0
#include "vmgs/repair/contents.h"

#include <algorithm>
#include <string>

#include "vmgs/format/record.h"
#include "vmgs/format/sealed_keys.h"
#include "vmgs/format/tpm_state.h"
#include "vmgs/uefi/flash.h"
#include "vmgs/uefi/flash_edit.h"

namespace vmgs::repair {

namespace {

using format::FileId;
using volume::Generation;

constexpr std::uint32_t kKnownCommitFlags = 1;
constexpr std::uint64_t kTpmNvramBytes = 32768;
constexpr std::uint64_t kOldTpmNvramBytes = 16384;

format::ExtendedEntryLayout raw_entry(const Generation& generation, FileId id) {
  const auto block = generation.extended().expose();
  return base::load<format::ExtendedEntryLayout>(
      block.subspan(format::index(id) * sizeof(format::ExtendedEntryLayout))
          .first<sizeof(format::ExtendedEntryLayout)>());
}

// Entry 0 holds the commit info in stores of ours and is zero in all others.
void examine_commit_info(const Generation& generation, Report& report) {
  const auto where = format::describe(FileId::kExtendedFileTable);
  const auto raw = raw_entry(generation, FileId::kFileTable);
  if (!generation.commit_info()) {
    report.note("no-commit-info", where,
                "another tool wrote this store last: no digest protects its file table and its "
                "plaintext files, and it has no commit sequence");
    if (!base::is_all_zero(base::view(raw))) {
      report.warn("unknown-bits", where,
                  "its entry 0 is neither zero nor ours: a newer writer, or damage before sealing");
    }
    return;
  }
  const auto info = base::load<format::CommitInfoLayout>(std::span(raw.key));
  if (raw.attributes.value() != 0 || (info.flags.value() & ~kKnownCommitFlags) != 0 ||
      !base::is_all_zero(info.reserved)) {
    report.warn("unknown-bits", where,
                "its commit info has bits that this version does not know: a newer writer");
  }
  if (generation.commit_info()->sequence == 0) {
    report.note("edited", where,
                "the content was made or changed by a tool, not by an instance: there is no commit "
                "sequence, so a broker that keeps one will ask for an authorised restore");
  }
  if (generation.commit_info()->one_barrier) {
    report.note("one-barrier", where,
                "the newest commit was made with one barrier, as a VM makes them that was not "
                "stopped in order. Before another tool opens this store, run `vmgs close`");
  }
}

void examine_extended_entry(const Generation& generation, FileId id, Report& report) {
  const auto where = format::describe(id);
  const auto raw = raw_entry(generation, id);
  const auto& entry = (*generation.table())[id];
  const bool is_encrypted = format::is_encrypted(raw.attributes.value());
  if (!entry) {
    if (!base::is_all_zero(base::view(raw))) {
      report.warn("orphan-key", where,
                  "the sealed table knows this file, but it is not in the store: somebody without "
                  "the key removed it");
    }
    return;
  }
  if (is_encrypted != format::is_encrypted(entry->attributes)) {
    report.warn("attributes-differ", where,
                is_encrypted ? "the sealed table calls it encrypted, the file table does not: an "
                               "older writer, or somebody without the key changed the file table"
                             : "the file table calls it encrypted, the sealed table does not: "
                               "somebody without the key changed the file table");
  }
  if (is_encrypted && entry->valid_bytes == 0 && format::is_content(id)) {
    report.note("empty-encrypted", where,
                "is encrypted and empty, which other tools take for damage: `vmgs repair --accept "
                "empty-encrypted` keeps it in plaintext");
  }
  const bool has_digest = generation.commit_info() && !is_encrypted;
  if ((raw.attributes.value() & ~format::kAttributesEncrypted) != 0 ||
      (!has_digest && !base::is_all_zero(raw.reserved))) {
    report.warn("unknown-bits", where,
                "its entry in the sealed table has bits that no document names: a newer writer");
  }
}

void examine_tpm_nvram(base::ByteView content, Report& report) {
  const auto where = format::describe(FileId::kTpmNvram);
  const auto form = format::recognise_tpm_state(content);
  if (form == format::TpmStateForm::kOurs) {
    if (const auto state = format::decode_tpm_state(content); !state) {
      report.error("bad-content", where, state.error().message);
    }
    return;
  }
  report.note("foreign-tpm-state", where,
              "this is " + std::string(format::describe(form)) +
                  "; an instance of ours refuses it until it is converted");
  if (content.size() != kTpmNvramBytes && content.size() != kOldTpmNvramBytes) {
    report.warn("wrong-size", where,
                "is " + std::to_string(content.size()) +
                    " bytes long and not ours: other makers write 32768, or 16384");
  }
}

// A variable flash in which the next update finds no room. One that does not decode is left to
// those who read it.
void examine_flash(base::ByteView content, Report& report) {
  constexpr std::uint64_t kRoomForAnUpdate = 4096;
  const auto flash = uefi::decode_flash(content);
  if (!flash || flash->store_bytes - flash->used_bytes >= kRoomForAnUpdate) {
    return;
  }
  const auto left = flash->store_bytes - uefi::packed_bytes(*flash);
  report.warn("variables-full", format::describe(FileId::kUefiFlash),
              left < kRoomForAnUpdate
                  ? "has " + std::to_string(left) + " of " + std::to_string(flash->store_bytes) +
                        " bytes left, even when what is deleted is taken back: an update of Secure "
                        "Boot's databases will not fit. Take out what is not needed with `vmgs "
                        "uefi delete`"
                  : "is full, " + std::to_string(left) +
                        " bytes of it with deleted variables, which firmware takes back when it "
                        "next needs room, and `vmgs repair --accept variables-full` at once");
}

template <typename Decode>
void examine_decoded(FileId id, base::ByteView content, Decode decode, Report& report) {
  if (const auto decoded = decode(content); !decoded) {
    report.error("bad-content", format::describe(id), decoded.error().message);
  }
}

}  // namespace

void examine_extended_table(const Generation& generation, Report& report) {
  if (generation.metadata_key_is_zero()) {
    report.error("zero-metadata-key", format::describe(FileId::kExtendedFileTable),
                 "it is sealed with a key of 32 zero bytes, as some releases of the reference "
                 "wrote them: anybody with the file reads every file key. Any write with the key "
                 "cures it, and `vmgs rekey` makes sure; what was in the store may be known");
  }
  examine_commit_info(generation, report);
  for (std::size_t i = 0; i < format::kFileIds; ++i) {
    if (const auto id = static_cast<FileId>(i); format::is_content(id)) {
      examine_extended_entry(generation, id, report);
    }
  }
}

void examine_unsealed_files(storage::BlockDevice& device, const Generation& generation,
                            Report& report) {
  for (const auto& failure : generation.failing_files(device)) {
    // What is wrong with a file of a downgraded store has been said of its entry.
    if (failure.error.code != base::ErrorCode::kCorrupt) {
      report.error("unreadable-file", format::describe(failure.id), failure.error.message);
    }
  }
}

void examine_known_files(storage::BlockDevice& device, const Generation& generation,
                         Report& report) {
  for (const auto id :
       {FileId::kTpmNvram, FileId::kSealedKeys, FileId::kRecord, FileId::kUefiFlash}) {
    const auto content = generation.read_file(device, id);
    if (!content) {
      continue;  // absent, locked away, or reported already
    }
    switch (id) {
      case FileId::kTpmNvram:
        examine_tpm_nvram(content->expose(), report);
        break;
      case FileId::kUefiFlash:
        examine_flash(content->expose(), report);
        break;
      case FileId::kSealedKeys:
        examine_decoded(id, content->expose(), format::decode_sealed_keys, report);
        break;
      default:
        examine_decoded(id, content->expose(), format::decode_record, report);
        break;
    }
  }
}

}  // namespace vmgs::repair
