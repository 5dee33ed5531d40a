// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/scenario.h"

#include <memory>

#include "vmgs/edit/capacity.h"
#include "vmgs/edit/scrub.h"

namespace tests::crash {

namespace {

using vmgs::format::FileId;
using vmgs::format::HeaderSpacing;
using vmgs::volume::Barriers;
using vmgs::volume::Protection;
using vmgs::volume::Sequence;
using vmgs::volume::Transaction;
using vmgs::volume::Volume;

// One file of a transaction, or its removal.
struct Change {
  FileId id;
  std::size_t size;
  unsigned char fill;
  bool plaintext = false;
  bool removes = false;
};

Transaction transaction_of(const std::vector<Change>& changes,
                           const std::vector<base::Bytes>& contents, Sequence sequence,
                           Barriers barriers) {
  Transaction transaction(sequence, barriers);
  for (std::size_t i = 0; i < changes.size(); ++i) {
    if (changes[i].removes) {
      transaction.remove(changes[i].id);
    } else {
      transaction.put(changes[i].id, contents[i],
                      changes[i].plaintext ? Protection::kPlaintext : Protection::kAsStore);
    }
  }
  return transaction;
}

std::vector<base::Bytes> contents_of(const std::vector<Change>& changes) {
  std::vector<base::Bytes> contents;
  contents.reserve(changes.size());
  for (const auto& change : changes) {
    contents.emplace_back(change.size, std::byte{change.fill});
  }
  return contents;
}

Step commit_step(std::string name, std::vector<Change> changes,
                 Sequence sequence = Sequence::kAdvance,
                 Barriers barriers = Barriers::kOneWhereSafe) {
  return {std::move(name), [=](vmgs::storage::BlockDevice&, std::optional<Volume>& volume) {
            const auto contents = contents_of(changes);
            return volume->commit(transaction_of(changes, contents, sequence, barriers));
          }};
}

// Writes one file; in a mixed store a plaintext file changes with it.
Step write_step(Kind kind, FileId id, std::size_t size, unsigned char fill) {
  std::vector<Change> changes{{id, size, fill}};
  if (kind == Kind::kMixed) {
    changes.push_back({FileId::kVmUniqueId, 20, fill, true});
  }
  return commit_step("write " + vmgs::format::describe(id), changes);
}

// A new key, its protector and a new record in one transaction, then the scrub.
Step rotation_step(unsigned char key) {
  return {"rotate to key " + std::to_string(key),
          [=](vmgs::storage::BlockDevice&, std::optional<Volume>& volume) {
            const base::Bytes protector(224, std::byte{key});
            const base::Bytes record(60, std::byte{key});
            Transaction transaction;
            transaction.put(FileId::kSealedKeys, protector, Protection::kPlaintext);
            transaction.put(FileId::kRecord, record);
            return volume->rekey(key_number(key), transaction);
          }};
}

std::optional<vmgs::volume::DatastoreKey> first_key(Kind kind) {
  if (kind == Kind::kPlaintext) {
    return std::nullopt;
  }
  return key_number(1);
}

// Makes a store as an instance does: with protector, record and TPM state in its first generation.
Step format_with_files_step(Kind kind) {
  return {"format with files",
          [=](vmgs::storage::BlockDevice& device, std::optional<Volume>& volume) {
            const std::vector<Change> changes{{FileId::kTpmNvram, 1300, 0xA0},
                                              {FileId::kSealedKeys, 224, 1, true},
                                              {FileId::kRecord, 150, 0xA1}};
            const auto contents = contents_of(changes);
            auto made = Volume::format(
                device, HeaderSpacing::k512, first_key(kind),
                transaction_of(changes, contents, Sequence::kAdvance, Barriers::kOneWhereSafe));
            if (!made) {
              return base::Result<void>(base::fail(std::move(made).error()));
            }
            volume = *std::move(made);
            return base::Result<void>();
          },
          true};
}

// What is done with a tool while the VM is down: `vmgs encrypt`, `decrypt`, `move` and `resize`.
Step encrypt_step() {
  return {
      "encrypt",
      [](vmgs::storage::BlockDevice& device, std::optional<Volume>& volume) -> base::Result<void> {
        TRY(volume->encrypt(key_number(1)));
        TRY(vmgs::edit::scrub(device, HeaderSpacing::k512));
        return {};
      }};
}

Step decrypt_step() {
  return {
      "decrypt",
      [](vmgs::storage::BlockDevice& device, std::optional<Volume>& volume) -> base::Result<void> {
        Transaction transaction(Sequence::kEdit, Barriers::kTwo);
        if (volume->contains(FileId::kSealedKeys)) {
          transaction.remove(FileId::kSealedKeys);
        }
        TRY(volume->decrypt(transaction));
        TRY(vmgs::edit::scrub(device, HeaderSpacing::k512));
        return {};
      }};
}

Step move_step(FileId from, FileId to) {
  return {"move",
          [=](vmgs::storage::BlockDevice&, std::optional<Volume>& volume) -> base::Result<void> {
            TRY_ASSIGN(content, volume->read(from));
            Transaction transaction(Sequence::kEdit, Barriers::kTwo);
            transaction.put(to, content.expose());
            transaction.remove(from);
            return volume->commit(transaction);
          }};
}

Step shrink_step(Kind kind, std::uint64_t blocks) {
  return {
      "shrink",
      [=](vmgs::storage::BlockDevice& device, std::optional<Volume>& volume) -> base::Result<void> {
        const auto key = key_number(1);
        TRY(vmgs::edit::vacate(device, HeaderSpacing::k512,
                               kind == Kind::kPlaintext ? nullptr : &key,
                               blocks * vmgs::format::kBlockBytes));
        TRY_ASSIGN(again, open_as_instance(device));
        volume = std::move(again);
        return {};
      }};
}

Step close_step() {
  return {"close", [](vmgs::storage::BlockDevice&, std::optional<Volume>& volume) {
            return volume->close();
          }};
}

std::string name_of(Kind kind) {
  return kind == Kind::kEncrypted ? "encrypted" : kind == Kind::kPlaintext ? "plaintext" : "mixed";
}

std::vector<Scenario> scenarios_of(Kind kind) {
  const bool mixed = kind == Kind::kMixed;
  const auto with_kind = [&](std::string name) { return name_of(kind) + "/" + std::move(name); };
  std::vector<Scenario> list;

  list.push_back({with_kind("create and first write"),
                  16,
                  {format_step(kind), write_step(kind, FileId::kTpmNvram, 1400, 0xA1)}});

  list.push_back({with_kind("create with its first files"),
                  16,
                  {format_with_files_step(kind), write_step(kind, FileId::kTpmNvram, 1400, 0xA2)}});

  // Twelve blocks: each rewrite lands on blocks that held older generations.
  list.push_back({with_kind("rewrites over reused blocks"),
                  12,
                  {format_step(kind), write_step(kind, FileId::kTpmNvram, 600, 0xB1),
                   write_step(kind, FileId::kTpmNvram, 600, 0xB2),
                   write_step(kind, FileId::kTpmNvram, 500, 0xB3),
                   write_step(kind, FileId::kTpmNvram, 500, 0xB4),
                   write_step(kind, FileId::kTpmNvram, 400, 0xB5)}});

  list.push_back({with_kind("transactions"),
                  16,
                  {format_step(kind),
                   commit_step("put two", {{FileId::kTpmNvram, 600, 0xC1},
                                           {FileId::kVmUniqueId, 20, 0xC2, mixed}}),
                   commit_step("put, replace, remove", {{FileId::kTpmNvram, 600, 0xC3},
                                                        {FileId::kVmUniqueId, 0, 0, false, true},
                                                        {FileId::kRecord, 80, 0xC4},
                                                        {FileId::kRtcSkew, 8, 0xC5, mixed}}),
                   commit_step("replace two", {{FileId::kRtcSkew, 8, 0xC6, mixed},
                                               {FileId::kTpmNvram, 600, 0xC7}})}});

  // Files come and go, so that blocks which held a table without a file come to hold one with it.
  std::vector<Step> coming_and_going{format_step(kind),
                                     write_step(kind, FileId::kTpmNvram, 100, 0xD0)};
  for (unsigned char i = 0; i < 4; ++i) {
    coming_and_going.push_back(
        write_step(kind, FileId::kRecord, 50, static_cast<unsigned char>(0xD1 + i)));
    coming_and_going.push_back(
        commit_step("remove RECORD", {{FileId::kRecord, 0, 0, false, true}}));
  }
  list.push_back({with_kind("files that come and go"), 10, std::move(coming_and_going)});

  list.push_back({with_kind("close"),
                  16,
                  {format_step(kind), write_step(kind, FileId::kTpmNvram, 600, 0xE1), close_step(),
                   write_step(kind, FileId::kTpmNvram, 600, 0xE2), close_step()}});

  list.push_back({with_kind("format over a store in use"),
                  12,
                  {format_step(kind), write_step(kind, FileId::kTpmNvram, 600, 0xF1),
                   write_step(kind, FileId::kTpmNvram, 600, 0xF2), format_step(kind),
                   write_step(kind, FileId::kTpmNvram, 600, 0xF3)}});

  list.push_back(
      {with_kind("move"),
       16,
       {format_step(kind), write_step(kind, FileId::kTpmNvram, 600, 0x71),
        write_step(kind, FileId::kTpmPpi, 28, 0x72), move_step(FileId::kTpmNvram, FileId::kTpmPpi),
        write_step(kind, FileId::kTpmNvram, 600, 0x73)}});

  // A file that was in front is gone, and the others lie behind the new end.
  list.push_back(
      {with_kind("shrink"),
       24,
       {format_step(kind),
        commit_step("put in front", {{FileId::kGuestFirmware, std::size_t{12} * 4096, 0x61, true}}),
        write_step(kind, FileId::kTpmNvram, 600, 0x62),
        commit_step("remove", {{FileId::kGuestFirmware, 0, 0, false, true}}), shrink_step(kind, 10),
        write_step(kind, FileId::kTpmNvram, 600, 0x63)}});

  if (kind == Kind::kPlaintext) {
    list.push_back({with_kind("encrypt and decrypt"),
                    20,
                    {format_step(kind), write_step(kind, FileId::kTpmNvram, 600, 0x51),
                     encrypt_step(), write_step(kind, FileId::kTpmNvram, 600, 0x52), decrypt_step(),
                     write_step(kind, FileId::kTpmNvram, 600, 0x53)}});
    return list;
  }
  list.push_back(
      {with_kind("decrypt and encrypt"),
       20,
       {format_step(kind), write_step(kind, FileId::kTpmNvram, 600, 0x51), rotation_step(2),
        decrypt_step(), encrypt_step(), write_step(kind, FileId::kTpmNvram, 600, 0x52)}});
  list.push_back(
      {with_kind("rotation"),
       20,
       {format_step(kind), write_step(kind, FileId::kTpmNvram, 600, 0x91), rotation_step(2),
        write_step(kind, FileId::kTpmNvram, 600, 0x92), rotation_step(3), rotation_step(4)}});
  list.push_back(
      {with_kind("edit by a tool"),
       16,
       {format_step(kind), write_step(kind, FileId::kTpmNvram, 600, 0x81),
        commit_step("edit", {{FileId::kTpmNvram, 500, 0x82}}, Sequence::kEdit, Barriers::kTwo),
        write_step(kind, FileId::kTpmNvram, 600, 0x83)}});
  return list;
}

}  // namespace

Step format_step(Kind kind) {
  return {"format",
          [=](vmgs::storage::BlockDevice& device, std::optional<Volume>& volume) {
            auto made = Volume::format(device, HeaderSpacing::k512, first_key(kind));
            if (!made) {
              return base::Result<void>(base::fail(std::move(made).error()));
            }
            volume = *std::move(made);
            return base::Result<void>();
          },
          true};
}

std::vector<Scenario> scenarios() {
  std::vector<Scenario> list;
  for (const auto kind : {Kind::kEncrypted, Kind::kPlaintext, Kind::kMixed}) {
    for (auto& scenario : scenarios_of(kind)) {
      list.push_back(std::move(scenario));
    }
  }
  return list;
}

Step random_step(Kind kind, std::uint64_t random) {
  constexpr std::array kIds{FileId::kBiosNvram, FileId::kTpmNvram, FileId::kVmUniqueId,
                            FileId::kRecord};
  constexpr std::array<std::size_t, 6> kSizes{0, 1, 100, 600, 4096, 5000};
  const auto id = kIds[random % kIds.size()];
  const auto size = kSizes[(random >> 8) % kSizes.size()];
  const auto fill = static_cast<unsigned char>(random >> 16);
  const bool plaintext = kind == Kind::kMixed && id == FileId::kVmUniqueId;
  switch ((random >> 24) % 8) {
    case 0:
      return commit_step("remove", {{id, 0, 0, false, true}});
    case 1:
      return close_step();
    case 2:
      if (kind != Kind::kPlaintext) {
        return rotation_step(static_cast<unsigned char>(1 + fill % 250));
      }
      [[fallthrough]];
    case 3:
      return commit_step("two", {{id, size, fill, plaintext},
                                 {FileId::kTpmPpi, 28, static_cast<unsigned char>(fill + 1)}});
    default:
      return write_step(kind, id, size, fill);
  }
}

}  // namespace tests::crash
