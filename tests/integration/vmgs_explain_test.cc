// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <map>

#include "tests/integration/vmgs_inspector.h"
#include "vmgs/format/hw_key_protector.h"
#include "vmgs/format/key_protector.h"
#include "vmgs/format/sealed_keys.h"
#include "vmgs/storage/container.h"

namespace tests::integration {
namespace {

namespace format = ::vmgs::format;
using support::golden_image;
using support::GoldenImage;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

// All sentences of one member.
std::string sentences(const boost::json::value& explained, const char* member) {
  std::string all;
  for (const auto& each : explained.at(member).as_array()) {
    all += std::string(each.as_string().c_str()) + "\n";
  }
  return all;
}

std::string verdict(const boost::json::value& explained) {
  return explained.at("verdict").as_string().c_str();
}

constexpr int kFoundProblem = 3;

class VmgsExplainTest : public ::testing::Test {
 protected:
  boost::json::value explain(const std::string& file, int status,
                             const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"explain", file};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return tool_.document(arguments, status);
  }

  VmgsInspector tool_;
};

// What is said of each image, without a key and with its own: the verdict, and a word that a reader
// needs to find.
struct Expected {
  std::string verdict_locked;
  std::string verdict_with_key;  // or the same, where there is none
  std::string word;
};

const std::map<std::string, Expected> kExpected = {
    {"01", {"opens", "opens", "TPM_NVRAM"}},
    {"02", {"needs-key", "opens", "TPM_NVRAM"}},
    {"03", {"needs-key", "opens", "two keys"}},
    {"04", {"needs-key", "opens", "header slot 1"}},
    {"05", {"damaged", "damaged", "checksum"}},
    {"06", {"needs-key", "opens", ""}},
    {"07", {"opens-damaged", "opens-damaged", "GUEST_FIRMWARE"}},
    {"08", {"needs-key", "opens", ""}},
    {"09", {"needs-key", "opens", ""}},
    {"10", {"needs-key", "opens-damaged", "zero bytes"}},
    {"11", {"damaged", "damaged", "another time"}},
    {"12", {"not-a-store", "not-a-store", ""}},
    {"13", {"blank", "blank", "no header"}},
    {"14", {"damaged", "damaged", "TPM_NVRAM"}},
    {"15", {"damaged", "damaged", "table"}},
    {"16", {"needs-key", "opens-damaged", "TPM_NVRAM (3)"}},
    {"17", {"needs-key", "opens", ""}},
    {"18", {"needs-key", "opens-damaged", "TPM_NVRAM (3)"}},
    {"19", {"opens", "opens", ""}}};

class VmgsExplainGoldenTest : public ::testing::TestWithParam<GoldenImage> {};

TEST_P(VmgsExplainGoldenTest, IsRightAndSaysWhatToDo) {
  const auto& image = GetParam();
  const auto found = kExpected.find(image.file.substr(0, 2));
  ASSERT_NE(found, kExpected.end());
  const auto& expected = found->second;
  const VmgsInspector tool;
  const auto store = tool.unpacked(image);
  const auto before = VmgsInspector::content(store);
  const auto status = [](const std::string& said) {
    return said == "opens" || said == "needs-key" || said == "blank" ? 0 : kFoundProblem;
  };

  const auto locked = tool.document({"explain", store}, status(expected.verdict_locked));

  EXPECT_EQ(locked.at("schema"), "strongroom.vmgs.explain/1");
  EXPECT_EQ(verdict(locked), expected.verdict_locked);
  EXPECT_FALSE(locked.at("next").as_array().empty());
  EXPECT_EQ(locked.at("opens_it").as_array().empty(), expected.verdict_locked != "needs-key");
  auto told = locked;
  for (const auto& key : image.keys) {
    told = tool.document({"explain", store, "--key", tool.make_key("key", key)},
                         status(expected.verdict_with_key));
    EXPECT_EQ(verdict(told), expected.verdict_with_key);
    EXPECT_FALSE(told.at("next").as_array().empty());
  }
  EXPECT_THAT(sentences(told, "why"), HasSubstr(expected.word));
  for (const auto& key : image.wrong_keys) {
    const auto wrong =
        tool.document({"explain", store, "--key", tool.make_key("wrong", key)}, kFoundProblem);
    EXPECT_EQ(verdict(wrong), "wrong-key");
    EXPECT_THAT(sentences(wrong, "why"), HasSubstr("another store's key"));
  }
  EXPECT_EQ(VmgsInspector::content(store), before);
}

INSTANTIATE_TEST_SUITE_P(All, VmgsExplainGoldenTest, ::testing::ValuesIn(support::golden_images()),
                         [](const auto& image) { return test_name(image.param); });

TEST_F(VmgsExplainTest, NamesTheMachineThatOpensALockedStore) {
  const auto key = tool_.make_key("key", '5');
  const auto store = tool_.path("vm.vmgs");
  ASSERT_EQ(tool_.vmgs({"create", store, "--key", key, "--size", "64KiB"}).status, 0);
  const auto put = [&](const std::string& id, base::ByteView content) {
    const std::string_view text(reinterpret_cast<const char*>(content.data()), content.size());
    ASSERT_EQ(
        tool_.vmgs({"write", store, id, "--plaintext", "--overwrite", "--key", key}, text).status,
        0);
  };
  // The key file of an ordinary VM lies beside its store.
  EXPECT_THAT(sentences(explain(store, 0), "opens_it"), HasSubstr("FILE.key"));
  std::filesystem::copy(key, store + ".key");
  EXPECT_THAT(sentences(explain(store, 0), "next"), HasSubstr("--key " + store + ".key"));

  format::SealedKey entry;
  entry.vm_id = *format::parse_vm_id("00112233-4455-6677-8899-aabbccddeeff");
  entry.svn[7] = std::byte{209};
  entry.measurement.fill(std::byte{0xC5});
  put("SEALED_KEYS", *format::encode_sealed_keys({entry}));
  EXPECT_THAT(sentences(explain(store, 0), "opens_it"),
              AllOf(HasSubstr("00112233-4455-6677-8899-aabbccddeeff"), HasSubstr("SEV-SNP"),
                    HasSubstr("c5c5c5c5"), HasSubstr("microcode 209")));

  format::KeyProtector protector;
  protector.dek[0].fill(std::byte{0});
  std::fill_n(protector.dek[0].begin(), 40, std::byte{7});
  put("KEY_PROTECTOR", format::encode(protector));
  EXPECT_THAT(sentences(explain(store, 0), "opens_it"), HasSubstr("keybrokerd"));
  std::fill_n(protector.dek[0].begin(), 256, std::byte{7});
  put("KEY_PROTECTOR", format::encode(protector));
  EXPECT_THAT(sentences(explain(store, 0), "opens_it"), HasSubstr("RSA key of the VM's owner"));

  put("HW_KEY_PROTECTOR", format::encode(format::HwKeyProtector{.tdx = true}));
  EXPECT_THAT(sentences(explain(store, 0), "opens_it"),
              AllOf(HasSubstr("OpenHCL"), HasSubstr("TDX")));

  entry.tee_type = format::TeeType::kSimulatedSnp;
  put("SEALED_KEYS", *format::encode_sealed_keys({entry}));
  const auto simulated = explain(store, 0);
  EXPECT_THAT(sentences(simulated, "opens_it"), HasSubstr("vtpm-instance-sim"));
  EXPECT_EQ(simulated.at("provenance").at("origin"), "simulated");
}

TEST_F(VmgsExplainTest, SaysThatAnInterruptedChangeOfKeyLeavesTwo) {
  const auto store = tool_.unpacked(golden_image("03"));
  const auto key = tool_.make_key("key", golden_image("03").keys.front());

  const auto told = explain(store, 0, {"--key", key});

  EXPECT_THAT(sentences(told, "next"), HasSubstr("vmgs rekey " + store));
}

TEST_F(VmgsExplainTest, KnowsADowngradeWhenAKeyIsGiven) {
  const auto store = tool_.unpacked(golden_image("01"));

  const auto told = explain(store, kFoundProblem, {"--key", tool_.make_key("key", '5')});

  EXPECT_EQ(verdict(told), "damaged");
  EXPECT_THAT(sentences(told, "why"), HasSubstr("not encrypted"));
}

TEST_F(VmgsExplainTest, SaysOfATruncatedStoreThatItWasCut) {
  auto bytes = support::golden_bytes(golden_image("02"));
  bytes.resize(40000);
  auto told = explain(tool_.make_file("cut.vmgs", bytes), kFoundProblem);
  EXPECT_EQ(verdict(told), "damaged");
  EXPECT_THAT(sentences(told, "why"), HasSubstr("cut"));

  // On a sector's bound the tables reach past the end instead.
  bytes.resize(10 * 4096);
  told = explain(tool_.make_file("cut.vmgs", bytes), kFoundProblem);
  EXPECT_EQ(verdict(told), "damaged");
  EXPECT_THAT(sentences(told, "next"), HasSubstr("vmgs repair"));
}

TEST_F(VmgsExplainTest, KnowsWhatIsGivenByMistake) {
  const auto swtpm = VmgsInspector::content(STRONGROOM_TEST_DATA "/swtpm/tpm2-00.permall");
  const auto encrypted = VmgsInspector::content(STRONGROOM_TEST_DATA "/swtpm/encrypted.permall");
  const std::string zeros(8192, '\0');

  struct Mistake {
    std::string content;
    std::string what;
    std::string next;
  };

  const std::vector<Mistake> mistakes = {
      {"", "empty file", "vmgs create"},
      {swtpm, "swtpm", "vtpmctl adopt"},
      {encrypted, "encrypted under a key of swtpm's", "vtpmctl adopt"},
      {"vhdxfile" + zeros, "VHDX", "qemu-img convert"},
      {"QFI\xFB" + zeros, "qcow2", "qemu-img convert"},
      {"PK\x03\x04" + zeros, "ZIP", "Unpack"},
      {"just some text\n", "text", "another file"},
      {std::string(9001, '\x91'), "nothing that is known", "configuration"}};
  for (const auto& mistake : mistakes) {
    const auto told = explain(tool_.make_file("mistake", mistake.content), kFoundProblem);

    EXPECT_EQ(verdict(told), "not-a-store") << mistake.what;
    EXPECT_THAT(std::string(told.at("what").as_string().c_str()), HasSubstr(mistake.what));
    EXPECT_THAT(sentences(told, "next"), HasSubstr(mistake.next));
  }
}

TEST_F(VmgsExplainTest, KnowsAFolderAndWhatLiesInIt) {
  const auto folder = tool_.path("state");
  std::filesystem::create_directory(folder);
  EXPECT_EQ(verdict(explain(folder, kFoundProblem)), "not-a-store");
  std::filesystem::copy(STRONGROOM_TEST_DATA "/swtpm/tpm2-00.permall", folder + "/tpm2-00.permall");

  const auto told = explain(folder, kFoundProblem);

  EXPECT_THAT(std::string(told.at("what").as_string().c_str()), HasSubstr("swtpm"));
}

TEST_F(VmgsExplainTest, SaysThatThereIsNoFile) {
  const auto told = explain(tool_.path("absent"), kFoundProblem);

  EXPECT_EQ(verdict(told), "out-of-reach");
  EXPECT_EQ(told.at("what"), "no file");
}

TEST_F(VmgsExplainTest, NamesWhoHasTheFile) {
  const auto store = tool_.unpacked(golden_image("02"));
  const auto held = vmgs::storage::open_container(
      store, {.access = vmgs::storage::Access::kReadWrite, .spacing = std::nullopt});
  ASSERT_TRUE(held);

  const auto told = explain(store, kFoundProblem);

  EXPECT_EQ(verdict(told), "out-of-reach");
  EXPECT_THAT(sentences(told, "why"), HasSubstr("(process " + std::to_string(::getpid()) + ")"));
  EXPECT_THAT(sentences(told, "next"), HasSubstr("vtpmctl stop"));
}

TEST_F(VmgsExplainTest, SaysThatAFileIsClosedToThisUser) {
  if (::geteuid() == 0) {
    GTEST_SKIP() << "root may read everything";
  }
  const auto store = tool_.unpacked(golden_image("02"));
  ::chmod(store.c_str(), 0);

  const auto told = explain(store, kFoundProblem);

  EXPECT_EQ(verdict(told), "out-of-reach");
  EXPECT_THAT(sentences(told, "next"), HasSubstr("ls -l"));
}

TEST_F(VmgsExplainTest, QuotesNamesForTheShell) {
  const auto store = tool_.path("a b'c.vmgs");
  ASSERT_EQ(tool_.vmgs({"create", store, "--key", tool_.make_key("key", '5')}).status, 0);

  EXPECT_THAT(sentences(explain(store, 0), "next"), HasSubstr("a b'\\''c.vmgs'"));
}

TEST_F(VmgsExplainTest, IsTextForPeople) {
  const auto ran = tool_.vmgs({"explain", tool_.unpacked(golden_image("02"))});

  EXPECT_EQ(ran.status, 0);
  EXPECT_THAT(ran.out, AllOf(HasSubstr("What would open it"), HasSubstr("What to do next")));
}

}  // namespace
}  // namespace tests::integration
