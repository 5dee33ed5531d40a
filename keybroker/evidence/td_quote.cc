// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/td_quote.h"

#include <string>

#include "vmgs/base/cursor.h"

namespace keybroker::evidence {

namespace {

constexpr std::uint16_t kEcdsaP256 = 2;
constexpr std::uint32_t kTdxTeeType = 0x81;
constexpr std::uint16_t kBodyTd10 = 2;
constexpr std::uint16_t kBodyTd15 = 3;
constexpr std::uint16_t kCertificationQeReport = 6;
constexpr std::uint16_t kCertificationPckChain = 5;

auto corrupt(const std::string& why) { return base::fail(base::ErrorCode::kCorrupt, why); }

std::size_t body_bytes(TdQuoteForm form) {
  return sizeof(TdQuoteBodyLayout) +
         (form == TdQuoteForm::kV5Body15 ? sizeof(TdQuoteBody15Layout) : 0);
}

// The type and size of the body, which only version 5 has.
constexpr std::size_t kBodyDescriptorBytes = 2 + 4;

base::Result<TdQuoteForm> read_form(base::Reader& in, const TdQuoteHeaderLayout& header) {
  const auto version = header.version.value();
  if (version == 4) {
    return TdQuoteForm::kV4;
  }
  if (version != 5) {
    return corrupt("version " + std::to_string(version) + " is not known here");
  }
  TRY_ASSIGN(type, in.u16_le());
  TRY_ASSIGN(size, in.u32_le());
  if (type != kBodyTd10 && type != kBodyTd15) {
    return corrupt("body type " + std::to_string(type) + " is no TD report");
  }
  const auto form = type == kBodyTd15 ? TdQuoteForm::kV5Body15 : TdQuoteForm::kV5Body10;
  if (size != body_bytes(form)) {
    return corrupt("body type " + std::to_string(type) + " cannot have " + std::to_string(size) +
                   " bytes");
  }
  return form;
}

base::Result<void> check_header(const TdQuoteHeaderLayout& header) {
  if (header.attestation_key_type.value() != kEcdsaP256) {
    return corrupt("attestation key type " + std::to_string(header.attestation_key_type.value()) +
                   " is not ECDSA P-256");
  }
  if (header.tee_type.value() != kTdxTeeType) {
    return corrupt("TEE type " + std::to_string(header.tee_type.value()) + " is not TDX");
  }
  if (header.reserved.value() != 0) {
    return corrupt("a reserved byte of its header is not zero");
  }
  if (header.qe_vendor_id != kIntelQeVendorId) {
    return corrupt("its quoting enclave is of an unknown vendor");
  }
  return {};
}

// read_certification() expects `type`, a size, and gives that many bytes, which must be the last.
base::Result<base::ByteView> read_certification(base::Reader& in, std::uint16_t expected) {
  TRY_ASSIGN(type, in.u16_le());
  if (type != expected) {
    return corrupt("certification data has type " + std::to_string(type) + ", expected " +
                   std::to_string(expected));
  }
  TRY_ASSIGN(size, in.u32_le());
  if (size != in.remaining()) {
    return corrupt("certification data claims " + std::to_string(size) + " bytes where " +
                   std::to_string(in.remaining()) + " are");
  }
  return in.rest();
}

base::Result<void> read_qe_part(base::ByteView bytes, TdQuote& quote) {
  base::Reader in(bytes);
  TRY_ASSIGN(report, in.layout<QeReportLayout>());
  TRY_ASSIGN(signature, in.layout<P256Pair>());
  TRY_ASSIGN(auth_bytes, in.u16_le());
  TRY_ASSIGN(auth_data, in.bytes(auth_bytes));
  TRY_ASSIGN(chain, read_certification(in, kCertificationPckChain));
  quote.qe_report = report;
  quote.qe_report_signature = signature;
  quote.qe_auth_data = base::copy_of(auth_data);
  quote.pck_chain.assign(reinterpret_cast<const char*>(chain.data()), chain.size());
  return {};
}

base::Result<void> read_signature_data(base::ByteView bytes, TdQuote& quote) {
  base::Reader in(bytes);
  TRY_ASSIGN(signature, in.layout<P256Pair>());
  TRY_ASSIGN(key, in.layout<P256Pair>());
  TRY_ASSIGN(qe_part, read_certification(in, kCertificationQeReport));
  quote.signature = signature;
  quote.attestation_key = key;
  return read_qe_part(qe_part, quote);
}

base::Result<void> read_header(base::Reader& in, TdQuoteHeaderLayout& header) {
  TRY_ASSIGN(raw, in.layout<TdQuoteHeaderLayout>());
  header = raw;
  return check_header(header);
}

base::Result<void> read_body(base::Reader& in, const TdQuoteHeaderLayout& header, TdQuote& quote) {
  quote.user_data = header.user_data;
  TRY_ASSIGN(form, read_form(in, header));
  quote.form = form;
  TRY_ASSIGN(body, in.layout<TdQuoteBodyLayout>());
  quote.body = body;
  if (form == TdQuoteForm::kV5Body15) {
    TRY_ASSIGN(body_15, in.layout<TdQuoteBody15Layout>());
    quote.body_15 = body_15;
  }
  return {};
}

base::Result<void> read_signature(base::Reader& in, TdQuote& quote) {
  TRY_ASSIGN(signature_bytes, in.u32_le());
  TRY_ASSIGN(signature_data, in.bytes(signature_bytes));
  return read_signature_data(signature_data, quote);
}

ReadTdQuote malformed(Reason reason, std::string why) {
  return {std::nullopt, Finding{reason, std::move(why)}, std::nullopt};
}

}  // namespace

std::size_t TdQuote::signed_bytes() const {
  return sizeof(TdQuoteHeaderLayout) + (form == TdQuoteForm::kV4 ? 0 : kBodyDescriptorBytes) +
         body_bytes(form);
}

ReadTdQuote read_td_quote(base::ByteView bytes) {
  if (bytes.size() > kMaxTdQuoteBytes) {
    return malformed(Reason::kTdxQuoteLengths,
                     "has " + std::to_string(bytes.size()) + " bytes, at most 65536 are allowed");
  }
  base::Reader in(bytes);
  TdQuoteHeaderLayout header{};
  TdQuote quote;
  if (auto read = read_header(in, header); !read) {
    return malformed(Reason::kTdxQuoteHeader, read.error().message);
  }
  if (auto read = read_body(in, header, quote); !read) {
    return malformed(Reason::kTdxQuoteBody, read.error().message);
  }
  if (auto read = read_signature(in, quote); !read) {
    return malformed(Reason::kTdxQuoteLengths, read.error().message);
  }
  ReadTdQuote result{std::move(quote), std::nullopt, std::nullopt};
  const auto padding = in.rest();
  if (padding.size() > kMaxTdQuotePadding || !base::is_all_zero(padding)) {
    result.padding =
        Finding{Reason::kTdxQuotePadding,
                std::to_string(padding.size()) + " bytes follow it that are not its padding"};
  }
  return result;
}

base::Result<TdQuote> decode_td_quote(base::ByteView bytes) {
  auto read = read_td_quote(bytes);
  const auto& finding = read.quote ? read.padding : read.malformed;
  if (finding) {
    return base::fail(base::ErrorCode::kCorrupt, "TD quote: " + finding->detail);
  }
  return *std::move(read.quote);
}

base::Bytes encode_signed_part(const TdQuote& quote) {
  TdQuoteHeaderLayout header{};
  header.version = static_cast<std::uint16_t>(quote.form == TdQuoteForm::kV4 ? 4 : 5);
  header.attestation_key_type = kEcdsaP256;
  header.tee_type = kTdxTeeType;
  header.qe_vendor_id = kIntelQeVendorId;
  header.user_data = quote.user_data;
  base::Writer out;
  out.layout(header);
  if (quote.form != TdQuoteForm::kV4) {
    out.u16_le(quote.form == TdQuoteForm::kV5Body15 ? kBodyTd15 : kBodyTd10);
    out.u32_le(static_cast<std::uint32_t>(body_bytes(quote.form)));
  }
  out.layout(quote.body);
  if (quote.body_15) {
    out.layout(*quote.body_15);
  }
  return std::move(out).take();
}

base::Bytes encode(const TdQuote& quote) {
  base::Writer qe_part;
  qe_part.layout(quote.qe_report);
  qe_part.bytes(quote.qe_report_signature);
  qe_part.u16_le(static_cast<std::uint16_t>(quote.qe_auth_data.size()));
  qe_part.bytes(quote.qe_auth_data);
  qe_part.u16_le(kCertificationPckChain);
  qe_part.u32_le(static_cast<std::uint32_t>(quote.pck_chain.size()));
  qe_part.bytes(base::bytes_of(quote.pck_chain));

  base::Writer signature_data;
  signature_data.bytes(quote.signature);
  signature_data.bytes(quote.attestation_key);
  signature_data.u16_le(kCertificationQeReport);
  signature_data.u32_le(static_cast<std::uint32_t>(qe_part.size()));
  signature_data.bytes(qe_part.written());

  base::Writer out;
  out.bytes(encode_signed_part(quote));
  out.u32_le(static_cast<std::uint32_t>(signature_data.size()));
  out.bytes(signature_data.written());
  return std::move(out).take();
}

}  // namespace keybroker::evidence
