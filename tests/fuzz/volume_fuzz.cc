// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <set>

#include "vmgs/base/cursor.h"
#include "vmgs/format/header.h"
#include "vmgs/storage/memory.h"
#include "vmgs/volume/volume.h"

// The input is a list of edits to a true store, so that they get past magic numbers: bytes
// overwritten, blocks copied over each other, header checksums mended. Whatever it does, the store
// opens or is refused; an encrypted file reads as one of the contents it ever had, or not at all;
// and what opens for an instance takes a write and keeps it.
namespace {

using namespace vmgs;
using format::FileId;
using volume::Transaction;
using volume::Volume;

constexpr std::uint32_t kBlocks = 16;

volume::DatastoreKey key() {
  volume::DatastoreKey made{base::Secret<32>::zero()};
  std::fill(made.bytes.fill().begin(), made.bytes.fill().end(), std::byte{7});
  return made;
}

base::Bytes content(unsigned char version) { return base::Bytes(600, std::byte{version}); }

base::Bytes make_store(bool encrypted) {
  storage::MemoryDevice device(std::uint64_t{kBlocks} * format::kBlockBytes);
  auto volume = Volume::format(device, format::HeaderSpacing::k512,
                               encrypted ? std::optional(key()) : std::nullopt);
  for (unsigned char version = 1; version <= 3; ++version) {
    const auto nvram = content(version);
    const auto protector = content(static_cast<unsigned char>(version + 10));
    Transaction transaction;
    transaction.put(FileId::kTpmNvram, nvram);
    transaction.put(FileId::kSealedKeys, protector, volume::Protection::kPlaintext);
    if (!volume->commit(transaction)) {
      std::abort();
    }
  }
  return device.contents();
}

void mend_checksums(base::Bytes& store) {
  for (const std::size_t at : {std::size_t{0}, std::size_t{512}}) {
    const auto raw = std::span(store).subspan(at).first<format::kHeaderBytes>();
    auto header = base::load<format::HeaderLayout>(raw);
    header.checksum = format::header_checksum(raw);
    base::store(header, raw);
  }
}

void edit(base::Bytes& store, base::Reader& input) {
  const auto kind = input.u8().value_or(0);
  const std::size_t block = input.u8().value_or(0) % kBlocks;
  const std::size_t offset = input.u16_le().value_or(0) % format::kBlockBytes;
  const std::size_t size = input.u8().value_or(0) % 64;
  if (kind % 4 == 0) {
    const std::size_t from = size % kBlocks;
    std::copy_n(store.begin() + static_cast<std::ptrdiff_t>(from * format::kBlockBytes),
                format::kBlockBytes,
                store.begin() + static_cast<std::ptrdiff_t>(block * format::kBlockBytes));
    return;
  }
  const auto bytes = input.bytes(std::min({size, input.remaining(), format::kBlockBytes - offset}));
  std::copy(bytes->begin(), bytes->end(),
            store.begin() + static_cast<std::ptrdiff_t>(block * format::kBlockBytes + offset));
}

void check_reads(const Volume& volume) {
  static const std::set<base::Bytes> kEver{content(1), content(2), content(3)};
  for (const auto& file : volume.files()) {
    const auto read = volume.read(file.id);
    const bool authenticated = volume.encrypted() && !volume.locked() && file.encrypted;
    if (read && read->size() != file.size_bytes) {
      std::abort();
    }
    if (read && authenticated && !kEver.contains(base::copy_of(read->expose()))) {
      std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const base::Bytes kEncrypted = make_store(true);
  static const base::Bytes kPlaintext = make_store(false);
  base::Reader input(std::as_bytes(std::span(data, size)));
  const auto flags = input.u8().value_or(0);
  auto store = (flags & 1) != 0 ? kPlaintext : kEncrypted;
  for (int edits = 0; edits < 16 && !input.empty(); ++edits) {
    edit(store, input);
  }
  if ((flags & 2) != 0) {
    mend_checksums(store);
  }

  storage::MemoryDevice device(std::move(store));
  auto volume = Volume::open(device, format::HeaderSpacing::k512);
  if (!volume) {
    return 0;
  }
  check_reads(*volume);
  if (volume->encrypted() && !volume->unlock(volume::fixed_key(key()))) {
    return 0;
  }
  check_reads(*volume);
  if (!volume->recover()) {
    return 0;
  }
  const auto last = content(99);
  Transaction transaction;
  transaction.put(FileId::kTpmPpi, last);
  if (!volume->commit(transaction)) {
    return 0;
  }
  auto again = Volume::open(device, format::HeaderSpacing::k512);
  if (!again || (again->encrypted() && !again->unlock(volume::fixed_key(key())))) {
    std::abort();
  }
  const auto kept = again->read(FileId::kTpmPpi);
  if (!kept || base::copy_of(kept->expose()) != last) {
    std::abort();
  }
  return 0;
}
