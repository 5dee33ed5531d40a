// SPDX-License-Identifier: Apache-2.0
#include "vmgs/repair/damages.h"

#include <algorithm>

#include "vmgs/format/blocks.h"

namespace vmgs::repair {

namespace {

using format::FileId;

constexpr auto kLarge = static_cast<FileId>(45);
constexpr auto kOneBlock = static_cast<FileId>(20);

bool is_encrypted(const StoreKind& kind) { return kind.encrypted; }

bool is_plaintext(const StoreKind& kind) { return !kind.encrypted; }

bool is_vhd(const StoreKind& kind) { return kind.is_vhd; }

void flip_newest_checksum(SickStore& store) {
  store.flip(store.header_at(store.newest_slot()) + 12);
}

void flip_older_checksum(SickStore& store) {
  store.flip(store.header_at(1 - store.newest_slot()) + 12);
}

void misplace(SickStore& store, FileId id, std::uint32_t first_block) {
  auto entry = store.entry(id);
  entry.first_block = first_block;
  store.put_entry(id, entry);
}

void overlap_with(SickStore& store, FileId mover, FileId other) {
  misplace(store, mover, store.entry(other).first_block.value());
}

// The newest header lies in slot 1; a VHD has it 512 bytes from the first.
void move_second_header_to_4096(SickStore& store) {
  const auto second = store.header(1);
  store.fill(512, 168, std::byte{0});
  base::store(format::encode_header(second), std::span(store.bytes).subspan<4096, 168>());
}

}  // namespace

std::vector<Damage> damages() {
  std::vector<Damage> all;
  all.push_back({.name = "OlderHeaderTorn",
                 .inflict = flip_older_checksum,
                 .steps = {"bad-header"},
                 .concerns = is_encrypted});
  all.push_back({.name = "OlderHeaderTornLeft",
                 .inflict = flip_older_checksum,
                 .steps = {"bad-header"},
                 .wishes = {.accepted = {"bad-header"}}});
  all.push_back({.name = "OlderHeaderSequence",
                 .inflict =
                     [](SickStore& s) {
                       // It reads like the newest: its checksum says that it is not.
                       const auto at = s.header_at(1 - s.newest_slot()) + 16;
                       s.bytes[at] = static_cast<std::byte>(std::to_integer<int>(s.bytes[at]) + 2);
                     },
                 .steps = {"bad-header"}});
  all.push_back(
      {.name = "OlderHeaderLost",
       .inflict =
           [](SickStore& s) { s.fill(s.header_at(1 - s.newest_slot()), 168, std::byte{0xEE}); },
       .steps = {"bad-header"}});
  all.push_back({.name = "OlderHeaderOverwritten",
                 .inflict =
                     [](SickStore& s) {
                       const auto at = s.header_at(1 - s.newest_slot());
                       for (std::size_t i = 0; i < 168; ++i) {
                         s.bytes[at + i] = static_cast<std::byte>(i);
                       }
                     },
                 .steps = {"bad-header"},
                 .wishes = {.accepted = {"bad-header"}}});
  all.push_back(
      {.name = "OnlyKeySlotsOfTheOlderHeaderLeft",
       .inflict =
           [](SickStore& s) { s.fill(s.header_at(1 - s.newest_slot()), 36, std::byte{0xEE}); },
       .steps = {"bad-header"},
       .wishes = {.accepted = {"bad-header"}}});
  all.push_back(
      {.name = "OnlyKeySlotsOfTheNewestHeaderLeft",
       .inflict = [](SickStore& s) { s.fill(s.header_at(s.newest_slot()), 36, std::byte{0xEE}); },
       .steps = {"newer-header"},
       .wishes = {.accepted = {"newer-header"}},
       .concerns = is_encrypted});
  all.push_back({.name = "NewestHeaderChecksum",
                 .inflict = flip_newest_checksum,
                 .steps = {"bad-header"},
                 .concerns = is_encrypted});
  all.push_back({.name = "NewestHeaderSequence",
                 .inflict =
                     [](SickStore& s) {
                       // It reads like the one before the older: its own word is worth nothing.
                       const auto at = s.header_at(s.newest_slot()) + 16;
                       s.bytes[at] = static_cast<std::byte>(std::to_integer<int>(s.bytes[at]) - 2);
                     },
                 .steps = {"bad-header"},
                 .concerns = is_encrypted});
  all.push_back({.name = "NewestHeaderChecksumTaken",
                 .inflict = flip_newest_checksum,
                 .steps = {"newer-header"},
                 .wishes = {.accepted = {"newer-header"}},
                 .concerns = is_plaintext});
  all.push_back({.name = "NewestHeaderChecksumLeft",
                 .inflict = flip_newest_checksum,
                 .steps = {"bad-header"},
                 .wishes = {.accepted = {"bad-header"}},
                 .then = [](const SickStore& s, Contents& c) { c = s.before(); },
                 .concerns = is_plaintext});
  all.push_back(
      {.name = "NewestHeaderLost",
       .inflict = [](SickStore& s) { s.fill(s.header_at(s.newest_slot()), 168, std::byte{0}); },
       .steps = {"bad-header"},
       .then = [](const SickStore& s, Contents& c) { c = s.before(); }});
  all.push_back({.name = "BothChecksums",
                 .inflict =
                     [](SickStore& s) {
                       s.flip(s.header_at(0) + 12);
                       s.flip(s.header_at(1) + 12);
                     },
                 .steps = {"no-valid-header"},
                 .concerns = is_encrypted});
  all.push_back({.name = "BothSignatures",
                 .inflict =
                     [](SickStore& s) {
                       s.flip(s.header_at(0));
                       s.flip(s.header_at(1) + 3);
                     },
                 .steps = {"no-valid-header"}});
  all.push_back({.name = "SequenceGap",
                 .inflict =
                     [](SickStore& s) {
                       const auto slot = s.newest_slot();
                       auto header = s.header(slot);
                       header.sequence += 5;
                       s.put_header(slot, header);
                     },
                 .steps = {"sequence-gap"},
                 .concerns = is_encrypted});
  all.push_back({.name = "SequenceGapChosen",
                 .inflict =
                     [](SickStore& s) {
                       auto header = s.header(0);
                       header.sequence += 5;
                       s.put_header(0, header);
                     },
                 .steps = {"sequence-gap"},
                 .wishes = {.accepted = {"slot-1"}},
                 .then =
                     [](const SickStore& s, Contents& c) {
                       // Four commits: the newest lies in slot 1.
                       c = s.healthy();
                     }});
  all.push_back({.name = "SelfEntry",
                 .inflict =
                     [](SickStore& s) {
                       auto entry = s.entry(FileId::kFileTable);
                       entry.first_block = entry.first_block.value() + 1;
                       s.put_entry(FileId::kFileTable, entry);
                     },
                 .steps = {"bad-self-entry"}});
  all.push_back({.name = "RangeWraps",
                 .inflict =
                     [](SickStore& s) {
                       auto entry = s.entry(kOneBlock);
                       entry.first_block = 0xFFFFFFFF;
                       entry.allocated_blocks = 3;
                       s.put_entry(kOneBlock, entry);
                     },
                 .steps = {"bad-entry"},
                 .concerns = is_encrypted});
  all.push_back({.name = "RangeWrapsOfTheNewestFile",
                 .inflict = [](SickStore& s) { misplace(s, kLarge, 0xFFFFFFFF); },
                 .steps = {"bad-entry"},
                 .concerns = is_encrypted});
  all.push_back({.name = "RangeWrapsDropped",
                 .inflict = [](SickStore& s) { misplace(s, kLarge, 0xFFFFFFFF); },
                 .steps = {"bad-entry"},
                 .wishes = {.dropped = {kLarge}},
                 .then = [](const SickStore&, Contents& c) { c.erase(kLarge); },
                 .concerns = is_plaintext});
  all.push_back(
      {.name = "ExtendedTableMisplaced",
       .inflict = [](SickStore& s) { misplace(s, FileId::kExtendedFileTable, 1'000'000); },
       .steps = {"bad-extended-entry"},
       .concerns = is_encrypted});
  all.push_back({.name = "NewestExtendedTableAndAnotherMisplaced",
                 .inflict =
                     [](SickStore& s) {
                       // The newest commit seems torn, and is worth less than the one before.
                       misplace(s, FileId::kExtendedFileTable, 1'000'000);
                       format::FileEntryLayout entry{};
                       entry.allocated_blocks = 1;
                       s.put_entry(FileId::kKeyProtector, entry);
                     },
                 .steps = {"fell-back"},
                 .then = [](const SickStore& s, Contents& c) { c = s.before(); },
                 .concerns = is_encrypted});
  all.push_back({.name = "ExtendedEntryMissing",
                 .inflict = [](SickStore& s) { s.put_entry(FileId::kExtendedFileTable, {}); },
                 .steps = {"bad-extended-entry"},
                 .concerns = is_plaintext});
  all.push_back({.name = "TableLost",
                 .inflict =
                     [](SickStore& s) {
                       s.fill(s.table_at(s.newest_slot()), format::kBlockBytes, std::byte{0x77});
                     },
                 .steps = {"older-generation"},
                 .wishes = {.accepted = {"older-generation"}},
                 .then = [](const SickStore& s, Contents& c) { c = s.before(); },
                 .concerns = is_plaintext});
  all.push_back({.name = "TablePastTheEnd",
                 .inflict =
                     [](SickStore& s) {
                       const auto slot = s.newest_slot();
                       auto header = s.header(slot);
                       header.file_table_block = 5000;
                       s.put_header(slot, header);
                     },
                 .steps = {"older-generation"},
                 .wishes = {.accepted = {"older-generation"}},
                 .then = [](const SickStore& s, Contents& c) { c = s.before(); },
                 .concerns = is_plaintext});
  all.push_back({.name = "OverlapThatReads",
                 .inflict = [](SickStore& s) { overlap_with(s, kOneBlock, kLarge); },
                 .steps = {"overlap"},
                 .then =
                     [](const SickStore& s, Contents& c) {
                       const auto& large = s.healthy().at(kLarge);
                       c[kOneBlock] = base::Bytes(large.begin(), large.begin() + 4096);
                     },
                 .concerns = is_plaintext});
  all.push_back({.name = "OverlapByExtraBlocks",
                 .inflict =
                     [](SickStore& s) {
                       // As many blocks as it takes to reach into the next thing.
                       auto entry = s.entry(FileId::kVmUniqueId);
                       entry.allocated_blocks = 4;
                       s.put_entry(FileId::kVmUniqueId, entry);
                     },
                 .steps = {"overlap"},
                 .concerns = is_plaintext});
  all.push_back({.name = "Downgrade",
                 .inflict =
                     [](SickStore& s) {
                       auto header = s.header(s.newest_slot());
                       header.encrypted = false;
                       s.put_header(s.newest_slot(), header);
                     },
                 .steps = {"downgrade"},
                 .concerns = is_encrypted});
  all.push_back({.name = "PlaintextFileChangedWithoutTheKey",
                 .inflict =
                     [](SickStore& s) {
                       auto entry = s.entry(FileId::kVmUniqueId);
                       entry.valid_bytes = 19;
                       s.put_entry(FileId::kVmUniqueId, entry);
                     },
                 .steps = {"edited-without-key"},
                 .then = [](const SickStore&, Contents& c) { c[FileId::kVmUniqueId].pop_back(); },
                 .concerns = is_encrypted});
  all.push_back({.name = "FileTakenOutWithoutTheKey",
                 .inflict = [](SickStore& s) { s.put_entry(kLarge, {}); },
                 .steps = {"edited-without-key"},
                 .then = [](const SickStore&, Contents& c) { c.erase(kLarge); },
                 .concerns = is_encrypted});
  all.push_back({.name = "AttributesCleared",
                 .inflict =
                     [](SickStore& s) {
                       auto entry = s.entry(kLarge);
                       entry.attributes = 0;
                       s.put_entry(kLarge, entry);
                     },
                 .steps = {"edited-without-key"},
                 .concerns = is_encrypted});
  all.push_back(
      {.name = "CiphertextDamaged",
       .inflict =
           [](SickStore& s) {
             s.flip(std::size_t{s.entry(kLarge).first_block.value()} * format::kBlockBytes + 100);
           },
       .steps = {"dropped"},
       .wishes = {.dropped = {kLarge}},
       .then = [](const SickStore&, Contents& c) { c.erase(kLarge); },
       .concerns = is_encrypted});
  all.push_back({.name = "FooterChecksum",
                 .inflict = [](SickStore& s) { s.flip(s.bytes.size() - 512 + 64); },
                 .steps = {"bad-container"},
                 .concerns = is_vhd});
  all.push_back({.name = "FooterLost",
                 .inflict = [](SickStore& s) { s.fill(s.bytes.size() - 512, 512, std::byte{0}); },
                 .steps = {"bad-container"},
                 .concerns = is_vhd});
  all.push_back(
      {.name = "GrownByAnOddLength",
       .inflict = [](SickStore& s) { s.bytes.insert(s.bytes.end(), 1234, std::byte{0x11}); },
       .steps = {"bad-container"},
       .concerns = is_vhd});
  all.push_back(
      {.name = "GrownByWholeBlocks",
       .inflict = [](SickStore& s) { s.bytes.insert(s.bytes.end(), 8192, std::byte{0x11}); },
       .steps = {"bad-container"},
       .concerns = is_vhd});
  all.push_back({.name = "CutInFreeSpace",
                 .inflict = [](SickStore& s) { s.bytes.resize(s.bytes.size() - 4096 - 700); },
                 .steps = {"bad-container"},
                 .concerns = is_vhd});
  all.push_back({.name = "HeadersOfA4KnDiskInAVhd",
                 .inflict = move_second_header_to_4096,
                 .steps = {"wrong-spacing"},
                 .concerns = [](const StoreKind& kind) { return kind.is_vhd && kind.encrypted; }});
  all.push_back({.name = "HeadersOfA4KnDiskInAVhdTaken",
                 .inflict = move_second_header_to_4096,
                 .steps = {"wrong-spacing"},
                 .wishes = {.accepted = {"wrong-spacing"}},
                 .concerns = [](const StoreKind& kind) { return kind.is_vhd && !kind.encrypted; }});
  return all;
}

}  // namespace vmgs::repair
