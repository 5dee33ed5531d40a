// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <boost/json.hpp>
#include <fstream>
#include <set>

#include "tests/support/command.h"
#include "tests/support/golden.h"
#include "tests/support/temp_folder.h"
#include "vmgs/storage/container.h"
#include "vmgs/volume/volume.h"

// `vmgs repair`, `undo`, `salvage` and `previous` as people call them.
namespace tests::integration {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using support::Ran;
using ::testing::HasSubstr;

class VmgsRepairTest : public ::testing::Test {
 protected:
  VmgsRepairTest() {
    std::ofstream(key_) << std::string(64, '5') << "\n";
    ::chmod(key_.c_str(), 0600);
    vmgs({"create", store_, "--key", key_, "--size", "128KiB"});
    for (const auto* const content : {"first", "second", "third"}) {
      vmgs({"write", store_, "45", "--key", key_, "--overwrite"}, content);
    }
  }

  Ran vmgs(std::vector<std::string> arguments, std::string_view input = {}) const {
    arguments.insert(arguments.begin(), VMGS_TOOL);
    return support::run_command(arguments, input);
  }

  json::value document(std::vector<std::string> arguments, int status) const {
    arguments.emplace_back("--json");
    const auto ran = vmgs(arguments);
    EXPECT_EQ(ran.status, status) << ran.err << ran.out;
    std::error_code error;
    auto value = json::parse(ran.out, error);
    EXPECT_FALSE(error) << ran.out;
    return value;
  }

  std::string content() const {
    std::ifstream file(store_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  // The names in the folder.
  std::set<fs::path> files() const {
    const fs::directory_iterator folder(folder_.path());
    return {begin(folder), end(folder)};
  }

  // Writes over `bytes` at an offset, as damage does.
  void damage(std::streamoff offset, std::string_view bytes) const {
    std::fstream file(store_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(offset).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

  void damage_both_checksums() const {
    damage(12, "\1\2\3\4");
    damage(512 + 12, "\1\2\3\4");
  }

  support::TempFolder folder_;
  const std::string store_ = (folder_ / "vm.vmgs").string();
  const std::string key_ = (folder_ / "key").string();
};

TEST_F(VmgsRepairTest, PlansThenRepairsThenUndoes) {
  damage_both_checksums();
  const auto damaged = content();
  EXPECT_EQ(vmgs({"check", store_}).status, 3);

  const auto plan = document({"repair", store_, "--key", key_}, 0);
  EXPECT_EQ(plan.at("schema"), "strongroom.vmgs.repair/1");
  EXPECT_EQ(plan.at("steps").at(0).at("code"), "no-valid-header");
  EXPECT_EQ(plan.at("applied"), false);
  EXPECT_TRUE(plan.at("undo_file").is_null());
  EXPECT_EQ(content(), damaged);

  const auto applied = document({"repair", store_, "--key", key_, "--apply"}, 0);
  EXPECT_EQ(applied.at("applied"), true);
  EXPECT_EQ(applied.at("clean"), true);
  const std::string undo_file(applied.at("undo_file").as_string());
  EXPECT_THAT(undo_file, HasSubstr(store_ + ".undo-"));
  EXPECT_EQ(fs::status(undo_file).permissions(), fs::perms(0600));
  EXPECT_EQ(vmgs({"check", store_, "--key", key_}).status, 0);
  EXPECT_EQ(vmgs({"read", store_, "45", "--key", key_}).out, "third");

  const auto could = document({"undo", store_, undo_file}, 0);
  EXPECT_EQ(could.at("change"), "whole");
  EXPECT_NE(content(), damaged);
  EXPECT_EQ(document({"undo", store_, undo_file, "--apply"}, 0).at("applied"), true);
  EXPECT_EQ(content(), damaged);
}

TEST_F(VmgsRepairTest, RefusesToUndoWhatWasWrittenAgain) {
  damage_both_checksums();
  const auto applied = document({"repair", store_, "--key", key_, "--apply"}, 0);
  const std::string undo_file(applied.at("undo_file").as_string());
  damage(100'000, "later");
  const auto present = content();

  EXPECT_EQ(vmgs({"undo", store_, undo_file, "--apply"}).status, 5);

  EXPECT_EQ(content(), present);
}

TEST_F(VmgsRepairTest, UndoesOnceAndTakesNothingLaterAway) {
  const auto before = content();
  vmgs({"write", store_, "45", "--key", key_, "--overwrite", "--undo-file", store_ + ".undo"},
       "fourth");
  ASSERT_EQ(vmgs({"undo", store_, store_ + ".undo", "--apply"}).status, 0);
  ASSERT_EQ(content(), before);
  vmgs({"write", store_, "45", "--key", key_, "--overwrite", "--no-undo"}, "later");

  for (const auto* const word : {"--json", "--unfinished"}) {
    EXPECT_EQ(vmgs({"undo", store_, store_ + ".undo", "--apply", word}).status, 5);
  }

  EXPECT_EQ(vmgs({"read", store_, "45", "--key", key_}).out, "later");
}

TEST_F(VmgsRepairTest, UndoesAChangeThatWasCutOffOnlyInItsOwnFileAndWhenToldTo) {
  const auto before = content();
  const auto undo_file = store_ + ".undo";
  vmgs({"write", store_, "45", "--key", key_, "--overwrite", "--undo-file", undo_file}, "fourth");
  fs::resize_file(undo_file, fs::file_size(undo_file) - 1);  // the closing record is torn
  const auto copy = (folder_ / "copy.vmgs").string();
  fs::copy_file(store_, copy);

  EXPECT_EQ(document({"undo", store_, undo_file}, 0).at("change"), "unfinished");
  EXPECT_EQ(vmgs({"undo", store_, undo_file, "--apply"}).status, 5);
  EXPECT_EQ(vmgs({"undo", copy, undo_file, "--apply", "--unfinished"}).status, 5);
  EXPECT_EQ(vmgs({"read", store_, "45", "--key", key_}).out, "fourth");

  EXPECT_EQ(vmgs({"undo", store_, undo_file, "--apply", "--unfinished"}).status, 0);
  EXPECT_EQ(content(), before);
}

TEST_F(VmgsRepairTest, SaysWhatItNeedsAndWritesNothing) {
  damage_both_checksums();
  const auto damaged = content();
  const auto before = files();

  // Without the key nothing can be told.
  const auto ran = vmgs({"repair", store_, "--apply"});

  EXPECT_EQ(ran.status, 3);
  EXPECT_THAT(ran.out, HasSubstr("--key"));
  EXPECT_EQ(content(), damaged);
  EXPECT_EQ(files(), before);  // no undo file either
}

TEST_F(VmgsRepairTest, LeavesAFileThatIsInUseAlone) {
  damage_both_checksums();
  const auto held = vmgs::storage::FileDevice::open(store_, vmgs::storage::Access::kReadWrite);
  ASSERT_TRUE(held);

  EXPECT_EQ(vmgs({"repair", store_, "--key", key_}).status, 8);
  EXPECT_EQ(vmgs({"repair", store_, "--key", key_, "--apply"}).status, 8);
  EXPECT_EQ(vmgs({"salvage", store_, (folder_ / "out").string()}).status, 8);
}

TEST_F(VmgsRepairTest, SalvagesWithAManifestAndNeverWritesIntoTheFile) {
  damage_both_checksums();
  const auto damaged = content();
  const auto out = folder_ / "out";

  const auto manifest = document({"salvage", store_, out.string(), "--key", key_}, 0);

  EXPECT_EQ(content(), damaged);
  bool found_third = false;
  for (const auto& file : manifest.at("files").as_array()) {
    std::ifstream saved(out / std::string(file.at("path").as_string()), std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(saved), {});
    EXPECT_EQ(bytes.size(), file.at("size_bytes").to_number<std::size_t>());
    found_third = found_third || (bytes == "third" && file.at("authentic").as_bool());
  }
  EXPECT_TRUE(found_third);
  EXPECT_TRUE(fs::exists(out / "manifest.json"));
  EXPECT_EQ(vmgs({"salvage", store_, out.string(), "--key", key_}).status, 5);
}

// A wrong key once looked like a store with nothing in it.
TEST_F(VmgsRepairTest, SalvageNamesAWrongKey) {
  const auto other = (folder_ / "other").string();
  std::ofstream(other) << std::string(64, '6') << "\n";
  ::chmod(other.c_str(), 0600);

  const auto ran = vmgs({"salvage", store_, (folder_ / "out").string(), "--key", other});

  EXPECT_EQ(ran.status, 6);
  EXPECT_THAT(ran.out, HasSubstr("opens no key slot"));
  const auto manifest =
      document({"salvage", store_, (folder_ / "out2").string(), "--key", other}, 6);
  EXPECT_EQ(manifest.at("key_fits"), false);
  EXPECT_EQ(
      document({"salvage", store_, (folder_ / "out3").string(), "--key", key_}, 0).at("key_fits"),
      true);
  EXPECT_TRUE(
      document({"salvage", store_, (folder_ / "out4").string()}, 4).at("key_fits").is_null());
}

TEST_F(VmgsRepairTest, ReadsAndRestoresThePreviousState) {
  EXPECT_THAT(vmgs({"previous", "list", store_, "--key", key_}).out, HasSubstr("6 bytes"));
  EXPECT_EQ(vmgs({"previous", "read", store_, "45", "-", "--key", key_}).out, "second");
  const auto before = content();
  EXPECT_EQ(vmgs({"previous", "restore", store_, "--key", key_}).status, 0);
  EXPECT_EQ(content(), before);

  const auto restored = document({"previous", "restore", store_, "--key", key_, "--apply"}, 0);

  EXPECT_EQ(vmgs({"read", store_, "45", "--key", key_}).out, "second");
  const std::string undo_file(restored.at("undo_file").as_string());
  EXPECT_EQ(vmgs({"undo", store_, undo_file, "--apply"}).status, 0);
  EXPECT_EQ(content(), before);
}

TEST_F(VmgsRepairTest, DropsAFileOnlyWhenItIsNamed) {
  const auto info = document({"info", store_, "--key", key_}, 0);
  const auto block = info.at("files").at(0).at("first_block").to_number<std::streamoff>();
  damage(block * 4096, "XXXX");

  const auto asked = document({"repair", store_, "--key", key_}, 3);
  EXPECT_TRUE(asked.at("steps").as_array().empty());
  EXPECT_THAT(json::serialize(asked.at("open")), HasSubstr("--drop"));

  document({"repair", store_, "--key", key_, "--drop", "45", "--apply"}, 0);
  EXPECT_EQ(vmgs({"read", store_, "45", "--key", key_}).status, 4);
}

TEST_F(VmgsRepairTest, RepairsAVhdFooter) {
  damage(static_cast<std::streamoff>(fs::file_size(store_)) - 512 + 64, "\1\1\1\1");
  EXPECT_EQ(vmgs({"read", store_, "45", "--key", key_}).status, 6);

  document({"repair", store_, "--key", key_, "--apply"}, 0);

  EXPECT_EQ(vmgs({"read", store_, "45", "--key", key_}).out, "third");
}

TEST_F(VmgsRepairTest, TreatsEveryGoldenImageWithSentences) {
  for (const auto& image : support::golden_images()) {
    const auto bytes = support::golden_bytes(image);
    const auto path = (folder_ / "golden.vmgs").string();
    std::ofstream(path, std::ios::binary | std::ios::trunc)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    std::vector<std::string> arguments = {"repair", path};
    if (!image.keys.empty()) {
      std::ofstream(folder_ / "golden.key") << base::to_hex(image.keys.front());
      ::chmod((folder_ / "golden.key").c_str(), 0600);
      arguments.insert(arguments.end(), {"--key", (folder_ / "golden.key").string()});
    }

    const auto ran = vmgs(arguments);

    EXPECT_THAT(ran.status, ::testing::AnyOf(0, 3)) << image.file << ": " << ran.err;
    EXPECT_FALSE(ran.out.empty()) << image.file;
  }
}

}  // namespace
}  // namespace tests::integration
