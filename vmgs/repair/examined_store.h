// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vmgs/base/layout.h"
#include "vmgs/crypto/aead.h"
#include "vmgs/format/file_table.h"
#include "vmgs/format/header.h"
#include "vmgs/repair/examine.h"
#include "vmgs/storage/memory.h"
#include "vmgs/volume/volume.h"

// What tests of the examination share.
namespace vmgs::repair {

inline volume::DatastoreKey key_of(int value) {
  volume::DatastoreKey key{base::Secret<32>::zero()};
  std::ranges::fill(key.bytes.fill(), static_cast<std::byte>(value));
  return key;
}

inline std::vector<std::string> codes(const Examination& examination) {
  std::vector<std::string> result;
  for (const auto& finding : examination.findings) {
    result.push_back(finding.code);
  }
  return result;
}

inline auto finding(volume::Severity severity, const std::string& code, const std::string& where) {
  return ::testing::AllOf(::testing::Field(&volume::Finding::severity, severity),
                          ::testing::Field(&volume::Finding::code, code),
                          ::testing::Field(&volume::Finding::where, where));
}

// A store in memory that tests spoil byte by byte.
class ExaminedStore {
 public:
  explicit ExaminedStore(std::optional<volume::DatastoreKey> key)
      : device_(std::make_unique<storage::MemoryDevice>(std::uint64_t{64} * format::kBlockBytes)) {
    auto volume = volume::Volume::format(*device_, format::HeaderSpacing::k512, std::move(key));
    EXPECT_TRUE(volume);
    volume_.emplace(*std::move(volume));
  }

  // What somebody else made.
  explicit ExaminedStore(base::Bytes bytes)
      : device_(std::make_unique<storage::MemoryDevice>(std::move(bytes))) {}

  void put(format::FileId id, std::size_t size,
           volume::Protection protection = volume::Protection::kAsStore) {
    volume::Transaction transaction;
    const base::Bytes content(size, std::byte{0x42});
    transaction.put(id, content, protection);
    const auto committed = volume_->commit(transaction);
    ASSERT_TRUE(committed) << committed.error().message;
  }

  [[nodiscard]] Examination examine(const volume::DatastoreKey* key = nullptr) {
    auto result = repair::examine(*device_, format::HeaderSpacing::k512, key);
    EXPECT_TRUE(result) << result.error().message;
    return result ? *std::move(result) : Examination{};
  }

  // The newest valid header's slot.
  [[nodiscard]] std::size_t newest() {
    const auto first = format::decode_header(raw_header(0));
    const auto second = format::decode_header(raw_header(1));
    return second && (!first || format::follows(second->sequence, first->sequence)) ? 1 : 0;
  }

  // change_header() edits a header and makes its checksum right again.
  void change_header(std::size_t slot, const std::function<void(format::HeaderLayout&)>& edit) {
    auto raw = base::load<format::HeaderLayout>(raw_header(slot));
    edit(raw);
    raw.checksum = format::header_checksum(base::view(raw));
    write(slot * 512, base::view(raw));
  }

  format::HeaderLayout header_layout(std::size_t slot) {
    return base::load<format::HeaderLayout>(raw_header(slot));
  }

  void change_entry(format::FileId id, const std::function<void(format::FileEntryLayout&)>& edit) {
    const auto at = entry_offset(id);
    auto raw = entry(id);
    edit(raw);
    write(at, base::view(raw));
  }

  format::FileEntryLayout entry(format::FileId id) {
    return base::load<format::FileEntryLayout>(
        std::span(device_->contents()).subspan(entry_offset(id)).first<64>());
  }

  void write(std::size_t offset, base::ByteView bytes) {
    ASSERT_TRUE(device_->write(offset, bytes));
  }

  // reseal() edits the opened extended table and seals it again, as a writer with the key would.
  void reseal(const volume::DatastoreKey& key,
              const std::function<void(std::span<std::byte, format::kBlockBytes>)>& edit) {
    const auto header = *format::decode_header(raw_header(newest()));
    const auto& slot = *header.key_slots[0];
    const auto metadata_key = crypto::AeadKey::filled_by([&](std::span<std::byte, 32> out) {
      return crypto::open(key.bytes, slot.nonce, {}, slot.tag, slot.wrapped_key, out);
    });
    ASSERT_TRUE(metadata_key);
    change_entry(format::FileId::kExtendedFileTable, [&](format::FileEntryLayout& sealed) {
      const std::size_t at = std::size_t{sealed.first_block.value()} * format::kBlockBytes;
      format::Block block{};
      ASSERT_TRUE(crypto::open(*metadata_key, sealed.nonce, {}, sealed.tag,
                               std::span(device_->contents()).subspan(at, block.size()), block));
      edit(block);
      const auto tag = crypto::seal(*metadata_key, sealed.nonce, {}, block, block);
      ASSERT_TRUE(tag);
      sealed.tag = *tag;
      write(at, block);
    });
  }

  storage::MemoryDevice& device() { return *device_; }

 private:
  format::HeaderBytes raw_header(std::size_t slot) {
    return std::span(device_->contents()).subspan(slot * 512).first<format::kHeaderBytes>();
  }

  std::size_t entry_offset(format::FileId id) {
    const auto table = header_layout(newest()).file_table_block.value();
    return std::size_t{table} * format::kBlockBytes + format::index(id) * 64;
  }

  std::unique_ptr<storage::MemoryDevice> device_;  // where the volume expects it, moves or not
  std::optional<volume::Volume> volume_;
};

// A plaintext store with two commits, so that both headers are in use.
inline ExaminedStore plaintext_store() {
  ExaminedStore store{std::optional<volume::DatastoreKey>()};
  store.put(format::FileId::kBiosNvram, 100);
  return store;
}

// An encrypted one with a sealed and a plaintext file, committed by an instance.
inline ExaminedStore encrypted_store() {
  ExaminedStore store(key_of(1));
  store.put(format::FileId::kBiosNvram, 100);
  store.put(format::FileId::kVmUniqueId, 20, volume::Protection::kPlaintext);
  return store;
}

}  // namespace vmgs::repair
