// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "keybroker/evidence/event_log.h"
#include "keybroker/evidence/signature_database.h"
#include "tests/integration/vmgs_case.h"
#include "tests/support/evidence_vectors.h"
#include "tests/support/skip.h"
#include "vmgs/base/bytes.h"
#include "vmgs/uefi/authenticated_update.h"
#include "vmgs/uefi/signature_list.h"

namespace tests::integration {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
namespace uefi = vmgs::uefi;
using ::testing::HasSubstr;
using ::testing::Not;

// The variables with which Debian's OVMF has Secure Boot on.
constexpr const char* kOvmf = "/usr/share/OVMF/OVMF_VARS_4M.ms.fd";

std::string text_of(base::ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string hash_list(std::uint8_t value) {
  uefi::SignatureList list;
  list.type = uefi::kSha256Signature;
  list.signature_bytes = uefi::kOwnerBytes + 32;
  list.signatures.emplace_back(list.signature_bytes, std::byte{value});
  return text_of(uefi::encode_signature_lists({list}));
}

class VmgsVariablesTest : public VmgsCase {
 protected:
  void SetUp() override {
    if (!fs::exists(kOvmf)) {
      SKIP_OUTSIDE_CI("no OVMF here (package ovmf)");
    }
    key_ = make_key("key", '5');
    store_ = file("vm.vmgs");
    ASSERT_EQ(vmgs({"create", store_, "--key", key_}).status, 0);
    ASSERT_EQ(
        vmgs({"write", store_, "UEFI_FLASH", "--key", key_, "--input", kOvmf, "--no-undo"}).status,
        0);
  }

  // A command of the group on the store, with its key.
  [[nodiscard]] std::vector<std::string> uefi_words(std::vector<std::string> words) const {
    words.insert(words.begin() + 1, store_);
    words.insert(words.begin(), "uefi");
    words.insert(words.end(), {"--key", key_});
    return words;
  }

  [[nodiscard]] support::Ran run(std::vector<std::string> words,
                                 std::string_view input = {}) const {
    return vmgs(uefi_words(std::move(words)), input);
  }

  [[nodiscard]] json::value listing() const { return document(uefi_words({"list"})); }

  // How many signatures a database has.
  [[nodiscard]] std::size_t signatures(std::string_view database) const {
    const auto list = listing();
    for (const auto& each : list.at("secure_boot").at("databases").as_array()) {
      if (std::string_view(each.at("name").as_string()) == database) {
        return each.at("signatures").as_array().size();
      }
    }
    return 0;
  }

  // A certificate with its key, DER and PEM, made by the openssl program.
  void make_signer(const std::string& name) const {
    const auto made = support::run_command(
        {"/usr/bin/openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout",
         file(name + ".key"), "-out", file(name + ".pem"), "-subj", "/CN=" + name, "-days", "2"});
    ASSERT_EQ(made.status, 0) << made.err;
    ASSERT_EQ(support::run_command({"/usr/bin/openssl", "x509", "-in", file(name + ".pem"),
                                    "-outform", "DER", "-out", file(name + ".der")})
                  .status,
              0);
  }

  [[nodiscard]] std::string certificate_list(const std::string& name) const {
    const auto der = content(file(name + ".der"));
    uefi::SignatureList list;
    list.type = uefi::kX509Signature;
    list.signature_bytes = uefi::kOwnerBytes + der.size();
    auto signature = base::Bytes(uefi::kOwnerBytes, std::byte{1});
    const auto bytes = base::bytes_of(der);
    signature.insert(signature.end(), bytes.begin(), bytes.end());
    list.signatures.push_back(std::move(signature));
    return text_of(uefi::encode_signature_lists({list}));
  }

  // A file with an update of dbx that `signer` has signed, as vendors make them.
  [[nodiscard]] std::string signed_update(const std::string& signer, std::uint8_t hash,
                                          std::uint32_t attributes) const {
    uefi::AuthenticatedUpdate update;
    update.time = {std::byte{0xeb}, std::byte{0x07}, std::byte{1}, std::byte{2}};
    update.payload = base::copy_of(base::bytes_of(hash_list(hash)));
    const auto to_sign =
        uefi::signed_content(update, uefi::kImageSecurityDatabase, u"dbx", attributes);
    const auto made = support::run_command(
        {"/usr/bin/openssl", "smime", "-sign", "-binary", "-noattr", "-md", "sha256", "-outform",
         "DER", "-in", make_file("content", text_of(to_sign)), "-signer", file(signer + ".pem"),
         "-inkey", file(signer + ".key"), "-out", file("signature")});
    EXPECT_EQ(made.status, 0) << made.err;
    update.signed_data = base::copy_of(base::bytes_of(content(file("signature"))));
    return make_file("update.bin", text_of(uefi::encode(update)));
  }

  std::string key_;
  std::string store_;
};

TEST_F(VmgsVariablesTest, SetsGetsAndDeletesVariables) {
  const auto before = content(store_);
  const std::string vendor = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
  EXPECT_EQ(run({"set", "LoaderToken", "--vendor", vendor}, "value").status, 0);
  EXPECT_EQ(content(store_), before) << "without --apply";
  ASSERT_EQ(run({"set", "LoaderToken", "--vendor", vendor, "--apply", "--no-undo"}, "value").status,
            0);

  EXPECT_EQ(run({"get", "LoaderToken"}).out, "value");
  EXPECT_EQ(run({"get", "LoaderToken", "--vendor", "EFI_GLOBAL_VARIABLE"}).status, 4);
  EXPECT_EQ(run({"set", "Fresh"}, "value").status, 2) << "whose?";
  ASSERT_EQ(run({"set", "LoaderToken", "--apply", "--no-undo"}, "other").status, 0);
  EXPECT_EQ(run({"get", "LoaderToken"}).out, "other");
  ASSERT_EQ(run({"delete", "LoaderToken", "--apply", "--no-undo"}).status, 0);
  EXPECT_EQ(run({"get", "LoaderToken"}).status, 4);
  EXPECT_EQ(run({"delete", "LoaderToken"}).status, 4);
  EXPECT_EQ(vmgs({"check", store_, "--key", key_}).status, 0);
}

TEST_F(VmgsVariablesTest, RemovesBootEntriesInOneCommit) {
  for (const auto& name : {"BootOrder", "Boot0000", "Boot000A", "BootNext"}) {
    ASSERT_EQ(run({"set", name, "--vendor", "EFI_GLOBAL_VARIABLE", "--apply", "--no-undo"},
                  std::string_view("\0\0", 2))
                  .status,
              0);
  }
  const auto sequence = document({"info", store_}).at("sequence").as_int64();

  ASSERT_EQ(run({"remove-boot-entries", "--apply", "--no-undo"}).status, 0);

  EXPECT_EQ(document({"info", store_}).at("sequence").as_int64(), sequence + 1);
  EXPECT_THAT(json::serialize(listing().at("variables")), Not(HasSubstr("\"Boot")));
  EXPECT_EQ(run({"remove-boot-entries"}).status, 4);
}

TEST_F(VmgsVariablesTest, UpdatesDbxFromListsWithoutDuplicatesAndForecastsPcr7) {
  const auto count = signatures("dbx");
  const auto list = make_file("list.esl", hash_list(1) + hash_list(2));

  const auto planned = document(uefi_words({"update", "dbx", list}));

  EXPECT_EQ(planned.at("applied"), false);
  EXPECT_EQ(planned.at("update").at("added"), 2);
  EXPECT_EQ(planned.at("update").at("signed"), false);
  const auto& forecast = planned.at("forecast");
  EXPECT_EQ(forecast.at("secure_boot_after"), "on");
  EXPECT_NE(forecast.at("pcr7_sha256_before"), forecast.at("pcr7_sha256_after"));
  const auto made = document(uefi_words({"update", "dbx", list, "--apply", "--no-undo"}));
  EXPECT_EQ(made.at("forecast").at("pcr7_sha256_after"), forecast.at("pcr7_sha256_after"));
  EXPECT_EQ(signatures("dbx"), count + 2);
  const auto again = run({"update", "dbx", list});
  EXPECT_EQ(again.status, 0);
  EXPECT_THAT(again.out, HasSubstr("2 are there already"));
  EXPECT_THAT(again.out, HasSubstr("nothing changes"));
}

// A machine of a cloud booted with Secure Boot on: its log has the variables that it measured, and
// the PCRs that it came to are published with it.
TEST_F(VmgsVariablesTest, ForecastsThePcr7OfARealBootFromItsVariables) {
  namespace evidence = keybroker::evidence;
  if (!support::has_evidence_vectors()) {
    SKIP_OUTSIDE_CI("no captured evidence in ../shared/vectors/evidence");
  }
  const auto bytes = support::read_evidence_vector("tpm/evlog-secureboot-on.bin");
  const auto log = evidence::decode_event_log(bytes);
  ASSERT_TRUE(log);
  for (const auto& event : log->events) {
    const auto variable = evidence::decode_efi_variable(event.data);
    if (event.index != 7 || event.type != evidence::EventType::kEfiVariableDriverConfig ||
        !variable || variable->plain_name() == "SecureBoot") {
      continue;
    }
    const auto from = make_file("content", text_of(variable->content));
    const auto ran =
        run({"set", std::string(variable->plain_name()), "--input", from, "--apply", "--no-undo"});
    ASSERT_EQ(ran.status, 0) << ran.err;
  }
  const auto measured = make_file("log", text_of(bytes));

  const auto planned = document(
      uefi_words({"update", "dbx", make_file("list.esl", hash_list(1)), "--event-log", measured}));

  const auto& forecast = planned.at("forecast");
  EXPECT_EQ(forecast.at("secure_boot_before"), "on");
  EXPECT_EQ(forecast.at("pcr7_sha256_before"),
            "5fd54361d580eb7592adb8deb236ff35444ceeac7148f24b3de63c041f12b3da");
  EXPECT_NE(forecast.at("pcr7_sha256_after"), forecast.at("pcr7_sha256_before"));
}

TEST_F(VmgsVariablesTest, TakesSignedUpdatesOfEnrolledKeysOnly) {
  make_signer("kek");
  make_signer("stranger");
  const auto kek = make_file("kek.esl", certificate_list("kek"));
  ASSERT_EQ(run({"update", "KEK", kek, "--apply", "--no-undo"}).status, 0);
  const auto count = signatures("dbx");

  const auto by_kek = document(
      uefi_words({"update", "dbx", signed_update("kek", 7, 0x67), "--apply", "--no-undo"}));
  EXPECT_EQ(by_kek.at("update").at("signed_by"), "CN=kek");
  EXPECT_EQ(by_kek.at("update").at("mode"), "append");
  EXPECT_EQ(signatures("dbx"), count + 1);

  const auto before = content(store_);
  const auto by_stranger = signed_update("stranger", 8, 0x67);
  EXPECT_EQ(run({"update", "dbx", by_stranger, "--apply", "--no-undo"}).status, 6);
  EXPECT_EQ(content(store_), before);
  EXPECT_EQ(run({"update", "dbx", by_stranger, "--force", "--apply", "--no-undo"}).status, 0);
  EXPECT_EQ(signatures("dbx"), count + 2);

  ASSERT_EQ(run({"update", "dbx", signed_update("kek", 9, 0x27), "--apply", "--no-undo"}).status, 5)
      << "a replacement that is no younger than the last append";
}

TEST_F(VmgsVariablesTest, RefusesListsThatFirmwareWouldNotTake) {
  make_signer("good");
  auto broken = certificate_list("good");
  broken[28 + uefi::kOwnerBytes] ^= 1;  // the first byte of the certificate
  const auto before = content(store_);

  EXPECT_EQ(run({"update", "db", make_file("broken.esl", broken), "--apply"}).status, 6);
  EXPECT_EQ(content(store_), before);
  EXPECT_EQ(run({"update", "db", make_file("good.esl", certificate_list("good"))}).status, 0);
}

TEST_F(VmgsVariablesTest, EditsNothingThatFirmwareWillOverwrite) {
  // A write of firmware's that was cut off when its spare block was whole.
  auto image = content(kOvmf);
  constexpr std::size_t kQueue = 0x41000 + 32;
  image[kQueue] = '\xfc';
  image.replace(kQueue + 24, 16, std::string("\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16));
  image[kQueue + 40] = '\xfd';
  ASSERT_EQ(vmgs({"write", store_, "UEFI_FLASH", "--overwrite", "--key", key_, "--no-undo"}, image)
                .status,
            0);

  const auto refused = run({"set", "Fresh", "--vendor", "SHIM_LOCK"}, "value");

  EXPECT_EQ(refused.status, 5);
  EXPECT_THAT(refused.err, HasSubstr("boot the VM once"));
  EXPECT_EQ(run({"list"}).status, 0);
}

TEST_F(VmgsVariablesTest, RefusesWhatHasNoRoomAndSaysSo) {
  const auto huge = make_file("huge", std::string(300 * 1024, 'x'));

  const auto refused = run({"set", "Huge", "--vendor", "SHIM_LOCK", "--input", huge});

  EXPECT_EQ(refused.status, 5);
  EXPECT_THAT(refused.err, HasSubstr("left when packed"));
}

TEST_F(VmgsVariablesTest, ExportsAndImportsEveryVariable) {
  const auto exported = file("variables.json");
  ASSERT_EQ(run({"export", "--output", exported}).status, 0);
  const auto variables = json::parse(content(exported)).at("variables").as_array().size();
  EXPECT_GT(variables, 10U);

  // Into BIOS_NVRAM of a store as Hyper-V has it, and out again.
  const auto other = file("other.vmgs");
  ASSERT_EQ(vmgs({"create", other}).status, 0);
  ASSERT_EQ(vmgs({"write", other, "BIOS_NVRAM", "--no-undo"}).status, 0);
  const auto imported = document({"uefi", "import", other, exported, "--apply", "--no-undo"});
  EXPECT_EQ(imported.at("variables_in"), 1);
  EXPECT_EQ(vmgs({"diff", store_, other, "--key", key_}).status, 3);
  EXPECT_EQ(vmgs({"uefi", "export", other}).out.size(), content(exported).size());
  EXPECT_EQ(imported.at("forecast").at("secure_boot_after"), "on");
  EXPECT_EQ(run({"import", exported}).status, 0);
  EXPECT_THAT(run({"import", exported}).out, HasSubstr("nothing changes"));
  EXPECT_EQ(run({"import", make_file("bad", "{\"variables\": [1]}")}).status, 6);
}

TEST_F(VmgsVariablesTest, EditsAFleet) {
  const auto list = make_file("list.esl", hash_list(1));
  for (const auto* const name : {"a.vm", "b.vm"}) {
    fs::copy(store_, file(name));
  }

  const auto ran = vmgs({"fleet", "--match", file("*.vm"), "uefi", "update", "{}", "dbx", list,
                         "--key", key_, "--apply", "--no-undo"});

  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("2 files: 2 done"));
  EXPECT_EQ(vmgs({"diff", file("a.vm"), file("b.vm"), "--key", key_, "--other-key", key_}).status,
            0);
  EXPECT_EQ(vmgs({"diff", file("a.vm"), store_, "--key", key_, "--other-key", key_}).status, 3);
}

}  // namespace
}  // namespace tests::integration
