// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/td_quote.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "tests/support/error_code.h"
#include "tests/support/evidence_vectors.h"

namespace keybroker::evidence {
namespace {

using ::testing::HasSubstr;

// A quote of the right shape. Each test spoils one thing about it.
TdQuote valid_quote(TdQuoteForm form = TdQuoteForm::kV4) {
  TdQuote quote;
  quote.form = form;
  quote.body.mr_td.fill(std::byte{0x11});
  if (form == TdQuoteForm::kV5Body15) {
    quote.body_15.emplace();
    quote.body_15->tee_tcb_svn2.fill(std::byte{0x22});
  }
  quote.signature.fill(std::byte{0x33});
  quote.attestation_key.fill(std::byte{0x44});
  quote.qe_report.isv_svn = 6;
  quote.qe_report_signature.fill(std::byte{0x55});
  quote.qe_auth_data = base::Bytes(32, std::byte{0x66});
  quote.pck_chain = "-----BEGIN CERTIFICATE-----";
  return quote;
}

void expect_corrupt(base::ByteView bytes, const std::string& why) {
  const auto quote = decode_td_quote(bytes);
  ASSERT_EQ(tests::support::error_code(quote), base::ErrorCode::kCorrupt) << why;
  EXPECT_THAT(quote.error().message, HasSubstr(why));
}

// Overwrites a little-endian 16-bit field of a valid quote.
void expect_corrupt_at(std::size_t offset, std::uint16_t value, const std::string& why,
                       TdQuoteForm form = TdQuoteForm::kV4) {
  auto bytes = encode(valid_quote(form));
  bytes[offset] = static_cast<std::byte>(value & 0xFF);
  bytes[offset + 1] = static_cast<std::byte>(value >> 8);
  expect_corrupt(bytes, why);
}

TEST(TdQuoteTest, RoundTripsEveryForm) {
  for (const auto form : {TdQuoteForm::kV4, TdQuoteForm::kV5Body10, TdQuoteForm::kV5Body15}) {
    const auto bytes = encode(valid_quote(form));

    const auto quote = decode_td_quote(bytes);

    ASSERT_TRUE(quote) << quote.error().message;
    EXPECT_EQ(encode(*quote), bytes);
    EXPECT_EQ(quote->form, form);
    EXPECT_EQ(quote->qe_report.isv_svn.value(), 6);
    EXPECT_EQ(quote->signed_bytes(), encode_signed_part(*quote).size());
  }
}

TEST(TdQuoteTest, SignsTheDocumentedNumberOfBytes) {
  EXPECT_EQ(valid_quote(TdQuoteForm::kV4).signed_bytes(), 632U);
  EXPECT_EQ(valid_quote(TdQuoteForm::kV5Body10).signed_bytes(), 638U);
  EXPECT_EQ(valid_quote(TdQuoteForm::kV5Body15).signed_bytes(), 702U);
}

TEST(TdQuoteTest, RejectsOtherHeaders) {
  expect_corrupt_at(0, 3, "version 3");
  expect_corrupt_at(2, 3, "attestation key type 3");
  expect_corrupt_at(4, 0, "TEE type 0");
  expect_corrupt_at(8, 1, "reserved byte");
  expect_corrupt_at(12, 0, "unknown vendor");
}

TEST(TdQuoteTest, RejectsBodiesWhoseTypeAndSizeDisagree) {
  expect_corrupt_at(48, 1, "body type 1 is no TD report", TdQuoteForm::kV5Body10);
  expect_corrupt_at(48, 3, "body type 3 cannot have 584", TdQuoteForm::kV5Body10);
  expect_corrupt_at(48, 2, "body type 2 cannot have 648", TdQuoteForm::kV5Body15);
  expect_corrupt_at(50, 585, "cannot have 585", TdQuoteForm::kV5Body10);
}

TEST(TdQuoteTest, RejectsLengthsThatDoNotMeet) {
  const std::size_t outer = 632 + 4 + 128;  // certification data type 6
  const std::size_t inner = outer + 6 + 384 + 64 + 2 + 32;
  expect_corrupt_at(outer, 5, "type 5, expected 6");
  expect_corrupt_at(inner, 6, "type 6, expected 5");
  for (const int off : {-1, 1}) {
    const auto size = [&](int right) { return static_cast<std::uint16_t>(right + off); };
    expect_corrupt_at(outer + 2, size(384 + 64 + 2 + 32 + 6 + 27), "certification data claims");
    expect_corrupt_at(inner + 2, size(27), "certification data claims");
  }
  expect_corrupt_at(632 + 2, 0xFFFF, "TD quote: needs");
  expect_corrupt_at(inner - 34, 0xFFFF, "TD quote: needs");
}

TEST(TdQuoteTest, RejectsEveryCut) {
  const auto bytes = encode(valid_quote(TdQuoteForm::kV5Body15));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(tests::support::error_code(decode_td_quote(base::ByteView(bytes).first(size))),
              base::ErrorCode::kCorrupt)
        << size;
  }
}

TEST(TdQuoteTest, AllowsOnlyZeroPaddingUpToItsCap) {
  auto bytes = encode(valid_quote());
  bytes.resize(bytes.size() + kMaxTdQuotePadding);
  EXPECT_TRUE(decode_td_quote(bytes));

  bytes.back() = std::byte{1};
  expect_corrupt(bytes, "not its padding");
  bytes.back() = std::byte{0};
  bytes.push_back(std::byte{0});
  expect_corrupt(bytes, "not its padding");

  expect_corrupt(base::Bytes(kMaxTdQuoteBytes + 1), "at most 65536");
}

using TdQuoteVectorsTest = tests::support::EvidenceVectors;

TEST_F(TdQuoteVectorsTest, HaveTheFieldsOfTheirManifest) {
  const auto text = tests::support::read_evidence_vector("manifest.json");
  const auto manifest =
      boost::json::parse({reinterpret_cast<const char*>(text.data()), text.size()});
  std::size_t seen = 0;
  for (const auto& item : manifest.at("items").as_array()) {
    if (item.at("tee") != "tdx" || item.at("kind") != "quote") {
      continue;
    }
    SCOPED_TRACE(item.at("id").as_string().c_str());
    const auto& expected = item.at("expected_fields");
    const auto bytes =
        tests::support::read_evidence_vector(std::string(item.at("files").at("quote").as_string()));

    const auto quote = decode_td_quote(bytes);

    if (!expected.at("trailing_all_zero").as_bool()) {
      EXPECT_EQ(tests::support::error_code(quote), base::ErrorCode::kCorrupt);
      continue;
    }
    ++seen;
    ASSERT_TRUE(quote) << quote.error().message;
    const auto& body = quote->body;
    const auto expect_hex = [&](const char* name, base::ByteView value) {
      EXPECT_EQ(base::to_hex(value), expected.at(name).as_string()) << name;
    };
    expect_hex("user_data", quote->user_data);
    expect_hex("tee_tcb_svn", body.tee_tcb_svn);
    expect_hex("mr_seam", body.mr_seam);
    expect_hex("mrsigner_seam", body.mr_signer_seam);
    expect_hex("seam_attributes", base::view(body.seam_attributes));
    expect_hex("td_attributes", base::view(body.attributes));
    expect_hex("xfam", base::view(body.xfam));
    expect_hex("mr_td", body.mr_td);
    expect_hex("mr_config_id", body.mr_config_id);
    expect_hex("mr_owner", body.mr_owner);
    expect_hex("mr_owner_config", body.mr_owner_config);
    expect_hex("rtmr0", body.rtmr[0]);
    expect_hex("rtmr3", body.rtmr[3]);
    expect_hex("report_data", body.report_data);
    if (quote->body_15) {
      expect_hex("tee_tcb_svn2", quote->body_15->tee_tcb_svn2);
      expect_hex("mr_servicetd", quote->body_15->mr_service_td);
    }
    const auto& qe = expected.at("qe");
    EXPECT_EQ(base::to_hex(quote->qe_report.mr_signer), qe.at("mrsigner").as_string());
    EXPECT_EQ(base::to_hex(quote->qe_report.mr_enclave), qe.at("mrenclave").as_string());
    EXPECT_EQ(base::to_hex(quote->qe_report.report_data), qe.at("report_data").as_string());
    EXPECT_EQ(quote->qe_report.isv_svn.value(), qe.at("svn").to_number<int>());
    EXPECT_EQ(quote->signed_bytes(), expected.at("signed_bytes").to_number<std::size_t>());
    EXPECT_TRUE(quote->pck_chain.starts_with("-----BEGIN CERTIFICATE-----"));
  }
  EXPECT_GE(seen, 3U);
}

}  // namespace
}  // namespace keybroker::evidence
