// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "vmgs/storage/memory.h"
#include "vmgs/volume/volume.h"

// Random sequences of operations against a plain map: whatever is done to a store, in whatever
// order, it holds what the map holds, before and after reopening.
namespace tests {
namespace {

using vmgs::format::FileId;
using vmgs::format::HeaderSpacing;
using vmgs::volume::Barriers;
using vmgs::volume::DatastoreKey;
using vmgs::volume::Protection;
using vmgs::volume::Sequence;
using vmgs::volume::Transaction;
using vmgs::volume::Volume;

constexpr std::uint64_t kStoreBytes = 48 * 4096;

enum class Kind { kPut, kPutPlaintext, kRemove, kRekey, kClose, kReopen };

struct Operation {
  Kind kind;
  FileId id;
  std::size_t size;
  unsigned char fill;
};

rc::Gen<Operation> operation() {
  return rc::gen::construct<Operation>(
      rc::gen::element(Kind::kPut, Kind::kPut, Kind::kPut, Kind::kPutPlaintext, Kind::kRemove,
                       Kind::kRekey, Kind::kClose, Kind::kReopen),
      rc::gen::map(rc::gen::inRange(1, 6), [](int id) { return static_cast<FileId>(id); }),
      rc::gen::oneOf(rc::gen::inRange<std::size_t>(0, 12000),
                     rc::gen::element<std::size_t>(0, 1, 4095, 4096, 4097, 8192)),
      rc::gen::arbitrary<unsigned char>());
}

void showValue(const Operation& operation, std::ostream& out) {
  out << "{kind " << static_cast<int>(operation.kind) << ", id " << static_cast<int>(operation.id)
      << ", size " << operation.size << ", fill " << static_cast<int>(operation.fill) << "}";
}

DatastoreKey key_number(unsigned char number) {
  DatastoreKey key{base::Secret<32>::zero()};
  std::fill(key.bytes.fill().begin(), key.bytes.fill().end(), std::byte{number});
  return key;
}

class Harness {
 public:
  Harness(bool encrypted, HeaderSpacing spacing)
      : spacing_(spacing),
        encrypted_(encrypted),
        volume_(*Volume::format(
            device_, spacing,
            encrypted ? std::optional<DatastoreKey>(key_number(key_)) : std::nullopt)) {}

  void run(const Operation& operation) {
    Transaction transaction;
    const base::Bytes content(operation.size, std::byte{operation.fill});
    switch (operation.kind) {
      case Kind::kPut:
      case Kind::kPutPlaintext:
        transaction.put(
            operation.id, content,
            operation.kind == Kind::kPut ? Protection::kAsStore : Protection::kPlaintext);
        if (volume_.commit(transaction)) {
          expected_[operation.id] = content;
        }
        break;
      case Kind::kRemove:
        transaction.remove(operation.id);
        RC_ASSERT(volume_.commit(transaction).has_value());
        expected_.erase(operation.id);
        break;
      case Kind::kRekey:
        if (encrypted_) {
          key_ = static_cast<unsigned char>(key_ % 250 + 1);
          RC_ASSERT(volume_.rekey(key_number(key_), Transaction(Sequence::kKeep)).has_value());
        }
        break;
      case Kind::kClose:
        RC_ASSERT(volume_.close().has_value());
        break;
      case Kind::kReopen:
        reopen();
        break;
    }
  }

  void reopen() {
    auto reopened = Volume::open(device_, spacing_);
    RC_ASSERT(reopened.has_value());
    volume_ = *std::move(reopened);
    if (encrypted_) {
      RC_ASSERT(volume_.unlock(vmgs::volume::fixed_key(key_number(key_))).has_value());
      RC_ASSERT(volume_.recover().has_value());
    }
    RC_ASSERT(volume_.findings().empty());
  }

  void verify() {
    RC_ASSERT(volume_.files().size() == expected_.size());
    for (const auto& [id, content] : expected_) {
      const auto read = volume_.read(id);
      RC_ASSERT(read.has_value());
      RC_ASSERT(base::copy_of(read->expose()) == content);
    }
  }

 private:
  vmgs::storage::MemoryDevice device_{kStoreBytes};
  HeaderSpacing spacing_;
  bool encrypted_;
  unsigned char key_ = 1;
  Volume volume_;
  std::map<FileId, base::Bytes> expected_;
};

RC_GTEST_PROP(VolumePropertyTest, HoldsWhatAMapWouldHold, (bool encrypted, bool wide)) {
  const auto operations = *rc::gen::container<std::vector<Operation>>(operation());
  Harness harness(encrypted, wide ? HeaderSpacing::k4096 : HeaderSpacing::k512);
  for (const auto& step : operations) {
    harness.run(step);
    harness.verify();
  }
  harness.reopen();
  harness.verify();
}

}  // namespace
}  // namespace tests
