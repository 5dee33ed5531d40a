// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <algorithm>

#include "tests/integration/vmgs_case.h"
#include "vmgs/storage/memory.h"
#include "vmgs/volume/volume.h"

namespace tests::integration {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kState(9000, 's');

// A store of 256 KiB with a TPM state and a plaintext id.
class VmgsChangeTest : public VmgsCase {
 protected:
  std::string make_store(const std::string& name, const std::vector<std::string>& key = {},
                         std::vector<std::string> options = {}) const {
    const auto with_key = [&](std::vector<std::string> words) {
      words.insert(words.end(), key.begin(), key.end());
      return words;
    };
    options.insert(options.begin(), {"create", file(name), "--size", "256KiB"});
    EXPECT_EQ(vmgs(with_key(options)).status, 0);
    EXPECT_EQ(vmgs(with_key({"write", file(name), "TPM_NVRAM", "--no-undo"}), kState).status, 0);
    EXPECT_EQ(
        vmgs(with_key({"write", file(name), "VM_UNIQUE_ID", "--plaintext", "--no-undo"}), "who")
            .status,
        0);
    return file(name);
  }

  // A change that is planned, made and undone: nothing is written before --apply, and undoing gives
  // every byte back. `changed` looks at the store when the change is made.
  template <typename Changed>
  void plan_apply_undo(const std::string& store, std::vector<std::string> words,
                       Changed&& changed) {
    const auto before = content(store);
    const auto planned = document(words);
    EXPECT_EQ(planned.at("applied"), false);
    EXPECT_TRUE(planned.at("undo_file").is_null());
    EXPECT_EQ(content(store), before);
    EXPECT_EQ(undo_files(), 0U);

    words.emplace_back("--apply");
    const auto made = document(words);

    EXPECT_EQ(made.at("applied"), true);
    EXPECT_NE(content(store), before);
    changed();
    const std::string undo(made.at("undo_file").as_string());
    ASSERT_EQ(vmgs({"undo", store, undo, "--apply"}).status, 0);
    EXPECT_TRUE(content(store) == before) << "undo gives the bytes back";
    fs::remove(undo);
  }
};

TEST_F(VmgsChangeTest, MovesAFile) {
  const std::vector<std::string> key = {"--key", make_key("key", '5')};
  const auto store = make_store("store", key);
  const auto with_key = [&](std::vector<std::string> words) {
    words.insert(words.end(), key.begin(), key.end());
    return words;
  };

  plan_apply_undo(store, with_key({"move", store, "TPM_NVRAM", "TPM_NVRAM_BACKUP"}), [&] {
    EXPECT_EQ(vmgs(with_key({"read", store, "17"})).out, kState);
    EXPECT_EQ(vmgs(with_key({"read", store, "3"})).status, 4);
  });

  EXPECT_EQ(vmgs(with_key({"move", store, "3", "7"})).status, 5);
  EXPECT_EQ(vmgs(with_key({"move", store, "3", "3", "--overwrite"})).status, 2);
  EXPECT_EQ(vmgs(with_key({"move", store, "4", "5"})).status, 4);
  EXPECT_EQ(vmgs({"move", store, "3", "17"}).status, 5) << "locked";
}

TEST_F(VmgsChangeTest, EncryptsAStoreAndLeavesNoPlaintext) {
  const auto store = make_store("store");
  const auto key = make_key("key", '5');

  plan_apply_undo(store, {"encrypt", store, "--new-key", key}, [&] {
    EXPECT_THAT(content(store), Not(HasSubstr("ssssssss")));
    EXPECT_EQ(vmgs({"read", store, "TPM_NVRAM", "--key", key}).out, kState);
    EXPECT_EQ(vmgs({"read", store, "VM_UNIQUE_ID"}).out, "who");
    EXPECT_EQ(vmgs({"check", store, "--key", key}).status, 0);
    EXPECT_EQ(vmgs({"encrypt", store, "--new-key", make_key("other", '6')}).status, 5);
  });
}

// Writes go to memory up to a number of them; then the machine is gone.
class CutOff final : public vmgs::storage::BlockDevice {
 public:
  CutOff(std::string_view content, int writes)
      : memory_(base::copy_of(base::bytes_of(content))), writes_(writes) {}

  [[nodiscard]] std::uint64_t size_bytes() const override { return memory_.size_bytes(); }

  base::Result<void> read(std::uint64_t offset, std::span<std::byte> out) override {
    return memory_.read(offset, out);
  }

  base::Result<void> write(std::uint64_t offset, base::ByteView bytes) override {
    return writes_-- > 0 ? memory_.write(offset, bytes)
                         : base::fail(base::ErrorCode::kIo, "the machine is gone");
  }

  base::Result<void> flush() override { return memory_.flush(); }

  [[nodiscard]] std::string_view content() const {
    const auto& bytes = memory_.contents();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

 private:
  vmgs::storage::MemoryDevice memory_;
  int writes_;
};

// What a crash had left in plaintext once stayed for good.
TEST_F(VmgsChangeTest, EncryptFinishesWhatWasCutOff) {
  const auto plain = content(make_store("plain", {}, {"--raw"}));
  const auto key = make_key("key", '5');
  std::size_t left = 0;
  bool is_done = false;
  for (int writes = 0; !is_done; ++writes) {
    CutOff device(plain, writes);
    auto volume = vmgs::volume::Volume::open(device, vmgs::format::HeaderSpacing::k512);
    ASSERT_TRUE(volume);
    vmgs::volume::DatastoreKey datastore_key{base::Secret<32>::zero()};
    std::ranges::fill(datastore_key.bytes.fill(), std::byte{0x55});
    is_done = volume->encrypt(std::move(datastore_key)).has_value();
    const auto store = make_file("store", device.content());
    const bool is_encrypted = vmgs({"read", store, "TPM_NVRAM"}).status == 5;
    const auto check = vmgs({"check", store});
    EXPECT_EQ(check.out.find("plaintext-left") != std::string::npos, is_encrypted) << check.out;
    if (is_encrypted) {
      ++left;
      EXPECT_THAT(vmgs({"explain", store}).out, HasSubstr("vmgs encrypt --new-key"));
    }

    const auto again = vmgs({"encrypt", store, "--new-key", key, "--apply", "--no-undo"});

    EXPECT_EQ(again.status, 0) << writes << ": " << again.err;
    EXPECT_THAT(content(store), Not(HasSubstr("ssssssss"))) << writes;
    EXPECT_EQ(vmgs({"read", store, "TPM_NVRAM", "--key", key}).out, kState) << writes;
    EXPECT_THAT(vmgs({"check", store, "--key", key}).out, Not(HasSubstr("plaintext-left")));
  }
  EXPECT_GE(left, 2U) << "after the first commit, and after both";
}

TEST_F(VmgsChangeTest, DecryptsAStore) {
  const auto key = make_key("key", '5');
  const auto store = make_store("store", {"--key", key});

  plan_apply_undo(store, {"decrypt", store, "--key", key}, [&] {
    EXPECT_EQ(vmgs({"read", store, "TPM_NVRAM"}).out, kState);
    EXPECT_EQ(vmgs({"check", store}).status, 0);
  });

  ASSERT_EQ(
      vmgs({"write", store, "SEALED_KEYS", "--plaintext", "--key", key, "--no-undo"}, "p").status,
      0);
  EXPECT_EQ(vmgs({"decrypt", store, "--key", key}).status, 5) << "a protector";
  EXPECT_EQ(vmgs({"decrypt", store, "--key", key, "--drop-protectors"}).status, 0);
}

TEST_F(VmgsChangeTest, LeavesProtectorsWhereDecryptingFails) {
  const std::vector<std::string> key = {"--key", make_key("key", '5')};
  const auto with_key = [&](std::vector<std::string> words) {
    words.insert(words.end(), key.begin(), key.end());
    return words;
  };
  const auto store = make_store("store", key);
  ASSERT_EQ(vmgs(with_key({"write", store, "SEALED_KEYS", "--plaintext", "--no-undo"}), "p").status,
            0);
  ASSERT_EQ(vmgs(with_key({"write", store, "UEFI_FLASH", "--no-undo"}), std::string(160 << 10, 'f'))
                .status,
            0);
  const auto before = content(store);

  EXPECT_EQ(vmgs(with_key({"decrypt", store, "--drop-protectors", "--apply", "--no-undo"})).status,
            5)
      << "no room";

  EXPECT_TRUE(content(store) == before);
}

TEST_F(VmgsChangeTest, SaysThatTheUndoFileOfARekeyOpensWithTheOldKey) {
  const auto key = make_key("key", '5');
  const auto store = make_store("store", {"--key", key});

  const auto rekeyed = vmgs({"rekey", store, "--key", key, "--new-key", make_key("new", '6')});

  EXPECT_EQ(rekeyed.status, 0);
  EXPECT_THAT(rekeyed.err, HasSubstr("still opens with the old key"));
}

TEST_F(VmgsChangeTest, ResizesAStoreBothWaysWithItsFooter) {
  const auto key = make_key("key", '5');
  for (const auto& options : {std::vector<std::string>{}, std::vector<std::string>{"--raw"}}) {
    const auto store = make_store("store", {"--key", key}, options);
    const auto footer = options.empty() ? 512U : 0U;

    plan_apply_undo(store, {"resize", store, "--key", key, "--size", "512KiB"}, [&] {
      EXPECT_EQ(fs::file_size(store), 512U * 1024 + footer);
      EXPECT_EQ(document({"info", store}).at("size_bytes"), 512 * 1024);
      EXPECT_EQ(vmgs({"read", store, "TPM_NVRAM", "--key", key}).out, kState);
      EXPECT_EQ(vmgs({"check", store, "--key", key}).status, 0);
    });
    plan_apply_undo(store, {"resize", store, "--key", key, "--size", "64KiB"}, [&] {
      EXPECT_EQ(fs::file_size(store), 64U * 1024 + footer);
      EXPECT_EQ(vmgs({"read", store, "TPM_NVRAM", "--key", key}).out, kState);
      EXPECT_EQ(vmgs({"check", store, "--key", key}).status, 0);
    });
    EXPECT_EQ(vmgs({"resize", store, "--size", "32KiB", "--key", key}).status, 5) << "no room";
    EXPECT_EQ(vmgs({"resize", store, "--size", "1000"}).status, 2);
    fs::remove(store);
  }
}

TEST_F(VmgsChangeTest, ConvertsIntoANewFileOfAnotherKind) {
  const auto key = make_key("key", '5');
  const auto store = make_store("store", {"--key", key});
  const auto before = content(store);

  ASSERT_EQ(vmgs({"convert", store, file("wide"), "--raw", "--new-sector-size", "4096"}).status, 0);
  ASSERT_EQ(vmgs({"convert", file("wide"), file("back"), "--size", "512KiB"}).status, 0);

  EXPECT_EQ(content(store), before);
  const auto wide = document({"info", file("wide"), "--key", key});
  EXPECT_EQ(wide.at("header_spacing"), 4096);
  EXPECT_EQ(wide.at("container"), "raw");
  EXPECT_EQ(wide.at("sequence"), document({"info", store}).at("sequence"));
  EXPECT_EQ(vmgs({"read", file("back"), "TPM_NVRAM", "--key", key}).out, kState);
  EXPECT_EQ(document({"info", file("back")}).at("container"), "fixed-vhd");
  EXPECT_EQ(vmgs({"convert", store, file("back")}).status, 5) << "never overwritten";
  EXPECT_EQ(vmgs({"convert", store, file("small"), "--size", "64KiB"}).status, 2);
  EXPECT_FALSE(fs::exists(file("small")));
}

TEST_F(VmgsChangeTest, CopiesFilesBetweenStores) {
  const auto key = make_key("key", '5');
  const auto from = make_store("from", {"--key", key});
  const auto to = file("to");
  ASSERT_EQ(vmgs({"create", to, "--size", "256KiB"}).status, 0);

  plan_apply_undo(to, {"copy", to, from, "--all", "--from-key", key}, [&] {
    EXPECT_EQ(vmgs({"read", to, "TPM_NVRAM"}).out, kState);
    EXPECT_EQ(vmgs({"read", to, "VM_UNIQUE_ID"}).out, "who");
    EXPECT_EQ(vmgs({"diff", from, to, "--key", key}).status, 3) << "encrypted in one only";
  });

  EXPECT_EQ(vmgs({"copy", to, from, "TPM_NVRAM"}).status, 5) << "locked";
  EXPECT_EQ(vmgs({"copy", to, from, "RTC_SKEW", "--from-key", key}).status, 4);
  EXPECT_EQ(vmgs({"copy", to, from}).status, 2);
}

TEST_F(VmgsChangeTest, TellsHowStoresAndGenerationsDiffer) {
  const auto key = make_key("key", '5');
  const auto store = make_store("store", {"--key", key});
  fs::copy(store, file("other"));
  EXPECT_EQ(vmgs({"diff", store, file("other"), "--key", key, "--other-key", key}).out,
            "no difference\n");

  ASSERT_EQ(vmgs({"write", store, "RTC_SKEW", "--plaintext", "--key", key, "--no-undo"}, "8 bytes!")
                .status,
            0);
  const auto found = document({"diff", file("other"), store, "--key", key, "--other-key", key}, 3);
  ASSERT_EQ(found.at("files").as_array().size(), 1U);
  EXPECT_EQ(found.at("files").at(0).at("id"), 4);
  EXPECT_EQ(found.at("files").at(0).at("change"), "added");
  const auto generations = document({"diff", store, "--key", key}, 3);
  EXPECT_EQ(generations.at("files").at(0).at("id"), 4);
}

TEST_F(VmgsChangeTest, CommandsThatWriteAtOnceCanBeTriedAndUndone) {
  const auto store = make_store("store");
  const auto before = content(store);

  EXPECT_EQ(vmgs({"write", store, "RTC_SKEW", "--dry-run"}, "12345678").status, 0);
  EXPECT_EQ(vmgs({"delete", store, "TPM_NVRAM", "--dry-run"}).status, 0);
  EXPECT_EQ(vmgs({"delete", store, "RTC_SKEW", "--dry-run"}).status, 4);
  EXPECT_EQ(content(store), before);
  EXPECT_EQ(undo_files(), 0U);

  const auto made = document({"delete", store, "TPM_NVRAM"});
  EXPECT_EQ(vmgs({"read", store, "TPM_NVRAM"}).status, 4);
  const std::string undo(made.at("undo_file").as_string());
  ASSERT_EQ(vmgs({"undo", store, undo, "--apply"}).status, 0);
  EXPECT_EQ(content(store), before);
}

TEST_F(VmgsChangeTest, RunsACommandOnManyFilesAndResumes) {
  for (const auto* const name : {"vm1", "vm2", "vm3"}) {
    make_store(name);
  }
  const auto bad = make_file("vm4", std::string(8192, 'x'));
  const auto journal = file("journal");
  const std::vector<std::string> words = {"fleet", "--match", file("vm*"), "--resume",
                                          journal, "check",   "{}"};

  const auto first = vmgs(words);

  EXPECT_EQ(first.status, 1);
  EXPECT_THAT(first.out, HasSubstr("done    " + file("vm1") + "\n"));
  EXPECT_THAT(first.out, HasSubstr("failed  " + bad));
  EXPECT_THAT(first.out, HasSubstr("4 files: 3 done, 1 failed, 0 skipped"));
  fs::remove(bad);
  make_store("vm4");
  const auto second = vmgs(words);
  EXPECT_EQ(second.status, 0) << second.err;
  EXPECT_THAT(second.out, HasSubstr("4 files: 1 done, 0 failed, 3 skipped"));

  const auto list = make_file("list", file("vm1") + "\n" + file("vm2") + "\n");
  const auto told = document({"fleet", "--list", list, "--json", "info", "{}"});
  EXPECT_EQ(told.at("schema"), "strongroom.vmgs.fleet/1");
  EXPECT_EQ(told.at("done"), 2);
  EXPECT_EQ(told.at("files").at(1).at("answer").at("file").as_string(), file("vm2"));
  EXPECT_EQ(vmgs({"fleet", "--list", list, "check"}).status, 2) << "no place for the file";
  EXPECT_EQ(vmgs({"fleet", "check", "{}"}).status, 2) << "no file";
}

TEST_F(VmgsChangeTest, AFleetsJournalHasWhatWasDoneByOneCommand) {
  for (const auto* const name : {"vm1", "vm10"}) {
    make_store(name);
  }
  const auto journal = file("journal");
  const auto fleet = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {"fleet", "--match", file("vm*"), "--resume", journal});
    return vmgs(words);
  };
  const std::vector<std::string> plan = {"move", "{}", "3", "17"};
  const std::vector<std::string> move = {"move", "{}", "3", "17", "--apply", "--no-undo"};

  // A plan is not remembered, and no other command's journal either.
  EXPECT_EQ(fleet(plan).status, 0);
  EXPECT_THAT(fleet(plan).out, HasSubstr("2 done, 0 failed, 0 skipped"));
  EXPECT_EQ(fleet(move).status, 5);
  EXPECT_EQ(vmgs({"read", file("vm1"), "3"}).status, 0);
  fs::remove(journal);
  EXPECT_THAT(fleet(move).out, HasSubstr("2 done, 0 failed, 0 skipped"));
  EXPECT_EQ(vmgs({"read", file("vm1"), "17"}).out, kState);
  EXPECT_THAT(fleet(move).out, HasSubstr("0 done, 0 failed, 2 skipped"));
  EXPECT_EQ(fleet({"check", "{}"}).status, 5);

  // A line that was cut off names nothing, though there is a file of that name.
  const auto lines = content(journal);
  const auto first = lines.substr(0, lines.find('\n') + 1);
  (void)make_file("journal", first + file("vm10") + "\n" + file("vm1"));
  EXPECT_THAT(fleet(move).out, HasSubstr("0 done, 1 failed, 1 skipped"));
  EXPECT_EQ(content(journal), first + file("vm10") + "\n");
  (void)make_file("journal", first.substr(0, 30));
  EXPECT_THAT(fleet(move).out, HasSubstr("0 done, 2 failed, 0 skipped"));
  EXPECT_EQ(content(journal), first);

  (void)make_file("journal", "somebody's letter");
  EXPECT_EQ(fleet(move).status, 5);
  EXPECT_EQ(content(journal), "somebody's letter");
}

TEST_F(VmgsChangeTest, CompletionAndManualHaveEveryCommandOfTheHelp) {
  const auto bash = vmgs({"completion", "bash"});
  const auto page = vmgs({"man"});
  ASSERT_EQ(bash.status, 0);
  ASSERT_EQ(page.status, 0);
  for (const auto* const command :
       {"create", "info", "check", "read", "write", "delete", "rekey", "close", "undo", "move",
        "encrypt", "decrypt", "resize", "convert", "copy", "diff", "uefi", "fleet", "compat"}) {
    const auto help = vmgs({command, "--help"});
    EXPECT_EQ(help.status, 0) << command;
    EXPECT_THAT(bash.out, HasSubstr(std::string("' ") + command + "')")) << command;
    EXPECT_THAT(page.out, HasSubstr(std::string(".SS vmgs ") + command + "\n")) << command;
  }
  EXPECT_THAT(page.out, HasSubstr(".SS vmgs uefi remove\\-boot\\-entries\n"));
  EXPECT_EQ(vmgs({"completion", "tcsh"}).status, 2);
}

}  // namespace
}  // namespace tests::integration
