// SPDX-License-Identifier: Apache-2.0
#include "vtpm/host/state_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "tests/support/temp_folder.h"

namespace vtpm::host {
namespace {

using base::ErrorCode;
namespace fs = std::filesystem;

class StateFolderTest : public ::testing::Test {
 protected:
  tests::support::TempFolder temp_;
  StateFolder folder_{temp_ / "state", temp_ / "run"};
  VmId id_ = *vmgs::format::parse_vm_id("00112233-4455-6677-8899-aabbccddeeff");
};

TEST_F(StateFolderTest, BelongsToOneProcessAtATime) {
  auto lock = folder_.lock();
  ASSERT_TRUE(lock);

  EXPECT_EQ(folder_.lock().error().code, ErrorCode::kUnavailable);
  // Neither may be another's: in the one lie the stores, in the other the sockets.
  EXPECT_EQ(StateFolder(temp_ / "state", temp_ / "other").lock().error().code,
            ErrorCode::kUnavailable);
  EXPECT_EQ(StateFolder(temp_ / "other", temp_ / "run").lock().error().code,
            ErrorCode::kUnavailable);
  lock->state = base::Descriptor();
  lock->runtime = base::Descriptor();
  lock = folder_.lock();
  EXPECT_TRUE(lock);
}

TEST_F(StateFolderTest, MayBeOneFolderForBoth) {
  EXPECT_TRUE(StateFolder(temp_ / "one", temp_ / "one").lock());
}

TEST_F(StateFolderTest, ClosesTheStateToOthersAndLetsThemPassToSockets) {
  umask(0077);
  ASSERT_TRUE(folder_.lock());
  ASSERT_TRUE(folder_.prepare(id_));

  const auto permissions = [](const fs::path& path) {
    return static_cast<unsigned>(fs::status(path).permissions());
  };
  for (auto path = folder_.store(id_).parent_path(); path != temp_.path();
       path = path.parent_path()) {
    EXPECT_EQ(permissions(path), 0700U) << path;
  }
  for (auto path = folder_.control_socket(id_).parent_path(); path != temp_.path();
       path = path.parent_path()) {
    EXPECT_EQ(permissions(path), 0711U) << path;
  }
}

TEST_F(StateFolderTest, TakesNoFolderThatOthersMayWriteIn) {
  ASSERT_TRUE(folder_.lock());
  for (const auto* path : {"state", "state/vms", "run", "run/vms"}) {
    const auto before = fs::status(temp_ / path).permissions();
    fs::permissions(temp_ / path, fs::perms::all);

    const auto refused = folder_.lock();

    ASSERT_FALSE(refused) << path;
    EXPECT_EQ(refused.error().code, ErrorCode::kDenied);
    EXPECT_NE(refused.error().message.find((temp_ / path).string()), std::string::npos);
    fs::permissions(temp_ / path, before);
  }
  // The administrator may have made them, and lets others look.
  fs::permissions(temp_ / "state", fs::perms(0755));
  fs::permissions(temp_ / "run", fs::perms(0755));
  EXPECT_TRUE(folder_.lock());
  fs::permissions(temp_ / "state", fs::perms(0770));
  EXPECT_FALSE(folder_.lock());
}

TEST_F(StateFolderTest, TakesNoFolderOfAnotherUser) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "only root can give a folder away";
  }
  ASSERT_TRUE(folder_.lock());
  ASSERT_EQ(chown((temp_ / "state").c_str(), 65534, 65534), 0);

  const auto refused = folder_.lock();

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kDenied);
  EXPECT_NE(refused.error().message.find("belongs to user 65534"), std::string::npos);
}

TEST_F(StateFolderTest, MakesNothingWhereSocketNamesWouldBeTooLong) {
  // "/vms/", an id, "/tpm.sock.ctrl": 55 bytes; a socket's name has 107.
  const auto runtime = [&](std::size_t length) {
    return temp_ / std::string(length - temp_.path().native().size() - 1, 'r');
  };

  const auto refused = StateFolder(temp_ / "state", runtime(53)).lock();

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(refused.error().message.find("1 bytes too long"), std::string::npos);
  EXPECT_TRUE(fs::is_empty(temp_.path()));
  EXPECT_TRUE(StateFolder(temp_ / "state", runtime(52)).lock());
}

TEST_F(StateFolderTest, PutsEachVmIntoFoldersOfItsOwn) {
  ASSERT_TRUE(folder_.lock());
  ASSERT_TRUE(folder_.prepare(id_));
  ASSERT_TRUE(folder_.prepare(id_));

  EXPECT_EQ(folder_.store(id_),
            temp_ / "state" / "vms/00112233-4455-6677-8899-aabbccddeeff/vm.vmgs");
  EXPECT_EQ(folder_.data_socket(id_).string() + ".ctrl", folder_.control_socket(id_).string());
}

TEST_F(StateFolderTest, RemovesStoresThatCountNoLongerAndNoOtherFile) {
  ASSERT_TRUE(folder_.lock());
  ASSERT_TRUE(folder_.prepare(id_));
  const auto vm = folder_.store(id_).parent_path();
  EXPECT_EQ(folder_.store(id_, 12), vm / "vm-12.vmgs");
  EXPECT_EQ(folder_.key(id_, 12), vm / "vm-12.key");
  const std::vector<std::string> of_others = {
      "lease",      "receipt",     "vm.vmgs.unused", "vm.vmgs.bak",        "vm-2.vmgs.bak",
      "vm-02.vmgs", "vm-two.vmgs", "other.vmgs",     "vm-2.txt",           ".vm-2.txt.abcdef",
      "vm-.vmgs",   "vm-2x.vmgs",  "vm-0.vmgs",      "vm-99999999999.vmgs"};
  const std::vector<std::string> kept = {"vm-1.vmgs", "vm-1.key", "vm-1.vmgs.creating",
                                         "vm-3.vmgs"};
  const std::vector<std::string> gone = {"vm.vmgs",          "vm.key",        "vm.vmgs.creating",
                                         "vm-2.vmgs",        "vm-2.key",      "vm-2.vmgs.creating",
                                         ".vm-2.key.aB3xYz", ".vm.key.aB3xYz"};
  for (const auto* names : {&of_others, &kept, &gone}) {
    for (const auto& name : *names) {
      std::ofstream(vm / name) << "x";
    }
  }

  const std::vector<std::uint32_t> counts = {1, 3};
  ASSERT_TRUE(folder_.remove_stores_but(id_, counts));

  for (const auto& name : gone) {
    EXPECT_FALSE(fs::exists(vm / name)) << name;
  }
  for (const auto* names : {&of_others, &kept}) {
    for (const auto& name : *names) {
      EXPECT_TRUE(fs::exists(vm / name)) << name;
    }
  }
  EXPECT_TRUE(folder_.remove_stores_but(id_, counts));
  EXPECT_TRUE(*folder_.has_store(id_, 3));
  EXPECT_FALSE(*folder_.has_store(id_, 2));
}

TEST_F(StateFolderTest, KeepsTheNewestReceiptOfAVm) {
  ASSERT_TRUE(folder_.lock());
  ASSERT_TRUE(folder_.prepare(id_));
  EXPECT_EQ(*folder_.receipt(id_), base::Bytes()) << "none came yet";
  base::Bytes longest(StateFolder::kMaxReceiptBytes, std::byte{1});
  const base::Bytes newest = {std::byte{0}, std::byte{2}};

  ASSERT_TRUE(folder_.keep_receipt(id_, longest));
  EXPECT_EQ(*folder_.receipt(id_), longest);
  ASSERT_TRUE(folder_.keep_receipt(id_, newest));
  EXPECT_EQ(*folder_.receipt(id_), newest);
  EXPECT_EQ(*StateFolder(temp_ / "state", temp_ / "run").receipt(id_), newest);

  longest.push_back(std::byte{1});
  EXPECT_EQ(folder_.keep_receipt(id_, longest).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(*folder_.receipt(id_), newest);
}

TEST_F(StateFolderTest, AReceiptThatCannotBeKeptLeavesTheOneThatIsThere) {
  ASSERT_TRUE(folder_.lock());
  ASSERT_TRUE(folder_.prepare(id_));
  ASSERT_TRUE(folder_.keep_receipt(id_, base::Bytes{std::byte{1}}));
  const auto file = folder_.store(id_).parent_path() / "receipt";
  fs::create_directory(file.string() + ".new");

  EXPECT_EQ(folder_.keep_receipt(id_, base::Bytes{std::byte{2}}).error().code, ErrorCode::kIo);

  EXPECT_EQ(*folder_.receipt(id_), base::Bytes{std::byte{1}});
}

TEST_F(StateFolderTest, KeepsWhatUefiVariablesBeginWithUntilThereIsNone) {
  ASSERT_TRUE(folder_.lock());
  const base::Bytes image(4096, std::byte{1});
  EXPECT_TRUE(folder_.keep_variables(id_, {})) << "there is no folder yet, and nothing in it";
  ASSERT_TRUE(folder_.prepare(id_));
  EXPECT_FALSE(folder_.variables(id_));
  EXPECT_FALSE(*folder_.has_variables(id_, image));

  ASSERT_TRUE(folder_.keep_variables(id_, image));
  EXPECT_EQ(fs::file_size(*folder_.variables(id_)), image.size());
  EXPECT_TRUE(*folder_.has_variables(id_, image));
  EXPECT_FALSE(*folder_.has_variables(id_, base::Bytes(4096, std::byte{2})));
  EXPECT_FALSE(*folder_.has_variables(id_, base::ByteView(image).first(4095)));

  ASSERT_TRUE(folder_.keep_variables(id_, {}));
  EXPECT_FALSE(folder_.variables(id_));
}

TEST_F(StateFolderTest, RemovesAllOfAVmAndNothingElse) {
  ASSERT_TRUE(folder_.lock());
  ASSERT_TRUE(folder_.prepare(id_));
  std::ofstream(folder_.store(id_)) << "x";
  EXPECT_TRUE(*folder_.has_store(id_));

  ASSERT_TRUE(folder_.remove(id_));

  EXPECT_FALSE(*folder_.has_store(id_));
  EXPECT_TRUE(fs::is_empty(temp_ / "state/vms"));
  EXPECT_TRUE(fs::is_empty(temp_ / "run/vms"));
  EXPECT_TRUE(folder_.remove(id_));
}

TEST_F(StateFolderTest, SaysWhyAFolderCannotBeMade) {
  std::ofstream(temp_ / "state") << "a file";

  const auto lock = folder_.lock();

  ASSERT_FALSE(lock);
  EXPECT_EQ(lock.error().code, ErrorCode::kIo);
  EXPECT_NE(lock.error().message.find("state"), std::string::npos);
}

}  // namespace
}  // namespace vtpm::host
