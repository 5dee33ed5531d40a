// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/integration/vmgs_case.h"
#include "tests/support/loop_device.h"
#include "vmgs/storage/container.h"
#include "vmgs/volume/volume.h"

namespace tests::integration {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class VmgsToolTest : public VmgsCase {
 protected:
  // Makes a store of 64 KiB, which is written and synced sooner than one of the usual size.
  static int create_small(const std::string& store, std::vector<std::string> options = {}) {
    options.insert(options.begin(), {"create", store, "--size", "64KiB"});
    return vmgs(options).status;
  }
};

TEST_F(VmgsToolTest, CreatesWritesReadsAndDeletes) {
  const auto key = make_key("key", '5');
  const auto store = file("new.vmgs");
  ASSERT_EQ(vmgs({"create", store, "--key", key}).status, 0);
  EXPECT_EQ(fs::file_size(store), 4U * 1024 * 1024 + 512);

  ASSERT_EQ(vmgs({"write", store, "UEFI_FLASH", "--key", key}, "flash image").status, 0);
  const auto read = vmgs({"read", store, "51", "--key", key});
  EXPECT_EQ(read.status, 0);
  EXPECT_EQ(read.out, "flash image");
  EXPECT_THAT(read.err, IsEmpty());
  EXPECT_THAT(content(store), Not(HasSubstr("flash image")));

  ASSERT_EQ(vmgs({"delete", store, "51", "--key", key}).status, 0);
  EXPECT_EQ(vmgs({"read", store, "51", "--key", key}).status, 4);
  EXPECT_EQ(vmgs({"delete", store, "51", "--key", key}).status, 4);
}

TEST_F(VmgsToolTest, ShowsWhatAStoreIs) {
  const auto key = make_key("key", '5');
  const auto store = file("new.vmgs");
  ASSERT_EQ(vmgs({"create", store, "--key", key, "--size", "1MiB", "--raw"}).status, 0);
  ASSERT_EQ(
      vmgs({"write", store, "VM_UNIQUE_ID", "--plaintext", "--key", key}, std::string(5000, 'i'))
          .status,
      0);

  const auto info = document({"info", store, "--key", key});

  EXPECT_EQ(info.at("schema"), "strongroom.vmgs.info/1");
  EXPECT_EQ(info.at("container"), "raw");
  EXPECT_EQ(info.at("size_bytes"), 1024 * 1024);
  EXPECT_EQ(info.at("header_spacing"), 512);
  EXPECT_EQ(info.at("capacity_blocks"), 256);
  EXPECT_EQ(info.at("free_blocks"), 250);  // two headers, two tables, a file of two blocks
  EXPECT_EQ(info.at("encrypted"), true);
  EXPECT_EQ(info.at("locked"), false);
  EXPECT_EQ(info.at("sequence"), 2);
  EXPECT_EQ(info.at("commit_sequence"), 0);
  ASSERT_EQ(info.at("files").as_array().size(), 1U);
  EXPECT_EQ(info.at("files").at(0).at("name"), "VM_UNIQUE_ID");
  EXPECT_EQ(info.at("files").at(0).at("size_bytes"), 5000);
  EXPECT_EQ(info.at("files").at(0).at("encrypted"), false);

  const auto locked = document({"info", store});
  EXPECT_EQ(locked.at("locked"), true);
  EXPECT_FALSE(locked.as_object().contains("commit_sequence"));

  const auto text = vmgs({"info", store}).out;
  EXPECT_THAT(text, HasSubstr("encrypted, locked"));
  EXPECT_THAT(text, HasSubstr("VM_UNIQUE_ID"));
}

TEST_F(VmgsToolTest, CreatesStoresOfEveryKindThatItOpensAgain) {
  for (const std::vector<std::string>& options :
       {std::vector<std::string>{}, {"--raw"}, {"--raw", "--sector-size", "4096"}}) {
    const auto store = file("store");
    auto create = options;
    create.insert(create.begin(), {"create", store});
    ASSERT_EQ(vmgs(create).status, 0);
    // A fresh store does not tell its spacing, so it is told.
    std::vector<std::string> write = {"write", store, "45"};
    if (options.size() == 3) {
      write.insert(write.end(), {"--sector-size", "4096"});
    }
    ASSERT_EQ(vmgs(write, "abc").status, 0);

    EXPECT_EQ(vmgs({"read", store, "45"}).out, "abc");
    EXPECT_EQ(vmgs({"check", store}).status, 0);
    EXPECT_EQ(document({"info", store}).at("header_spacing"), options.size() == 3 ? 4096 : 512);
    fs::remove(store);
  }
}

TEST_F(VmgsToolTest, CreatesAllOrNothingAndNeverOverwrites) {
  const auto store = make_file("store", "precious");
  const auto refused = vmgs({"create", store});
  EXPECT_EQ(refused.status, 5);
  EXPECT_THAT(refused.err, HasSubstr("never overwritten"));
  EXPECT_EQ(content(store), "precious");

  // A name that is taken only when the store is whole.
  fs::create_symlink(file("nowhere"), file("link"));
  EXPECT_EQ(vmgs({"create", file("link")}).status, 5);
  fs::remove(file("link"));

  EXPECT_EQ(vmgs({"create", file("small"), "--size", "16384"}).status, 2);
  EXPECT_EQ(vmgs({"create", file("odd"), "--size", "4194305"}).status, 2);
  EXPECT_EQ(vmgs({"create", file("vhd"), "--sector-size", "4096"}).status, 2);
  EXPECT_EQ(vmgs({"create", file("absent/store")}).status, 4);
  EXPECT_EQ(vmgs({"create", file("keyless"), "--key", file("no-key")}).status, 4);

  std::vector<std::string> left;
  for (const auto& entry : fs::directory_iterator(folder_.path())) {
    left.push_back(entry.path().filename());
  }
  EXPECT_THAT(left, ::testing::ElementsAre("store"));
}

TEST_F(VmgsToolTest, LeavesNothingBehindWhereThereIsNoRoom) {
  const auto ran = support::run_command(
      {"/bin/sh", "-c",
       "ulimit -f 1000 && exec " + std::string(VMGS_TOOL) + " create " + file("store")});

  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("File too large"));
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

TEST_F(VmgsToolTest, CreatesOnABlankBlockDeviceAlone) {
  for (const std::uint32_t sector_bytes : {512U, 4096U}) {
    const support::LoopDevice loop(make_file("disk", std::string(1 << 20, '\0')), sector_bytes);
    if (!loop.exists()) {
      GTEST_SKIP() << "no loop device can be made here: it needs root";
    }
    const auto device = loop.path().string();

    EXPECT_EQ(vmgs({"create", device, "--raw"}).status, 2);
    ASSERT_EQ(vmgs({"create", device}).status, 0);
    ASSERT_EQ(vmgs({"write", device, "45"}, "abc").status, 0);

    EXPECT_EQ(vmgs({"read", device, "45"}).out, "abc");
    EXPECT_EQ(document({"info", device}).at("header_spacing"), sector_bytes);
    EXPECT_EQ(document({"info", device}).at("container"), "block-device");
    EXPECT_EQ(vmgs({"create", device}).status, 5);
    EXPECT_EQ(vmgs({"read", device, "45"}).out, "abc");
    fs::remove(file("disk"));
  }
}

// A file system begins behind the 168 bytes of a header and was once taken for nothing.
TEST_F(VmgsToolTest, LeavesABlockDeviceAloneThatHoldsAFileSystem) {
  std::string disk(1 << 20, '\0');
  disk.replace(1024 + 56, 2, "\x53\xef");  // where ext4 has its magic number
  const support::LoopDevice loop(make_file("disk", disk), 512);
  if (!loop.exists()) {
    GTEST_SKIP() << "no loop device can be made here: it needs root";
  }

  EXPECT_EQ(vmgs({"create", loop.path().string()}).status, 5);

  EXPECT_TRUE(content(file("disk")) == disk);
}

// Once that the file was closed to the user was a finding about the store.
TEST_F(VmgsToolTest, DoesNotCheckWhatItMayNotOpen) {
  const auto store = file("store");
  ASSERT_EQ(create_small(store), 0);
  fs::permissions(folder_.path(), fs::perms::owner_all | fs::perms::others_exec);
  std::vector<std::string> command{VMGS_TOOL, "check", store};
  if (::geteuid() == 0) {
    const std::vector<std::string> as_nobody{"/usr/bin/setpriv", "--reuid=65534", "--clear-groups"};
    auto can_run = as_nobody;
    can_run.insert(can_run.end(), {"/usr/bin/test", "-x", VMGS_TOOL});
    if (support::run_command(can_run).status != 0) {
      GTEST_SKIP() << "the program lies where nobody but root can run it";
    }
    command.insert(command.begin(), as_nobody.begin(), as_nobody.end());
  } else {
    fs::permissions(store, fs::perms::none);
  }

  const auto check = support::run_command(command);

  EXPECT_EQ(check.status, 5) << check.out << check.err;
  EXPECT_THAT(check.err, HasSubstr("Permission denied"));
}

TEST_F(VmgsToolTest, ReadsIntoANewFileForItsOwnerAlone) {
  const auto store = file("store");
  ASSERT_EQ(create_small(store), 0);
  ASSERT_EQ(vmgs({"write", store, "45", "--input", make_file("in", "abc")}).status, 0);

  ASSERT_EQ(vmgs({"read", store, "45", "--output", file("out")}).status, 0);

  EXPECT_EQ(content(file("out")), "abc");

  struct stat examined {};

  ASSERT_EQ(::stat(file("out").c_str(), &examined), 0);
  EXPECT_EQ(examined.st_mode & 0777, 0600U);
  EXPECT_EQ(vmgs({"read", store, "45", "--output", file("out")}).status, 5);

  const auto read = document({"read", store, "45"});
  EXPECT_EQ(read.at("content_hex"), "616263");
  EXPECT_EQ(read.at("sha256"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const auto to_file = document({"read", store, "45", "--output", file("out2")});
  EXPECT_FALSE(to_file.as_object().contains("content_hex"));
  EXPECT_EQ(content(file("out2")), "abc");
}

TEST_F(VmgsToolTest, OverwritesOnlyWhenTold) {
  const auto store = file("store");
  ASSERT_EQ(create_small(store), 0);
  ASSERT_EQ(vmgs({"write", store, "45"}, "first").status, 0);

  EXPECT_EQ(vmgs({"write", store, "45"}, "second").status, 5);
  EXPECT_EQ(vmgs({"read", store, "45"}).out, "first");

  EXPECT_EQ(vmgs({"write", store, "45", "--overwrite"}, "second").status, 0);
  EXPECT_EQ(vmgs({"read", store, "45"}).out, "second");
}

TEST_F(VmgsToolTest, RefusesIdsThatAreNoFiles) {
  const auto store = file("store");
  ASSERT_EQ(create_small(store), 0);

  for (const char* id : {"0", "63", "64", "4294967299", "FILE_TABLE", "NONE", "-1"}) {
    EXPECT_EQ(vmgs({"write", store, "--", id}, "x").status, 2) << id;
    EXPECT_EQ(vmgs({"read", store, "--", id}).status, 2) << id;
  }
}

TEST_F(VmgsToolTest, ChangesALockedStoreOnlyOnRequestAndOnlyInPlaintext) {
  const auto key = make_key("key", '5');
  const auto store = file("store");
  ASSERT_EQ(create_small(store, {"--key", key}), 0);
  ASSERT_EQ(vmgs({"write", store, "45", "--key", key}, "sealed").status, 0);

  EXPECT_EQ(vmgs({"write", store, "46"}, "x").status, 5);
  EXPECT_EQ(vmgs({"delete", store, "45"}).status, 5);
  EXPECT_EQ(vmgs({"read", store, "45"}).status, 5);
  EXPECT_EQ(vmgs({"write", store, "45", "--without-key", "--overwrite"}, "x").status, 5);
  EXPECT_EQ(vmgs({"delete", store, "45", "--without-key"}).status, 5);
  EXPECT_EQ(vmgs({"check", store, "--key", key}).status, 0);

  // The state before the newest could be the one that a crash has left.
  const auto refused = vmgs({"write", store, "46", "--without-key", "--no-undo"}, "x");
  EXPECT_EQ(refused.status, 5);
  EXPECT_THAT(refused.err, HasSubstr("leave --no-undo out"));
  EXPECT_EQ(vmgs({"write", store, "46", "--without-key"}, "x").status, 0);
  const auto read = vmgs({"read", store, "46"});
  EXPECT_EQ(read.out, "x");
  EXPECT_THAT(read.err, HasSubstr("not verified"));
  const auto check = vmgs({"check", store, "--key", key});
  EXPECT_EQ(check.status, 3);
  EXPECT_THAT(check.out, HasSubstr("edited-without-key"));
}

// Beside a block device no undo file is kept, and the state before the newest was once lost there.
TEST_F(VmgsToolTest, ChangesALockedBlockDeviceOnlyWithAnUndoFileThatIsNamed) {
  const support::LoopDevice loop(make_file("disk", std::string(1 << 20, '\0')), 512);
  if (!loop.exists()) {
    GTEST_SKIP() << "no loop device can be made here: it needs root";
  }
  const auto key = make_key("key", '5');
  const auto device = loop.path().string();
  ASSERT_EQ(vmgs({"create", device, "--key", key}).status, 0);
  ASSERT_EQ(vmgs({"write", device, "45", "--key", key}, "sealed").status, 0);
  ASSERT_EQ(vmgs({"write", device, "46", "--key", key, "--plaintext"}, "old").status, 0);

  for (const auto& words :
       {std::vector<std::string>{"write", device, "47", "--without-key"},
        std::vector<std::string>{"write", device, "47", "--without-key", "--dry-run"},
        std::vector<std::string>{"delete", device, "46", "--without-key"}}) {
    const auto refused = vmgs(words, "x");
    EXPECT_EQ(refused.status, 5);
    EXPECT_THAT(refused.err, HasSubstr("say with --undo-file where to keep"));
  }

  const auto undo = file("undo");
  EXPECT_EQ(vmgs({"delete", device, "46", "--without-key", "--undo-file", undo}).status, 0);
  ASSERT_EQ(vmgs({"undo", device, undo, "--apply"}).status, 0);
  EXPECT_EQ(vmgs({"read", device, "46", "--key", key}).out, "old");
}

TEST_F(VmgsToolTest, NamesAWrongKey) {
  const auto store = file("store");
  ASSERT_EQ(create_small(store, {"--key", make_key("key", '5')}), 0);
  const auto other = make_key("other", '6');

  EXPECT_EQ(vmgs({"info", store, "--key", other}).status, 6);
  EXPECT_EQ(vmgs({"write", store, "45", "--key", other}, "x").status, 6);
  const auto check = document({"check", store, "--key", other}, 3);
  EXPECT_EQ(check.at("clean"), false);
  EXPECT_EQ(check.at("findings").at(0).at("code"), "wrong-key");
}

TEST_F(VmgsToolTest, DoesNotTakeAKeyForAPlaintextStore) {
  const auto store = file("store");
  ASSERT_EQ(create_small(store), 0);
  const auto key = make_key("key", '5');

  EXPECT_EQ(vmgs({"info", store, "--key", key}).status, 5);
  EXPECT_EQ(vmgs({"check", store, "--key", key}).status, 3);
}

TEST_F(VmgsToolTest, RekeysSoThatTheOldKeyOpensNothing) {
  const auto old_key = make_key("old", '5');
  const auto new_key = make_key("new", '6');
  const auto store = file("store");
  ASSERT_EQ(create_small(store, {"--key", old_key}), 0);
  ASSERT_EQ(vmgs({"write", store, "45", "--key", old_key}, "sealed").status, 0);

  EXPECT_EQ(vmgs({"rekey", store, "--new-key", new_key}).status, 2);
  ASSERT_EQ(vmgs({"rekey", store, "--key", old_key, "--new-key", new_key}).status, 0);

  EXPECT_EQ(vmgs({"read", store, "45", "--key", new_key}).out, "sealed");
  EXPECT_EQ(vmgs({"read", store, "45", "--key", old_key}).status, 6);
  const auto check = document({"check", store, "--key", new_key});
  for (const auto& finding : check.at("findings").as_array()) {
    EXPECT_NE(finding.at("code"), "old-key-remains");
  }
  // With the newest header damaged, the other must not open with the old key either.
  auto bytes = content(store);
  const auto slot = document({"info", store}).at("active_slot").to_number<std::size_t>();
  bytes[slot * 512 + 100] = static_cast<char>(bytes[slot * 512 + 100] ^ 1);
  (void)make_file("damaged", bytes);
  EXPECT_EQ(vmgs({"info", file("damaged"), "--key", old_key}).status, 6);
  EXPECT_EQ(vmgs({"info", file("damaged"), "--key", new_key}).status, 0);
}

TEST_F(VmgsToolTest, RekeysUnderAProtectorOnlyWhenToldToDropIt) {
  const auto old_key = make_key("old", '5');
  const auto new_key = make_key("new", '6');
  const auto store = file("store");
  ASSERT_EQ(create_small(store, {"--key", old_key}), 0);
  for (const char* id : {"6", "11", "48"}) {
    ASSERT_EQ(vmgs({"write", store, id, "--plaintext", "--key", old_key}, "protector").status, 0);
    const auto refused = vmgs({"rekey", store, "--key", old_key, "--new-key", new_key});
    EXPECT_EQ(refused.status, 5);
    EXPECT_THAT(refused.err, HasSubstr("--drop-protectors"));

    ASSERT_EQ(
        vmgs({"rekey", store, "--key", old_key, "--new-key", new_key, "--drop-protectors"}).status,
        0);
    EXPECT_EQ(vmgs({"read", store, id, "--key", new_key}).status, 4);
    ASSERT_EQ(vmgs({"rekey", store, "--key", new_key, "--new-key", old_key}).status, 0);
  }
}

TEST_F(VmgsToolTest, ClosesWhatACrashLeft) {
  const auto key = make_key("key", '5');
  const auto store = file("store");
  ASSERT_EQ(create_small(store, {"--key", key}), 0);
  {
    // An instance that commits and dies.
    auto container =
        vmgs::storage::open_container(store, {.access = vmgs::storage::Access::kReadWrite});
    ASSERT_TRUE(container);
    auto volume = vmgs::volume::Volume::open(*container->device, container->spacing);
    ASSERT_TRUE(volume);
    vmgs::volume::DatastoreKey raw{base::Secret<32>::zero()};
    std::ranges::fill(raw.bytes.fill(), std::byte{0x55});
    ASSERT_TRUE(volume->unlock(vmgs::volume::fixed_key(std::move(raw))));
    vmgs::volume::Transaction transaction;
    transaction.put(vmgs::format::FileId::kTpmNvram, base::bytes_of("state"));
    ASSERT_TRUE(volume->commit(transaction));
  }
  EXPECT_THAT(vmgs({"check", store, "--key", key}).out, HasSubstr("one-barrier"));

  const auto refused = vmgs({"close", store});
  EXPECT_EQ(refused.status, 5);
  EXPECT_THAT(refused.err, HasSubstr("--key is needed"));
  ASSERT_EQ(vmgs({"close", store, "--key", key}).status, 0);

  EXPECT_THAT(vmgs({"check", store, "--key", key}).out, Not(HasSubstr("one-barrier")));
  EXPECT_EQ(document({"info", store, "--key", key}).at("commit_sequence"), 1);
  EXPECT_EQ(vmgs({"read", store, "3", "--key", key}).out, "state");
}

TEST_F(VmgsToolTest, LeavesAStoreAloneThatSomebodyUses) {
  const auto store = file("store");
  ASSERT_EQ(create_small(store), 0);
  const auto holder =
      vmgs::storage::open_container(store, {.access = vmgs::storage::Access::kReadWrite});
  ASSERT_TRUE(holder);

  for (const char* command : {"info", "check", "close"}) {
    const auto ran = vmgs({command, store});
    EXPECT_EQ(ran.status, 8) << command;
    EXPECT_THAT(ran.err, HasSubstr("in use by another process"));
  }
  EXPECT_EQ(vmgs({"write", store, "45"}, "x").status, 8);
}

TEST_F(VmgsToolTest, SaysErrorsAsDocumentsToo) {
  const auto error = document({"info", file("absent")}, 4);

  EXPECT_EQ(error.at("schema"), "strongroom.error/1");
  EXPECT_EQ(error.at("code"), "not-found");
  EXPECT_EQ(error.at("exit_status"), 4);
}

TEST_F(VmgsToolTest, ChecksThePackagingToo) {
  const auto vhdx =
      make_file("vhdx", "vhdxfile" + std::string(10000, '\0') + std::string(232, 'x'));
  const auto check = document({"check", vhdx}, 3);
  EXPECT_EQ(check.at("findings").at(0).at("code"), "bad-container");
  EXPECT_THAT(std::string(check.at("findings").at(0).at("message").as_string()), HasSubstr("VHDX"));

  const auto raw = file("raw");
  ASSERT_EQ(vmgs({"create", raw, "--raw"}).status, 0);
  std::filesystem::resize_file(raw, std::filesystem::file_size(raw) + 512);
  EXPECT_THAT(vmgs({"check", raw}).out, HasSubstr("missing-footer"));

  EXPECT_EQ(vmgs({"check", make_file("short", "x")}).status, 3);
  EXPECT_EQ(vmgs({"info", file("short")}).status, 6);
  EXPECT_EQ(vmgs({"check", file("absent")}).status, 4);
}

TEST_F(VmgsToolTest, FailsWhenItsAnswerIsNotWritten) {
  const auto store = file("store");
  ASSERT_EQ(create_small(store), 0);

  const auto ran = support::run_command(
      {"/bin/sh", "-c", std::string(VMGS_TOOL) + " info " + store + " > /dev/full"});

  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("No space left"));
}

// Once the store got the number of a closed stream, and the answer went over its first header.
TEST_F(VmgsToolTest, KeepsItsAnswerOutOfTheStoreWhenAStreamIsClosed) {
  const auto store = file("store");
  ASSERT_EQ(create_small(store), 0);
  const auto key = make_key("key", '5');
  const std::string tool = VMGS_TOOL;

  for (const char* closed : {"<&-", ">&-", "2>&-", "<&- >&- 2>&-"}) {
    const auto write =
        support::run_command({"/bin/sh", "-c",
                              "exec " + tool + " write " + store +
                                  " 45 --json --overwrite --input " + key + " " + closed});

    const bool lacks_stdout = (" " + std::string(closed)).find(" >&-") != std::string::npos;
    EXPECT_EQ(write.status, lacks_stdout ? 1 : 0) << closed;
    EXPECT_EQ(vmgs({"check", store}).out, "clean: no error was found\n") << closed;
  }
  EXPECT_EQ(support::run_command({"/bin/sh", "-c", "exec " + tool + " write " + store + " 46 <&-"})
                .status,
            1);
}

}  // namespace
}  // namespace tests::integration
