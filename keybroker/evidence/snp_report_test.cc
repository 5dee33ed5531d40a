// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/snp_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "tests/support/error_code.h"
#include "tests/support/evidence_vectors.h"

namespace keybroker::evidence {
namespace {

using ::testing::HasSubstr;

// A report that the format accepts. Each test spoils one thing about it.
SnpReportLayout valid_report(std::uint32_t version = 5) {
  SnpReportLayout raw{};
  raw.version = version;
  raw.policy = 0x30000;
  raw.signature_algorithm = kEcdsaP384Sha384;
  raw.measurement.fill(std::byte{0x11});
  if (version >= 3) {
    raw.cpuid_family = 0x19;
    raw.cpuid_model = 0x11;
    raw.cpuid_stepping = 1;
  }
  if (version >= 5) {
    raw.launch_mitigations = 1;
    raw.current_mitigations = 2;
  }
  return raw;
}

void expect_corrupt(const SnpReportLayout& raw, const std::string& why) {
  const auto report = decode_snp_report(base::view(raw));
  ASSERT_EQ(tests::support::error_code(report), base::ErrorCode::kCorrupt) << why;
  EXPECT_THAT(report.error().message, HasSubstr(why));
}

TEST(SnpReportTest, AcceptsVersions2To5) {
  for (std::uint32_t version = 2; version <= 5; ++version) {
    const auto raw = valid_report(version);
    const auto report = decode_snp_report(base::view(raw));
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->cpu.has_value(), version >= 3);
    EXPECT_EQ(report->current_mitigations, version >= 5 ? 2U : 0U);
  }
  expect_corrupt(valid_report(1), "version 1 is not known");
  expect_corrupt(valid_report(6), "version 6 is not known");
}

TEST(SnpReportTest, ReadsTurinFromItsCpuFamily) {
  auto raw = valid_report();
  EXPECT_EQ(decode_snp_report(base::view(raw))->tcb_form(), TcbForm::kMilanGenoa);
  raw.cpuid_family = 0x1A;
  EXPECT_EQ(decode_snp_report(base::view(raw))->tcb_form(), TcbForm::kTurin);

  const auto version_2 = valid_report(2);
  EXPECT_EQ(decode_snp_report(base::view(version_2))->tcb_form(), TcbForm::kMilanGenoa);
}

TEST(SnpReportTest, RejectsEverySizeButItsOwn) {
  const auto raw = valid_report();
  base::Bytes bytes = base::copy_of(base::view(raw));
  bytes.push_back(std::byte{0});

  EXPECT_FALSE(decode_snp_report({}));
  EXPECT_FALSE(decode_snp_report(base::ByteView(bytes).first(kSnpReportBytes - 1)));
  EXPECT_FALSE(decode_snp_report(bytes));
}

TEST(SnpReportTest, RejectsEachReservedByteThatIsNotZero) {
  // Offsets of the format's table: every one of them, first and last byte.
  for (const std::size_t offset : {0x4CU, 0x4FU, 0x18BU, 0x19FU, 0x1EBU, 0x1EFU, 0x208U, 0x29FU}) {
    auto bytes = base::copy_of(base::view(valid_report()));
    bytes[offset] = std::byte{1};
    const auto report = decode_snp_report(bytes);
    ASSERT_EQ(tests::support::error_code(report), base::ErrorCode::kCorrupt) << offset;
    EXPECT_THAT(report.error().message, HasSubstr("reserved byte"));
  }
}

TEST(SnpReportTest, RejectsFieldsOfALaterVersion) {
  auto raw = valid_report(2);
  raw.cpuid_model = 1;
  expect_corrupt(raw, "version 2 names a CPU");

  raw = valid_report(4);
  raw.launch_mitigations = 1;
  expect_corrupt(raw, "mitigation vector before version 5");
}

TEST(SnpReportTest, RejectsASignatureLongerThanP384) {
  // The last byte that may be used, then the first that may not, of R and of S.
  for (const std::size_t start : {0x2A0U, 0x2E8U}) {
    auto bytes = base::copy_of(base::view(valid_report()));
    bytes[start + 47] = std::byte{1};
    EXPECT_TRUE(decode_snp_report(bytes));
    bytes[start + 48] = std::byte{1};
    EXPECT_EQ(tests::support::error_code(decode_snp_report(bytes)), base::ErrorCode::kCorrupt);
  }
  auto bytes = base::copy_of(base::view(valid_report()));
  bytes[0x330] = std::byte{1};
  EXPECT_EQ(tests::support::error_code(decode_snp_report(bytes)), base::ErrorCode::kCorrupt);
}

TEST(SnpReportTest, RejectsOtherAlgorithmsKeysAndPolicies) {
  auto raw = valid_report();
  raw.signature_algorithm = 2;
  expect_corrupt(raw, "signature algorithm 2");

  raw = valid_report();
  raw.policy = 0x10000;
  expect_corrupt(raw, "bit 17");

  raw = valid_report();
  raw.policy = 0x30000 | 1ULL << 26;
  expect_corrupt(raw, "reserved bit of its guest policy");

  raw = valid_report();
  raw.vmpl = 3;
  EXPECT_TRUE(decode_snp_report(base::view(raw)));
  raw.vmpl = 4;
  expect_corrupt(raw, "VMPL 4");

  raw = valid_report();
  raw.key_info = 1U << 5;
  expect_corrupt(raw, "key info");

  raw = valid_report();
  raw.key_info = 2U << 2;
  expect_corrupt(raw, "unknown signing key 2");
}

TEST(SnpReportTest, ReadsItsKeyInfo) {
  auto raw = valid_report();
  raw.key_info = (1U << 2) | 1U;
  EXPECT_EQ(decode_snp_report(base::view(raw))->signing_key, SnpSigningKey::kVlek);
  EXPECT_TRUE(decode_snp_report(base::view(raw))->author_key_enabled);

  raw.key_info = (7U << 2) | 2U;
  EXPECT_EQ(decode_snp_report(base::view(raw))->signing_key, SnpSigningKey::kNone);
  EXPECT_TRUE(decode_snp_report(base::view(raw))->chip_key_masked);
}

using SnpReportVectorsTest = tests::support::EvidenceVectors;

std::string hex_of_tcb(const RawTcb& raw) { return base::to_hex(raw); }

TEST_F(SnpReportVectorsTest, HaveTheFieldsOfTheirManifest) {
  const auto text = tests::support::read_evidence_vector("manifest.json");
  const auto manifest =
      boost::json::parse({reinterpret_cast<const char*>(text.data()), text.size()});
  std::size_t seen = 0;
  for (const auto& item : manifest.at("items").as_array()) {
    if (item.at("tee") != "snp" || item.at("kind") != "report") {
      continue;
    }
    SCOPED_TRACE(item.at("id").as_string().c_str());
    ++seen;
    const auto& expected = item.at("expected_fields");
    const auto field = [&](const char* name) { return std::string(expected.at(name).as_string()); };
    const auto bytes = tests::support::read_evidence_vector(
        std::string(item.at("files").at("report").as_string()));

    const auto report = decode_snp_report(bytes);

    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->version, expected.at("version").to_number<std::uint32_t>());
    EXPECT_EQ(report->guest_svn, expected.at("guest_svn").to_number<std::uint32_t>());
    EXPECT_EQ(report->policy, std::stoull(field("policy"), nullptr, 16));
    EXPECT_EQ(report->vmpl, expected.at("vmpl").to_number<std::uint32_t>());
    EXPECT_EQ(report->platform_info, std::stoull(field("platform_info"), nullptr, 16));
    EXPECT_EQ(report->debug(), expected.at("policy_decoded").at("debug").as_bool());
    EXPECT_EQ(base::to_hex(report->family_id), field("family_id"));
    EXPECT_EQ(base::to_hex(report->image_id), field("image_id"));
    EXPECT_EQ(base::to_hex(report->report_data), field("report_data"));
    EXPECT_EQ(base::to_hex(report->measurement), field("measurement"));
    EXPECT_EQ(base::to_hex(report->host_data), field("host_data"));
    EXPECT_EQ(base::to_hex(report->id_key_digest), field("id_key_digest"));
    EXPECT_EQ(base::to_hex(report->author_key_digest), field("author_key_digest"));
    EXPECT_EQ(base::to_hex(report->report_id), field("report_id"));
    EXPECT_EQ(base::to_hex(report->report_id_ma), field("report_id_ma"));
    EXPECT_EQ(base::to_hex(report->chip_id), field("chip_id"));
    EXPECT_EQ(report->signing_key,
              item.at("signing_key") == "VLEK" ? SnpSigningKey::kVlek : SnpSigningKey::kVcek);
    const auto expect_tcb = [&](const char* name, const RawTcb& raw) {
      const auto& tcb = expected.at(name);
      const auto component = [&](const char* part) {
        return tcb.at(part).to_number<std::uint8_t>();
      };
      EXPECT_EQ(hex_of_tcb(raw), tcb.at("raw_le_hex").as_string()) << name;
      EXPECT_EQ(decode_tcb(raw, report->tcb_form()),
                (TcbVersion{.boot_loader = component("bootloader"),
                            .tee = component("tee"),
                            .snp = component("snp"),
                            .microcode = component("microcode")}))
          << name;
    };
    expect_tcb("current_tcb", report->current_tcb);
    expect_tcb("reported_tcb", report->reported_tcb);
    expect_tcb("committed_tcb", report->committed_tcb);
    expect_tcb("launch_tcb", report->launch_tcb);
  }
  EXPECT_GE(seen, 5U);
}

}  // namespace
}  // namespace keybroker::evidence
