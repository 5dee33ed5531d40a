// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/vmgs_inspector.h"
#include "vmgs/base/cursor.h"
#include "vmgs/format/hw_key_protector.h"
#include "vmgs/format/record.h"
#include "vmgs/format/sealed_keys.h"
#include "vmgs/format/swtpm_blob.h"
#include "vmgs/format/tpm_state.h"

namespace tests::integration {
namespace {

namespace format = ::vmgs::format;
using support::golden_image;
using support::GoldenImage;
using support::GoldenOutcome;
using ::testing::HasSubstr;
using ::testing::Not;

class VmgsShowTest : public ::testing::Test {
 protected:
  // A store with one file in plaintext.
  std::string store_with(const std::string& id, base::ByteView content) {
    const auto store = tool_.path("show.vmgs");
    std::filesystem::remove(store);
    EXPECT_EQ(tool_.vmgs({"create", store, "--size", "1MiB"}).status, 0);
    const std::string_view text(reinterpret_cast<const char*>(content.data()), content.size());
    EXPECT_EQ(tool_.vmgs({"write", store, id}, text).status, 0);
    return store;
  }

  static std::string data(const std::string& name) {
    return VmgsInspector::content(STRONGROOM_TEST_DATA "/swtpm/" + name);
  }

  VmgsInspector tool_;
};

class VmgsShowGoldenTest : public ::testing::TestWithParam<GoldenImage> {};

// Whatever the files of the images hold, mostly noise, each is told of, and none ends the program;
// of an image that does not open it is said why.
TEST_P(VmgsShowGoldenTest, SaysSomethingOfEachFileThatReads) {
  const auto& image = GetParam();
  const VmgsInspector tool;
  const auto store = tool.unpacked(image);
  if (image.outcome != GoldenOutcome::kOpens) {
    const auto refused = tool.vmgs({"show", store, "3"});
    EXPECT_GE(refused.status, 3);
    EXPECT_THAT(refused.err, Not(::testing::IsEmpty()));
    return;
  }
  for (const auto& file : image.files) {
    std::vector<std::string> show = {"show", store, std::to_string(format::index(file.id))};
    if (!image.keys.empty()) {
      show.insert(show.end(), {"--key", tool.make_key("key", image.keys.front())});
    }
    EXPECT_EQ(tool.vmgs(show).status, file.readable ? 0 : 6) << format::describe(file.id);
    if (file.readable) {
      const auto shown = tool.document(show);
      EXPECT_EQ(shown.at("schema"), "strongroom.vmgs.show/1");
      EXPECT_EQ(std::string(shown.at("sha256").as_string().c_str()), file.sha256);
      EXPECT_EQ(shown.at("verified"), file.encrypted);
      EXPECT_EQ(shown.at("provenance").at("origin"), "foreign");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, VmgsShowGoldenTest, ::testing::ValuesIn(support::golden_images()),
                         [](const auto& image) { return test_name(image.param); });

TEST_F(VmgsShowTest, DescribesATpmOfOurs) {
  const auto file = data("tpm2-00.permall");
  const auto swtpm = format::decode_swtpm_blob(base::bytes_of(file));
  ASSERT_TRUE(swtpm);
  format::TpmState state;
  state.libtpms_version = 0x000902;
  state.vm_id = *format::parse_vm_id("00112233-4455-6677-8899-aabbccddeeff");
  state.seed_protection = format::SeedProtection::kHost;
  state.blob = swtpm->state;
  const auto store = store_with("TPM_NVRAM", format::encode_tpm_state(state).expose());

  const auto shown = tool_.document({"show", store, "TPM_NVRAM"});

  EXPECT_EQ(shown.at("provenance").at("origin"), "ours");
  EXPECT_EQ(shown.at("verified"), false);
  EXPECT_TRUE(shown.at("trouble").is_null());
  const auto& content = shown.at("content");
  EXPECT_EQ(content.at("form"), "ours");
  EXPECT_EQ(content.at("vm_id"), "00112233-4455-6677-8899-aabbccddeeff");
  EXPECT_EQ(content.at("libtpms"), "0.9.2");
  EXPECT_EQ(content.at("seeds_were_protected_by"), "a key of the host");
  EXPECT_EQ(content.at("lockout").at("max_tries"), 3);
  EXPECT_EQ(content.at("pcr_banks").at(1).at("bank"), "sha256");
  EXPECT_EQ(content.at("nv_indices").at(0).at("index"), "0x01500016");
  EXPECT_EQ(content.at("nv_indices").at(0).at("attributes"),
            "ownerwrite ownerread authread written");
  // What an index holds may be a secret; only a certificate is shown.
  EXPECT_THAT(tool_.vmgs({"show", store, "TPM_NVRAM"}).out, Not(HasSubstr("state from swtpm")));
}

TEST_F(VmgsShowTest, KnowsTheFormsOfOthers) {
  const auto form = [&](base::ByteView content) {
    const auto store = store_with("TPM_NVRAM", content);
    return tool_.document({"show", store, "TPM_NVRAM"}).at("content").at("form");
  };
  const auto swtpm = data("tpm2-00.permall");
  EXPECT_EQ(form(base::bytes_of(swtpm)), "swtpm");
  EXPECT_EQ(form(format::decode_swtpm_blob(base::bytes_of(swtpm))->state), "libtpms");
  const auto encrypted = data("encrypted.permall");
  EXPECT_EQ(form(base::bytes_of(encrypted)), "swtpm-encrypted");
  EXPECT_EQ(form(base::bytes_of("random")), "unknown");

  // The image of the reference TPM: one NV index, then the end.
  base::Bytes image(32768);
  const auto record = *base::from_hex("0C0000000200C00101020304");
  std::ranges::copy(record, image.begin() + 3508);
  const auto store = store_with("TPM_NVRAM", image);
  const auto shown = tool_.document({"show", store, "TPM_NVRAM"});
  EXPECT_EQ(shown.at("content").at("form"), "reference-image");
  EXPECT_EQ(shown.at("content").at("records").at(0).at("handle"), "0x01c00002");
}

TEST_F(VmgsShowTest, TellsWhichHardwareOpensAStoreAndAtWhichTcb) {
  format::SealedKey entry;
  entry.tee_type = format::TeeType::kSimulatedSnp;
  entry.svn[0] = std::byte{3};
  entry.svn[6] = std::byte{8};
  entry.svn[7] = std::byte{115};
  auto store = store_with("SEALED_KEYS", *format::encode_sealed_keys({entry}));
  auto shown = tool_.document({"show", store, "48"});
  EXPECT_EQ(shown.at("provenance").at("origin"), "simulated");
  EXPECT_EQ(shown.at("content").at("entries").at(0).at("tcb"),
            "bootloader 3, TEE 0, SNP 8, microcode 115");

  format::HwKeyProtector foreign;
  foreign.tdx = true;
  store = store_with("HW_KEY_PROTECTOR", format::encode(foreign));
  shown = tool_.document({"show", store, "HW_KEY_PROTECTOR"});
  EXPECT_EQ(shown.at("content").at("tee"), "TDX");
  EXPECT_EQ(shown.at("provenance").at("origin"), "foreign");
}

TEST_F(VmgsShowTest, DescribesARecord) {
  format::Record record;
  record.epoch = 7;
  record.pending = format::Anchor{.epoch = 7, .sequence = 41, .digest = {}};
  const auto store = store_with("RECORD", format::encode_record(record));

  const auto shown = tool_.document({"show", store, "RECORD"});

  EXPECT_EQ(shown.at("content").at("witnessed"), true);
  EXPECT_EQ(shown.at("content").at("pending").at("sequence"), 41);
  EXPECT_TRUE(shown.at("content").at("acknowledged").is_null());
}

// TCG PC Client Platform Firmware Profile, 10.4.5.1: what the first event of a log says of it.
void put_log_header(base::Writer& log) {
  log.u32_le(0);
  log.u32_le(3);  // EV_NO_ACTION
  log.bytes(base::Bytes(20));
  log.u32_le(33);
  log.bytes(base::bytes_of(std::string_view("Spec ID Event03\0", 16)));
  log.u32_le(0);
  log.u16_be(2);
  log.u16_be(2);
  log.u32_le(1);
  log.u16_le(0x000B);  // SHA-256
  log.u16_le(32);
  log.u8(0);
}

TEST_F(VmgsShowTest, KnowsAnEventLogByItsContent) {
  base::Writer log;
  put_log_header(log);
  log.u32_le(7);
  log.u32_le(4);  // EV_SEPARATOR
  log.u32_le(1);
  log.u16_le(0x000B);
  log.bytes(base::Bytes(32, std::byte{0xAB}));
  log.u32_le(4);
  log.u32_le(0);
  const auto store = store_with("20", log.written());

  const auto shown = tool_.document({"show", store, "20"});

  const auto& content = shown.at("content");
  ASSERT_EQ(content.at("events").as_array().size(), 1U);
  EXPECT_EQ(content.at("events").at(0).at("pcr"), 7);
  EXPECT_EQ(content.at("events").at(0).at("type"), "EV_SEPARATOR");
  EXPECT_EQ(content.at("banks"), boost::json::array({"sha256"}));
  EXPECT_THAT(std::string(shown.at("summary").as_string()), HasSubstr("event log of 1 events"));

  // One that was cut says so.
  const auto cut = store_with("20", base::ByteView(log.written()).first(log.size() - 1));
  EXPECT_TRUE(tool_.document({"show", cut, "20"}).at("trouble").is_string());
}

TEST_F(VmgsShowTest, SaysWhatIsWrongWithAContentAndGoesOn) {
  const auto store = store_with("RECORD", base::bytes_of("no record"));

  const auto shown = tool_.document({"show", store, "RECORD"});

  EXPECT_TRUE(shown.at("trouble").is_string());
}

TEST_F(VmgsShowTest, ShowsTheGenerationBefore) {
  const auto store = store_with("ATTEST", base::bytes_of("older"));
  ASSERT_EQ(tool_.vmgs({"write", store, "ATTEST", "--overwrite"}, "newer and longer").status, 0);

  EXPECT_EQ(tool_.document({"show", store, "ATTEST"}).at("size_bytes"), 16);
  EXPECT_EQ(tool_.document({"show", store, "ATTEST", "--previous"}).at("size_bytes"), 5);
}

TEST_F(VmgsShowTest, LetsNoContentIntoTheTerminal) {
  const auto store =
      store_with("PROVISIONING_MARKER", base::bytes_of(R"({"provisioner":"\u001b[31mred"})"));

  const auto ran = tool_.vmgs({"show", store, "PROVISIONING_MARKER"});

  EXPECT_EQ(ran.status, 0);
  EXPECT_THAT(ran.out, Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace tests::integration
