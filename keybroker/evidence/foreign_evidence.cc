// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/foreign_evidence.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <charconv>

#include "keybroker/protocol/strict_json.h"
#include "vmgs/base/cursor.h"
#include "vmgs/crypto/base64.h"

namespace keybroker::evidence {

namespace {

namespace json = boost::json;
using protocol::array_member;
using protocol::object_member;
using protocol::text_member;

constexpr std::size_t kMostPcrs = 32;

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "evidence: " + why);
}

// Base64 of either alphabet, with its padding or without.
base::Result<base::Bytes> any_base64(std::string_view text) {
  std::string url(text.substr(0, text.find_last_not_of('=') + 1));
  std::ranges::replace(url, '+', '-');
  std::ranges::replace(url, '/', '_');
  if (text.size() - url.size() > 2) {
    return corrupt("it is no base64");
  }
  return ::vmgs::crypto::decode_base64(url, ::vmgs::crypto::Base64::kUrl);
}

base::Result<base::Bytes> bytes_of_numbers(const json::array& array) {
  base::Bytes bytes;
  for (const auto& value : array) {
    json::error_code error;
    const auto number = value.is_double() ? 256 : value.to_number<std::uint64_t>(error);
    if (!value.is_number() || error || number > 255) {
      return corrupt("an array of bytes has something that is none");
    }
    bytes.push_back(static_cast<std::byte>(number));
  }
  return bytes;
}

enum class TextForm { kHex, kBase64 };

// bytes_in() reads bytes as an array of numbers or as text of one form, which the document fixes.
base::Result<base::Bytes> bytes_in(const json::value& value, TextForm form) {
  if (value.is_array()) {
    return bytes_of_numbers(value.get_array());
  }
  if (!value.is_string()) {
    return corrupt("bytes are neither text nor an array");
  }
  const std::string_view text(value.get_string());
  return form == TextForm::kHex ? base::from_hex(text) : any_base64(text);
}

base::Result<base::Bytes> bytes_member(const json::object& object, std::string_view name,
                                       TextForm form) {
  const auto* value = object.if_contains(name);
  if (value == nullptr) {
    return corrupt("'" + std::string(name) + "' is missing");
  }
  auto bytes = bytes_in(*value, form);
  return bytes ? std::move(bytes) : corrupt("'" + std::string(name) + "' cannot be read");
}

base::Result<QuoteEvidence> read_listed_quote(const json::object& object, TextForm form) {
  QuoteEvidence quote;
  TRY_ASSIGN(signature, bytes_member(object, "signature", form));
  TRY_ASSIGN(message, bytes_member(object, "message", form));
  TRY_ASSIGN(pcrs, array_member(object, "pcrs"));
  if (pcrs->size() > kMostPcrs) {
    return corrupt("it has more than 32 PCRs");
  }
  quote.signature = std::move(signature);
  quote.attest = std::move(message);
  quote.raw_rsassa_sha256 = form == TextForm::kHex;
  for (const auto& value : *pcrs) {
    TRY_ASSIGN(pcr, bytes_in(value, TextForm::kHex));
    quote.listed_pcrs.push_back(std::move(pcr));
  }
  return quote;
}

base::Result<void> read_vcek(const json::object& object, Evidence& evidence) {
  const auto* value = object.if_contains("vcek");
  if (value == nullptr) {
    return {};
  }
  if (value->is_string() && std::string_view(value->get_string()).starts_with("-----BEGIN")) {
    TRY_ASSIGN(chain, crypto::decode_pem_certificates(value->get_string(), 3));
    evidence.snp_certificates = std::move(chain);
    return {};
  }
  TRY_ASSIGN(der, bytes_in(*value, TextForm::kBase64));
  TRY_ASSIGN(certificate, crypto::Certificate::decode(der));
  evidence.snp_certificates = {std::move(certificate)};
  return {};
}

base::Result<Evidence> read_azure(const json::object& object) {
  Evidence evidence;
  const bool newer = object.contains("tpm_quote");
  TRY_ASSIGN(quote_object, object_member(object, newer ? "tpm_quote" : "quote"));
  TRY_ASSIGN(quote, read_listed_quote(*quote_object, TextForm::kHex));
  evidence.quotes.push_back(std::move(quote));
  TRY_ASSIGN(hcl_report,
             bytes_member(object, object.contains("hcl_report") ? "hcl_report" : "report",
                          TextForm::kBase64));
  evidence.hcl_report = std::move(hcl_report);
  TRY(read_vcek(object, evidence));
  if (object.contains("td_quote")) {
    TRY_ASSIGN(td_quote, bytes_member(object, "td_quote", TextForm::kBase64));
    evidence.td_quote = std::move(td_quote);
  }
  return evidence;
}

base::Result<QuoteEvidence> read_numbered_quote(const json::value& value) {
  if (!value.is_object()) {
    return corrupt("a quote is no object");
  }
  const auto& object = value.get_object();
  QuoteEvidence quote;
  TRY_ASSIGN(attest, bytes_member(object, "attest_hex", TextForm::kHex));
  TRY_ASSIGN(signature, bytes_member(object, "tpmt_signature_hex", TextForm::kHex));
  TRY_ASSIGN(pcrs, object_member(object, "pcrs"));
  quote.attest = std::move(attest);
  quote.signature = std::move(signature);
  for (const auto& member : *pcrs) {
    const std::string_view key(member.key());
    unsigned index = 256;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), index);
    if (error != std::errc() || end != key.data() + key.size() || index > 255) {
      return corrupt("a PCR has no number");
    }
    TRY_ASSIGN(pcr, bytes_in(member.value(), TextForm::kHex));
    quote.pcrs[static_cast<std::uint8_t>(index)] = std::move(pcr);
  }
  return quote;
}

base::Result<Evidence> read_numbered_quotes(const json::object& object) {
  Evidence evidence;
  TRY_ASSIGN(public_area, bytes_member(object, "ak_tpmt_public_hex", TextForm::kHex));
  TRY_ASSIGN(quotes, array_member(object, "quotes"));
  evidence.ak.public_area = std::move(public_area);
  for (const auto& value : *quotes) {
    TRY_ASSIGN(quote, read_numbered_quote(value));
    evidence.quotes.push_back(std::move(quote));
  }
  return evidence;
}

base::Result<Evidence> read_bare_tpm(const json::object& object) {
  Evidence evidence;
  TRY_ASSIGN(spki, bytes_member(object, "ak_public", TextForm::kBase64));
  TRY_ASSIGN(key, crypto::PublicKey::from_spki(spki));
  TRY_ASSIGN(quote_object, object_member(object, "tpm_quote"));
  TRY_ASSIGN(quote, read_listed_quote(*quote_object, TextForm::kBase64));
  evidence.ak.bare_key = std::move(key);
  evidence.quotes.push_back(std::move(quote));
  return evidence;
}

base::Result<base::ByteView> read_sized(base::Reader& in) {
  TRY_ASSIGN(size, in.u64_le());
  if (size > in.remaining()) {
    return corrupt("a length of the quote lies beyond its end");
  }
  return in.bytes(static_cast<std::size_t>(size));
}

}  // namespace

base::Result<Evidence> decode_foreign_json(std::string_view text) {
  TRY_ASSIGN(value, protocol::parse_json(text, kMaxEvidenceBytes));
  // A document with a schema says itself what it is.
  if (value.is_object() && !value.get_object().contains("schema")) {
    const auto& object = value.get_object();
    if (object.contains("ak_tpmt_public_hex")) {
      return read_numbered_quotes(object);
    }
    if (object.contains("ak_public") && object.contains("tpm_quote")) {
      return read_bare_tpm(object);
    }
    if (object.contains("hcl_report") || object.contains("report")) {
      return read_azure(object);
    }
    if (object.contains("message") && object.contains("signature")) {
      Evidence evidence;
      TRY_ASSIGN(quote, read_listed_quote(object, TextForm::kHex));
      evidence.quotes.push_back(std::move(quote));
      return evidence;
    }
  }
  return base::fail(base::ErrorCode::kNotFound, "evidence: this JSON document is none");
}

base::Result<QuoteEvidence> decode_bincode_quote(base::ByteView bytes) {
  base::Reader in(bytes);
  QuoteEvidence quote;
  TRY_ASSIGN(signature, read_sized(in));
  TRY_ASSIGN(attest, read_sized(in));
  TRY_ASSIGN(count, in.u64_le());
  if (count > kMostPcrs) {
    return corrupt("the quote has more than 32 PCRs");
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    TRY_ASSIGN(pcr, in.bytes(32));
    quote.listed_pcrs.push_back(base::copy_of(pcr));
  }
  TRY(in.expect_end());
  quote.signature = base::copy_of(signature);
  quote.attest = base::copy_of(attest);
  quote.raw_rsassa_sha256 = true;
  return quote;
}

}  // namespace keybroker::evidence
