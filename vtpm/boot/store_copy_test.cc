// SPDX-License-Identifier: Apache-2.0
#include "vtpm/boot/store_copy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "tests/support/error_code.h"
#include "tests/support/killed.h"
#include "tests/support/temp_folder.h"
#include "vmgs/format/file_id.h"
#include "vmgs/format/tpm_state.h"
#include "vmgs/storage/container.h"
#include "vmgs/volume/volume.h"
#include "vtpm/boot/state_store.h"

namespace vtpm::boot {
namespace {

namespace fs = std::filesystem;
using base::ErrorCode;
using engine::BlobKind;
using keybroker::protocol::Protection;
using testing::HasSubstr;
using tests::support::error_code;
using vmgs::format::FileId;
using vmgs::volume::Transaction;
using vmgs::volume::Volume;

struct Way {
  Protection from;
  Protection to;
};

std::ostream& operator<<(std::ostream& out, const Way& way) {
  return out << name(way.from) << " to " << name(way.to);
}

class StoreCopyCase {
 protected:
  [[nodiscard]] StoreSettings settings(const std::string& name = "vm.vmgs") const {
    StoreSettings settings;
    settings.path = folder_ / name;
    settings.vm_id = vm_;
    settings.new_store_bytes = 256 * 1024;
    return settings;
  }

  [[nodiscard]] std::unique_ptr<Protector> protector(Protection protection,
                                                     const std::string& key = "vm.key") const {
    return protection == Protection::kNone
               ? no_protector()
               : host_key_protector(folder_ / key, sealing::KeyFileKind::kFile);
  }

  // What a start finds under a protection, which it does not change.
  static std::string found(const StoreSettings& at, Protector& kept) {
    const auto store = StateStore::open(at, kept);
    if (!store) {
      return "error: " + store.error().message;
    }
    std::string all = (*store)->is_weaker() ? "weaker " : "";
    for (const auto kind : {BlobKind::kPermanent, BlobKind::kVolatile}) {
      const auto blob = (*store)->load(kind);
      const auto bytes = (*blob)->expose();
      all += std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()) + " ";
    }
    return all;
  }

  [[nodiscard]] std::string bytes_of_first() const {
    std::ifstream file(folder_ / "vm.vmgs", std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  void edit_first(const std::function<void(Volume&)>& edit) const {
    const auto container = *vmgs::storage::open_container(
        folder_ / "vm.vmgs", {.access = vmgs::storage::Access::kReadWrite});
    auto volume = *Volume::open(*container.device, container.spacing);
    edit(volume);
  }

  tests::support::TempFolder folder_;
  const vmgs::format::VmId vm_{.bytes = {std::byte{1}}};
};

class StoreCopyTest : public StoreCopyCase, public testing::TestWithParam<Way> {
 protected:
  [[nodiscard]] std::unique_ptr<Protector> opener() const { return protector(GetParam().from); }

  [[nodiscard]] std::unique_ptr<Protector> keeper() const {
    return protector(GetParam().to, "vm-1.key");
  }

  // The VM's store, after a life of its TPM.
  void make() const {
    const auto kept = opener();
    auto store = StateStore::create(settings(), *kept, base::bytes_of("first"));
    ASSERT_TRUE(store) << store.error().message;
    ASSERT_TRUE((*store)->store(BlobKind::kPermanent, base::bytes_of("permanent")));
    ASSERT_TRUE((*store)->store(BlobKind::kVolatile, base::bytes_of("volatile")));
    ASSERT_TRUE((*store)->close());
  }

  [[nodiscard]] base::Result<void> copy() const {
    const auto from = opener();
    const auto to = keeper();
    return copy_store(settings(), *from, folder_ / "vm-1.vmgs", *to);
  }

  [[nodiscard]] std::string found_in_first() const { return found(settings(), *opener()); }

  [[nodiscard]] std::string found_in_copy() const {
    return found(settings("vm-1.vmgs"), *keeper());
  }

  [[nodiscard]] std::string expected_in_copy() const {
    return std::string(GetParam().to == Protection::kNone ? "weaker " : "") + "permanent volatile ";
  }
};

TEST_P(StoreCopyTest, HasTheWholeStateAndLeavesTheFirstAlone) {
  make();
  edit_first([&](Volume& volume) {
    if (volume.encrypted()) {
      ASSERT_TRUE(opener()->unlock(volume));
    }
    Transaction others;
    others.put(FileId::kBiosNvram, base::bytes_of("variables"));
    others.put(FileId::kGuestWatchdog, base::bytes_of("in plaintext"),
               vmgs::volume::Protection::kPlaintext);
    if (!volume.encrypted()) {
      // It protects nothing, and a store with it would not be taken for one under the host's key.
      others.put(FileId::kSealedKeys, base::bytes_of("of another time"));
    }
    ASSERT_TRUE(volume.commit(others));
  });
  const auto before = bytes_of_first();

  const auto copied = copy();

  ASSERT_TRUE(copied) << copied.error().message;
  EXPECT_EQ(bytes_of_first(), before);
  EXPECT_EQ(found_in_copy(), expected_in_copy());
  const auto container = *vmgs::storage::open_container(folder_ / "vm-1.vmgs", {});
  auto volume = *Volume::open(*container.device, container.spacing);
  EXPECT_EQ(volume.encrypted(), GetParam().to == Protection::kHost);
  if (volume.encrypted()) {
    ASSERT_TRUE(keeper()->unlock(volume));
  }
  EXPECT_TRUE(
      std::ranges::equal(volume.read(FileId::kBiosNvram)->expose(), base::bytes_of("variables")));
  EXPECT_TRUE(std::ranges::equal(volume.read(FileId::kGuestWatchdog)->expose(),
                                 base::bytes_of("in plaintext")));
  EXPECT_EQ(container.device->size_bytes(), settings().new_store_bytes);
  EXPECT_EQ(found_in_first(), "permanent volatile ");
}

// Killed where it is about to change anything, it leaves the first store as it was and either no
// second one or a whole one; and the next attempt comes to its end.
TEST_P(StoreCopyTest, CutShortAnywhereItLeavesTheFirstStoreAndNothingHalfMade) {
  make();
  const auto before = bytes_of_first();
  unsigned n = 0;
  unsigned whole = 0;
  const auto work = [this] { return copy().has_value(); };
  for (; tests::support::killed_before_change(n, work); ++n) {
    SCOPED_TRACE("change " + std::to_string(n));
    EXPECT_EQ(bytes_of_first(), before);
    if (fs::exists(folder_ / "vm-1.vmgs")) {
      ++whole;
      EXPECT_EQ(found_in_copy(), expected_in_copy());
    }
    // What vtpmd does before it has another attempt made.
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      const auto name = entry.path().filename().string();
      if (name != "vm.vmgs" && name != "vm.key") {
        fs::remove(entry.path());
      }
    }
  }
  EXPECT_GT(n, 8U);
  EXPECT_GT(whole, 0U) << "the name came last, and was synced";
  EXPECT_EQ(bytes_of_first(), before);
  EXPECT_EQ(found_in_copy(), expected_in_copy());
  EXPECT_EQ(found_in_first(), "permanent volatile ");
}

TEST_P(StoreCopyTest, WritesOverNothing) {
  make();
  std::ofstream(folder_ / "vm-1.vmgs") << "something";
  EXPECT_EQ(error_code(copy()), ErrorCode::kDenied);
  EXPECT_EQ(fs::file_size(folder_ / "vm-1.vmgs"), 9U);
  EXPECT_FALSE(fs::exists(folder_ / "vm-1.vmgs.creating"));
  EXPECT_EQ(found_in_first(), "permanent volatile ");
}

TEST_P(StoreCopyTest, CopiesNoStoreThatNoStartWouldServe) {
  EXPECT_EQ(error_code(copy()), ErrorCode::kNotFound);
  make();
  auto other = settings();
  other.vm_id->bytes.fill(std::byte{9});
  const auto from = opener();
  const auto to = keeper();
  EXPECT_EQ(error_code(copy_store(other, *from, folder_ / "vm-1.vmgs", *to)), ErrorCode::kDenied);
  // Under the protection that it is to get, it does not open.
  EXPECT_EQ(error_code(copy_store(settings(), *to, folder_ / "vm-1.vmgs", *from)),
            GetParam().from == GetParam().to ? ErrorCode::kAuthentication : ErrorCode::kDenied);
  {
    const auto held = StateStore::open(settings(), *from);
    EXPECT_EQ(error_code(copy()), ErrorCode::kUnavailable) << "somebody uses it";
  }
  edit_first([&](Volume& volume) {
    if (volume.encrypted()) {
      ASSERT_TRUE(from->unlock(volume));
    }
    Transaction removal;
    removal.remove(FileId::kTpmNvram);
    ASSERT_TRUE(volume.commit(removal));
  });
  EXPECT_EQ(error_code(copy()), ErrorCode::kNotFound);
  EXPECT_FALSE(fs::exists(folder_ / "vm-1.vmgs"));
}

INSTANTIATE_TEST_SUITE_P(Ways, StoreCopyTest,
                         testing::Values(Way{Protection::kHost, Protection::kNone},
                                         Way{Protection::kNone, Protection::kHost},
                                         Way{Protection::kHost, Protection::kHost}),
                         [](const testing::TestParamInfo<Way>& way) {
                           return std::string(name(way.param.from)) + "_" +
                                  std::string(name(way.param.to));
                         });

class StoreMarksTest : public StoreCopyCase, public testing::Test {};

// Somebody without the key has changed what lies in plaintext: a copy would make it look accepted.
TEST_F(StoreMarksTest, CopiesNothingThatWasChangedWithoutTheKey) {
  const auto kept = protector(Protection::kHost);
  ASSERT_TRUE((*StateStore::create(settings(), *kept, base::bytes_of("first")))->close());
  edit_first([](Volume& volume) {
    Transaction edit(vmgs::volume::Sequence::kEdit);
    edit.put(FileId::kGuestWatchdog, base::bytes_of("by nobody"),
             vmgs::volume::Protection::kPlaintext);
    edit.on_locked_store();
    ASSERT_TRUE(volume.commit(edit));
  });
  const auto to = no_protector();
  const auto copied = copy_store(settings(), *kept, folder_ / "vm-1.vmgs", *to);
  EXPECT_EQ(error_code(copied), ErrorCode::kDenied);
  EXPECT_THAT(copied.error().message, HasSubstr("without its key"));
}

// Where the state comes from is not forgotten: what a tool has edited, and what lay in plaintext,
// is no instance's; and the seeds remember the strongest protection that they have had.
TEST_F(StoreMarksTest, KeepsTheMarksOfTheState) {
  const auto host = protector(Protection::kHost);
  const auto none = no_protector();
  ASSERT_TRUE((*StateStore::create(settings(), *host, base::bytes_of("first")))->close());
  const auto is_edited = [&](const std::string& name, Protector& kept) {
    const auto container = *vmgs::storage::open_container(folder_ / name, {});
    auto volume = *Volume::open(*container.device, container.spacing);
    EXPECT_TRUE(kept.unlock(volume));
    const auto content = volume.read(FileId::kTpmNvram);
    const auto state = vmgs::format::decode_tpm_state(content->expose());
    EXPECT_EQ(state->seed_protection, vmgs::format::SeedProtection::kHost);
    return volume.edited();
  };
  const auto other = protector(Protection::kHost, "other.key");
  ASSERT_TRUE(copy_store(settings(), *host, folder_ / "again.vmgs", *other));
  EXPECT_FALSE(is_edited("again.vmgs", *other));
  ASSERT_TRUE(copy_store(settings(), *host, folder_ / "plain.vmgs", *none));
  ASSERT_TRUE(copy_store(settings("plain.vmgs"), *none, folder_ / "back.vmgs", *other));
  EXPECT_TRUE(is_edited("back.vmgs", *other));

  edit_first([&](Volume& volume) {
    ASSERT_TRUE(host->unlock(volume));
    Transaction edit(vmgs::volume::Sequence::kEdit);
    edit.put(FileId::kBiosNvram, base::bytes_of("by a tool"));
    ASSERT_TRUE(volume.commit(edit));
  });
  ASSERT_TRUE(copy_store(settings(), *host, folder_ / "edited.vmgs", *other));
  EXPECT_TRUE(is_edited("edited.vmgs", *other));
}

}  // namespace
}  // namespace vtpm::boot
