// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "tests/integration/vmgs_case.h"
#include "tests/support/golden.h"

namespace tests::integration {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// The program under the name by which scripts of the reference call it.
class VmgstoolTest : public VmgsCase {
 protected:
  VmgstoolTest() { fs::create_symlink(VMGS_TOOL, folder_ / "vmgstool"); }

  [[nodiscard]] support::Ran tool(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), file("vmgstool"));
    return support::run_command(arguments);
  }

  [[nodiscard]] std::string raw_key(const std::string& name, char value) const {
    return make_file(name, std::string(32, value));
  }

  [[nodiscard]] std::string golden(const std::string& number) const {
    const auto bytes = support::golden_bytes(support::golden_image(number));
    return make_file("golden.vmgs", {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }

  std::string store_ = file("store.vmgs");
};

TEST_F(VmgstoolTest, CreatesWritesDumpsMovesAndDeletes) {
  ASSERT_EQ(tool({"create", "-f", store_}).status, 0);
  EXPECT_EQ(fs::file_size(store_), 4194816U);
  EXPECT_EQ(tool({"create", "-f", store_}).status, 1) << "exists";
  const auto data = make_file("data", "seventeen letters");
  ASSERT_EQ(tool({"write", "-f", store_, "-d", data, "-i", "ATTEST"}).status, 0);
  EXPECT_EQ(tool({"write", "-f", store_, "-d", data, "-i", "5"}).status, 1) << "exists";
  EXPECT_EQ(tool({"write", "-f", store_, "-d", data, "-i", "5", "--allow-overwrite"}).status, 0);

  EXPECT_EQ(tool({"query-size", "--filepath", store_, "--fileid", "ATTEST"}).out,
            "File ID 5 (ATTEST) has a size of 17\n");
  EXPECT_EQ(tool({"query-size", "-f", store_, "-i", "3"}).status, 4);
  EXPECT_EQ(tool({"dump", "-f", store_, "-i", "5", "--raw-stdout"}).out, "seventeen letters");
  EXPECT_THAT(tool({"dump", "-f", store_, "-i", "5"}).out,
              StartsWith("0x73,0x65,0x76,0x65,0x6e,0x74,0x65,0x65,0x6e,0x20,0x6c,0x65,0x74,0x74,"
                         "0x65,0x72, // seventeen.letter\n0x73,"));
  ASSERT_EQ(tool({"dump", "-f", store_, "-i", "5", "-d", file("out")}).status, 0);
  EXPECT_EQ(content(file("out")), "seventeen letters");
  EXPECT_EQ(tool({"dump", "-f", store_, "-i", "6"}).status, 4);

  ASSERT_EQ(tool({"move", "-f", store_, "--src", "5", "--dst", "17"}).status, 0);
  EXPECT_EQ(tool({"query-size", "-f", store_, "-i", "17"}).status, 0);
  EXPECT_EQ(tool({"delete", "-f", store_, "-i", "17"}).status, 0);
  EXPECT_EQ(tool({"delete", "-f", store_, "-i", "17"}).status, 4);
  EXPECT_THAT(tool({"dump-file-table", "-f", store_}).out, HasSubstr("0 (FILE_TABLE)"));
}

TEST_F(VmgstoolTest, GivesWhatItReadsToItsOwnerAlone) {
  ASSERT_EQ(tool({"create", "-f", store_}).status, 0);
  ASSERT_EQ(tool({"write", "-f", store_, "-d", make_file("data", "secret"), "-i", "3"}).status, 0);
  (void)make_file("old", "longer than the secret");
  fs::permissions(file("old"), fs::perms(0644));

  for (const auto* const out : {"new", "old"}) {
    ASSERT_EQ(tool({"dump", "-f", store_, "-i", "3", "-d", file(out)}).status, 0);
    EXPECT_EQ(fs::status(file(out)).permissions(), fs::perms(0600)) << out;
    EXPECT_EQ(content(file(out)), "secret");
  }
}

TEST_F(VmgstoolTest, ReplacesRegularFilesOnly) {
  ASSERT_EQ(tool({"create", "-f", store_}).status, 0);
  ASSERT_EQ(tool({"write", "-f", store_, "-d", make_file("data", "secret"), "-i", "3"}).status, 0);
  fs::create_symlink(store_, file("link"));
  const auto before = content(store_);

  EXPECT_EQ(tool({"dump", "-f", store_, "-i", "3", "-d", file("link")}).status, 1);
  EXPECT_EQ(tool({"create", "-f", file("link"), "--force-create"}).status, 1);
  EXPECT_TRUE(fs::is_symlink(file("link")));
  EXPECT_EQ(content(store_), before);
  EXPECT_EQ(tool({"create", "-f", store_, "--force-create"}).status, 0);
  EXPECT_EQ(tool({"dump", "-f", store_, "-i", "3"}).status, 4);
}

TEST_F(VmgstoolTest, KeepsKeys) {
  const auto key = raw_key("key", 'k');
  const auto other = raw_key("other", 'o');
  EXPECT_EQ(tool({"create", "-f", store_, "-k", key}).status, 2) << "an algorithm goes with it";
  ASSERT_EQ(tool({"create", "-f", store_, "-k", key, "-e", "AES_GCM"}).status, 0);
  const auto data = make_file("data", "secret");
  ASSERT_EQ(tool({"write", "-f", store_, "-d", data, "-i", "3", "-k", key}).status, 0);

  EXPECT_EQ(tool({"dump", "-f", store_, "-i", "3", "-k", key, "--raw-stdout"}).out, "secret");
  const auto sealed = tool({"dump", "-f", store_, "-i", "3", "--raw-stdout"});
  EXPECT_EQ(sealed.status, 0) << "ciphertext, as the reference has it";
  EXPECT_EQ(sealed.out.size(), 6U);
  EXPECT_NE(sealed.out, "secret");
  EXPECT_EQ(tool({"dump", "-f", store_, "-i", "3", "-k", other}).status, 1);
  EXPECT_EQ(tool({"write", "-f", store_, "-d", data, "-i", "3", "--allow-overwrite"}).status, 1)
      << "nothing would read it afterwards";

  ASSERT_EQ(tool({"update-key", "-f", store_, "-k", key, "-n", other, "-e", "AES_GCM"}).status, 0);
  EXPECT_EQ(tool({"dump", "-f", store_, "-i", "3", "-k", other, "--raw-stdout"}).out, "secret");
  EXPECT_EQ(tool({"dump", "-f", store_, "-i", "3", "-k", key}).status, 1);
  EXPECT_EQ(tool({"dump", "-f", store_, "-i", "3", "-k", make_file("bad", "short")}).status, 1);
}

// Scripts that called the reference once lost here what `vmgs` would have kept.
TEST_F(VmgstoolTest, KeepsWhatItOverwritesAsVmgsDoes) {
  const auto key = raw_key("key", 'k');
  const auto data = make_file("data", "new");
  ASSERT_EQ(tool({"create", "-f", store_}).status, 0);
  ASSERT_EQ(tool({"write", "-f", store_, "-d", data, "-i", "3", "--no-undo"}).status, 0);
  EXPECT_EQ(undo_files(), 0U);
  const std::vector<std::vector<std::string>> changes = {
      {"write", "-d", data, "-i", "5"},
      {"move", "--src", "3", "--dst", "17"},
      {"delete", "-i", "3"},
      {"copy-igvmfile", "-d", FIRMWARE_DLL, "-r", "NONCONFIDENTIAL"},
      {"encrypt", "-k", key, "-e", "AES_GCM"}};
  for (auto words : changes) {
    const auto before = content(store_);
    const auto undo = file("undo-" + words.front());
    words.insert(words.end(), {"-f", store_, "--undo-file", undo});

    const auto changed = tool(words);

    EXPECT_EQ(changed.status, 0) << words.front() << ": " << changed.err;
    EXPECT_THAT(changed.err, HasSubstr("vmgs undo " + store_ + " " + undo + " --apply"));
    EXPECT_EQ(changed.err.find("holds the plaintext") != std::string::npos,
              words.front() == "encrypt");
    ASSERT_EQ(vmgs({"undo", store_, undo, "--apply"}).status, 0) << words.front();
    EXPECT_EQ(content(store_), before) << words.front();
  }

  ASSERT_EQ(tool({"encrypt", "-f", store_, "-k", key, "-e", "AES_GCM"}).status, 0);
  EXPECT_EQ(undo_files(), 1U) << "beside the store where no place is named";
  const auto rekeyed =
      tool({"update-key", "-f", store_, "-k", key, "-n", raw_key("other", 'o'), "-e", "AES_GCM"});
  EXPECT_EQ(rekeyed.status, 0);
  EXPECT_THAT(rekeyed.err, HasSubstr("still opens with the old key"));
  const auto locked = tool({"write", "-f", store_, "-d", data, "-i", "VM_UNIQUE_ID", "--no-undo"});
  EXPECT_EQ(locked.status, 0) << "both generations hold the same";
  EXPECT_EQ(tool({"delete", "-f", store_, "-i", "VM_UNIQUE_ID", "--no-undo"}).status, 1)
      << "only the key tells whether the newest commit is whole";
}

TEST_F(VmgstoolTest, SaysByItsExitCodeWhatAStoreIs) {
  const auto key = raw_key("key", 'k');
  ASSERT_EQ(tool({"create", "-f", store_}).status, 0);
  EXPECT_EQ(tool({"query-encryption", "-f", store_}).status, 2);
  EXPECT_EQ(tool({"dump", "-f", store_, "-i", "3", "-k", key}).status, 2);
  ASSERT_EQ(tool({"encrypt", "-f", store_, "-k", key, "-e", "AES_GCM"}).status, 0);
  EXPECT_EQ(tool({"query-encryption", "-f", store_}).status, 7);
  const auto data = make_file("data", std::string(20, 'i'));
  ASSERT_EQ(tool({"write", "-f", store_, "-d", data, "-i", "VM_UNIQUE_ID"}).status, 0);
  EXPECT_EQ(tool({"query-encryption", "-f", store_}).status, 6);
  ASSERT_EQ(tool({"write", "-f", store_, "-d", data, "-i", "KEY_PROTECTOR"}).status, 0);
  EXPECT_EQ(tool({"query-encryption", "-f", store_}).status, 0);

  EXPECT_EQ(tool({"dump-headers", "-f", make_file("empty", "")}).status, 3);
  EXPECT_EQ(tool({"dump-headers", "-f", golden("13")}).status, 3);
  EXPECT_EQ(tool({"dump-headers", "-f", golden("12")}).status, 5);
  EXPECT_EQ(tool({"dump-headers", "-f", golden("05")}).status, 1);
  const auto headers = tool({"dump-headers", "-f", golden("04")});
  EXPECT_EQ(headers.status, 0);
  EXPECT_THAT(headers.out, HasSubstr("[INVALID]"));
  EXPECT_THAT(headers.out, HasSubstr("Active header is"));
  EXPECT_EQ(tool({"dump-headers", "-f", file("missing")}).status, 1);
  EXPECT_EQ(tool({"dump-headers"}).status, 2) << "as the reference's parser";
  EXPECT_EQ(tool({"nonsense"}).status, 2);
}

TEST_F(VmgstoolTest, TakesLegacySpellings) {
  const auto made = tool({"-C", "-FilePath", store_, "-s", "65536"});
  ASSERT_EQ(made.status, 0) << made.err;
  EXPECT_THAT(made.err, HasSubstr("legacy"));
  EXPECT_EQ(fs::file_size(store_), 65536U + 512);
  const auto data = make_file("data", "x");
  EXPECT_EQ(tool({"-w", "-f", store_, "-d", data, "-i", "4"}).status, 0);
  EXPECT_EQ(tool({"-w", "-f", store_, "-d", data, "-i", "4", "-ow"}).status, 0);
  EXPECT_EQ(tool({"-qs", "-f", store_, "-i", "4"}).out, "File ID 4 (RTC_SKEW) has a size of 1\n");
  EXPECT_EQ(tool({"-rh", "-f", store_}).status, 0);
  EXPECT_EQ(tool({"-c", "-f", store_, "-fc"}).status, 0) << "forced";
  EXPECT_EQ(fs::file_size(store_), 4194816U);
  EXPECT_EQ(tool({"-r", "-f", store_, "-i", "4"}).status, 4);
}

TEST_F(VmgstoolTest, EditsVariablesInOneCommit) {
  ASSERT_EQ(tool({"create", "-f", store_}).status, 0);
  ASSERT_EQ(vmgs({"write", store_, "BIOS_NVRAM", "--no-undo"}).status, 0);
  for (const auto& [name, value] : {std::pair("BootOrder", std::string("\x0a\0\x0b\0", 4)),
                                    std::pair("Boot000A", std::string("\1\0\0\0\0\0A\0\0\0", 10)),
                                    std::pair("Lang", std::string("en"))}) {
    ASSERT_EQ(vmgs({"uefi", "set", store_, name, "--vendor", "EFI_GLOBAL_VARIABLE", "--apply",
                    "--no-undo"},
                   value)
                  .status,
              0);
  }

  const auto dumped = tool({"uefi-nvram", "dump", "-f", store_});
  EXPECT_THAT(dumped.out, HasSubstr("Name: \"Boot000A\""));
  EXPECT_THAT(dumped.out, HasSubstr("Boot Order: 10 11\n"));
  EXPECT_THAT(dumped.out, HasSubstr("description: A\n"));
  EXPECT_EQ(tool({"uefi-nvram", "remove-boot-entries", "-f", store_, "-n"}).status, 0);
  EXPECT_THAT(tool({"uefi-nvram", "dump", "-f", store_}).out, HasSubstr("Boot000A"));
  const auto removed = tool({"uefi-nvram", "remove-boot-entries", "-f", store_});
  EXPECT_EQ(removed.status, 0) << "though BootOrder names one that is not there";
  EXPECT_THAT(removed.out, HasSubstr("0: Boot000A"));
  EXPECT_EQ(tool({"uefi-nvram", "remove-boot-entries", "-f", store_}).status, 1);
  EXPECT_EQ(tool({"uefi-nvram", "remove-entry", "-f", store_, "-n", "Lang", "-v",
                  "8be4df61-93ca-11d2-aa0d-00e098032b8c"})
                .status,
            0);
  EXPECT_EQ(tool({"uefi-nvram", "dump", "-f", store_}).out, "");
}

TEST_F(VmgstoolTest, CopiesFirmwareOutOfADll) {
  ASSERT_EQ(tool({"create", "-f", store_}).status, 0);
  const auto* const dll = FIRMWARE_DLL;

  ASSERT_EQ(tool({"copy-igvmfile", "-f", store_, "-d", dll, "-r", "NONCONFIDENTIAL"}).status, 0);

  EXPECT_EQ(tool({"dump", "-f", store_, "-i", "GUEST_FIRMWARE", "--raw-stdout"}).out,
            "firmware image");
  EXPECT_EQ(tool({"copy-igvmfile", "-f", store_, "-d", dll, "-r", "NONCONFIDENTIAL"}).status, 1);
  EXPECT_EQ(
      tool({"copy-igvmfile", "-f", store_, "-d", dll, "-r", "SNP", "--allow-overwrite"}).status, 1);
}

TEST_F(VmgstoolTest, IsThereAsACommandOfVmgsToo) {
  ASSERT_EQ(vmgs({"compat", "create", "-f", store_}).status, 0);
  EXPECT_EQ(vmgs({"compat", "query-encryption", "-f", store_}).status, 2);
  EXPECT_EQ(vmgs({"compat", "-qs", "-f", store_, "-i", "5"}).status, 4);
}

}  // namespace
}  // namespace tests::integration
