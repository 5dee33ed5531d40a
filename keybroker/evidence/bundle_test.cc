// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "keybroker/evidence/foreign_evidence.h"
#include "tests/support/error_code.h"

namespace keybroker::evidence {
namespace {

using ::testing::HasSubstr;

// Evidence with every part that needs no certificate. Bundles do not judge what they carry.
Evidence whole_evidence() {
  Evidence evidence;
  evidence.snp_report = base::Bytes(3, std::byte{1});
  evidence.td_quote = base::Bytes(4, std::byte{2});
  evidence.hcl_report = base::Bytes(5, std::byte{3});
  evidence.extended_claims = "{}";
  evidence.ak.public_area = base::Bytes(6, std::byte{4});
  evidence.ak.certificates = {base::Bytes(7, std::byte{5}), base::Bytes(1)};
  evidence.quotes.resize(1);
  evidence.quotes[0].attest = base::Bytes(8, std::byte{6});
  evidence.quotes[0].signature = base::Bytes(9, std::byte{7});
  evidence.quotes[0].pcrs = {{0, base::Bytes(32)}, {23, base::Bytes(32, std::byte{8})}};
  evidence.event_log = base::Bytes(2 * 1024 * 1024, std::byte{9});
  evidence.cc_event_log = base::Bytes();
  return evidence;
}

std::string refusal(const std::string& text) {
  const auto evidence = decode_bundle(text);
  EXPECT_EQ(tests::support::error_code(evidence), base::ErrorCode::kCorrupt) << text;
  return evidence ? "accepted" : evidence.error().message;
}

std::string refusal_of(const std::string& members) {
  return refusal(R"({"schema":"strongroom.evidence/1",)" + members + "}");
}

TEST(BundleTest, ComesBackAsItWasWritten) {
  const auto text = *encode_bundle(whole_evidence());
  const auto read = decode_bundle(text);
  ASSERT_TRUE(read) << read.error().message;
  const auto evidence = whole_evidence();
  EXPECT_EQ(read->snp_report, evidence.snp_report);
  EXPECT_EQ(read->td_quote, evidence.td_quote);
  EXPECT_EQ(read->hcl_report, evidence.hcl_report);
  EXPECT_EQ(read->extended_claims, evidence.extended_claims);
  EXPECT_EQ(read->ak.public_area, evidence.ak.public_area);
  EXPECT_EQ(read->ak.certificates, evidence.ak.certificates);
  EXPECT_EQ(read->quotes[0].attest, evidence.quotes[0].attest);
  EXPECT_EQ(read->quotes[0].signature, evidence.quotes[0].signature);
  EXPECT_EQ(read->quotes[0].pcrs, evidence.quotes[0].pcrs);
  EXPECT_EQ(read->event_log, evidence.event_log);
  EXPECT_EQ(read->cc_event_log, evidence.cc_event_log);
  EXPECT_EQ(*encode_bundle(*read), text);
}

TEST(BundleTest, HasNoPlaceForWhatAnotherFormFixes) {
  const auto refused = [](auto change) {
    auto evidence = whole_evidence();
    change(evidence);
    return tests::support::error_code(encode_bundle(evidence)) == base::ErrorCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused([](Evidence& e) { e.td_report = base::Bytes(1024); }));
  EXPECT_TRUE(refused([](Evidence& e) { e.quotes[0].raw_rsassa_sha256 = true; }));
  EXPECT_TRUE(refused([](Evidence& e) { e.quotes[0].listed_pcrs.resize(1); }));
}

TEST(BundleTest, NamesWhatItCannotRead) {
  EXPECT_THAT(refusal("{}"), HasSubstr("schema"));
  EXPECT_THAT(refusal(R"({"schema":"strongroom.evidence/2"})"), HasSubstr("evidence/2"));
  EXPECT_THAT(refusal("[]"), HasSubstr("no object"));
  EXPECT_THAT(refusal_of(R"("hcl_report":"*")"), HasSubstr("'hcl_report' is no base64"));
  EXPECT_THAT(refusal_of(R"("hcl_report":"AA")"), HasSubstr("'hcl_report' is no base64"));
  EXPECT_THAT(refusal_of(R"("event_log":7)"), HasSubstr("event_log"));
  EXPECT_THAT(refusal_of(R"("tdx":{})"), HasSubstr("quote"));
  EXPECT_THAT(refusal_of(R"("snp":{"certificates":["AAAA"]})"), HasSubstr("evidence bundle"));
  for (const char* pcr : {"-1", "256", "07", "x", ""}) {
    EXPECT_THAT(refusal_of(R"("quotes":[{"attest":"","signature":"","pcrs":{")" + std::string(pcr) +
                           R"(":"00"}}])"),
                HasSubstr("no number of a PCR"))
        << pcr;
  }
  EXPECT_THAT(refusal_of(R"("quotes":[1])"), HasSubstr("no object"));
  EXPECT_THAT(refusal_of(R"("quotes":[1,2,3,4,5,6,7,8,9])"), HasSubstr("more than 8"));
}

// Other makers' forms are told from ours by the schema, which they lack.
TEST(BundleTest, IsNoneOfTheFormsOfOthers) {
  EXPECT_EQ(tests::support::error_code(decode_foreign_json(*encode_bundle([] {
              auto small = whole_evidence();
              small.event_log.reset();
              return small;
            }()))),
            base::ErrorCode::kNotFound);
  EXPECT_EQ(tests::support::error_code(decode_foreign_json("{}")), base::ErrorCode::kNotFound);
  EXPECT_EQ(tests::support::error_code(decode_foreign_json(R"({"report":"AA","quote":{}})")),
            base::ErrorCode::kCorrupt);
}

// V7, for a form whose lengths are 64 bits.
TEST(BincodeQuoteTest, RefusesLengthsBeyondItsEnd) {
  const auto bytes = *base::from_hex(
      "0100000000000000aa"
      "0200000000000000bbcc"
      "0000000000000000");
  const auto quote = decode_bincode_quote(bytes);
  ASSERT_TRUE(quote) << quote.error().message;
  EXPECT_TRUE(quote->raw_rsassa_sha256);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_bincode_quote(base::ByteView(bytes).first(size))) << size;
  }
  for (const std::size_t length : {0U, 9U, 19U}) {
    auto spoilt = bytes;
    for (std::size_t i = 0; i < 8; ++i) {
      spoilt[length + i] = std::byte{0xFF};
    }
    EXPECT_FALSE(decode_bincode_quote(spoilt)) << length;
  }
}

}  // namespace
}  // namespace keybroker::evidence
