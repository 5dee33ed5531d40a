// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/bundle.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>

#include "keybroker/evidence/snp_chain.h"
#include "keybroker/protocol/strict_json.h"
#include "vmgs/crypto/base64.h"

namespace keybroker::evidence {

namespace {

namespace json = boost::json;
using protocol::array_member;
using protocol::object_member;
using protocol::text_member;
using ::vmgs::crypto::Base64;

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "evidence bundle: " + why);
}

base::Result<base::Bytes> decode_text(std::string_view text, std::string_view what) {
  auto bytes = ::vmgs::crypto::decode_base64(text, Base64::kPadded);
  if (!bytes) {
    return corrupt("'" + std::string(what) + "' is no base64");
  }
  return bytes;
}

base::Result<base::Bytes> base64_member(const json::object& object, std::string_view name) {
  TRY_ASSIGN(text, text_member(object, name));
  return decode_text(text, name);
}

base::Result<std::optional<base::Bytes>> optional_member(const json::object& object,
                                                         std::string_view name) {
  if (!object.contains(name)) {
    return std::nullopt;
  }
  TRY_ASSIGN(bytes, base64_member(object, name));
  return bytes;
}

base::Result<std::vector<base::Bytes>> base64_list(const json::object& object,
                                                   std::string_view name) {
  std::vector<base::Bytes> list;
  if (!object.contains(name)) {
    return list;
  }
  TRY_ASSIGN(array, array_member(object, name));
  for (const auto& value : *array) {
    if (!value.is_string()) {
      return corrupt("an element of '" + std::string(name) + "' is no string");
    }
    TRY_ASSIGN(bytes, decode_text(value.get_string(), name));
    list.push_back(std::move(bytes));
  }
  return list;
}

base::Result<void> add_certificate(base::ByteView der, Evidence& evidence) {
  TRY_ASSIGN(certificate, crypto::Certificate::decode(der));
  evidence.snp_certificates.push_back(std::move(certificate));
  return {};
}

base::Result<void> read_snp(const json::object& bundle, Evidence& evidence) {
  if (!bundle.contains("snp")) {
    return {};
  }
  TRY_ASSIGN(snp, object_member(bundle, "snp"));
  TRY_ASSIGN(report, optional_member(*snp, "report"));
  TRY_ASSIGN(certificates, base64_list(*snp, "certificates"));
  TRY_ASSIGN(table, optional_member(*snp, "certificate_table"));
  evidence.snp_report = std::move(report);
  for (const auto& der : certificates) {
    TRY(add_certificate(der, evidence));
  }
  if (table && !certificates.empty()) {
    return corrupt("'snp' has certificates and a certificate table");
  }
  if (table) {
    TRY_ASSIGN(listed, certificates_of_table(*table, snp_signing_key(evidence)));
    evidence.snp_certificates = std::move(listed);
  }
  return {};
}

base::Result<void> read_ak(const json::object& bundle, Evidence& evidence) {
  if (!bundle.contains("ak")) {
    return {};
  }
  TRY_ASSIGN(ak, object_member(bundle, "ak"));
  TRY_ASSIGN(public_area, optional_member(*ak, "public"));
  TRY_ASSIGN(certificates, base64_list(*ak, "certificates"));
  evidence.ak.public_area = std::move(public_area);
  evidence.ak.certificates = std::move(certificates);
  return {};
}

base::Result<PcrValues> read_pcrs(const json::object& quote) {
  TRY_ASSIGN(object, object_member(quote, "pcrs"));
  PcrValues values;
  for (const auto& member : *object) {
    const std::string_view key(member.key());
    unsigned index = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), index);
    if (error != std::errc() || end != key.data() + key.size() || index > 255 ||
        std::to_string(index) != key) {
      return corrupt("'" + std::string(key.substr(0, 20)) + "' is no number of a PCR");
    }
    TRY_ASSIGN(text, text_member(*object, key));
    auto value = base::from_hex(text);
    if (!value) {
      return corrupt("PCR " + std::string(key) + " is not in hexadecimal digits");
    }
    values[static_cast<std::uint8_t>(index)] = *std::move(value);
  }
  return values;
}

base::Result<void> read_quotes(const json::object& bundle, Evidence& evidence) {
  constexpr std::size_t kMostQuotes = 8;
  if (!bundle.contains("quotes")) {
    return {};
  }
  TRY_ASSIGN(array, array_member(bundle, "quotes"));
  if (array->size() > kMostQuotes) {
    return corrupt("it has more than 8 quotes");
  }
  for (const auto& value : *array) {
    if (!value.is_object()) {
      return corrupt("a quote is no object");
    }
    const auto& object = value.get_object();
    QuoteEvidence quote;
    TRY_ASSIGN(attest, base64_member(object, "attest"));
    TRY_ASSIGN(signature, base64_member(object, "signature"));
    TRY_ASSIGN(pcrs, read_pcrs(object));
    quote.attest = std::move(attest);
    quote.signature = std::move(signature);
    quote.pcrs = std::move(pcrs);
    evidence.quotes.push_back(std::move(quote));
  }
  return {};
}

base::Result<Evidence> read_bundle(const json::object& bundle) {
  Evidence evidence;
  if (bundle.contains("tdx")) {
    TRY_ASSIGN(tdx, object_member(bundle, "tdx"));
    TRY_ASSIGN(quote, base64_member(*tdx, "quote"));
    evidence.td_quote = std::move(quote);
  }
  TRY_ASSIGN(hcl_report, optional_member(bundle, "hcl_report"));
  TRY_ASSIGN(extended, optional_member(bundle, "extended_claims"));
  TRY_ASSIGN(event_log, optional_member(bundle, "event_log"));
  TRY_ASSIGN(cc_event_log, optional_member(bundle, "cc_event_log"));
  evidence.hcl_report = std::move(hcl_report);
  if (extended) {
    evidence.extended_claims =
        std::string(reinterpret_cast<const char*>(extended->data()), extended->size());
  }
  evidence.event_log = std::move(event_log);
  evidence.cc_event_log = std::move(cc_event_log);
  TRY(read_snp(bundle, evidence));
  TRY(read_ak(bundle, evidence));
  TRY(read_quotes(bundle, evidence));
  return evidence;
}

std::string text_of(base::ByteView bytes) {
  return ::vmgs::crypto::encode_base64(bytes, Base64::kPadded);
}

void put(json::object& object, std::string_view name, const std::optional<base::Bytes>& bytes) {
  if (bytes) {
    object[name] = text_of(*bytes);
  }
}

json::array list_of(const std::vector<base::Bytes>& list) {
  json::array array;
  for (const auto& bytes : list) {
    array.emplace_back(text_of(bytes));
  }
  return array;
}

json::object json_of(const QuoteEvidence& quote) {
  json::object pcrs;
  for (const auto& [index, value] : quote.pcrs) {
    pcrs[std::to_string(index)] = base::to_hex(value);
  }
  return {{"attest", text_of(quote.attest)},
          {"signature", text_of(quote.signature)},
          {"pcrs", std::move(pcrs)}};
}

}  // namespace

base::Result<Evidence> decode_bundle(std::string_view text) {
  TRY_ASSIGN(value, protocol::parse_json(text, kMaxBundleBytes));
  if (!value.is_object()) {
    return corrupt("it is no object");
  }
  const auto& bundle = value.get_object();
  TRY_ASSIGN(schema, text_member(bundle, "schema"));
  if (schema != kBundleSchema) {
    return corrupt("the schema '" + schema.substr(0, 60) + "' is not known here");
  }
  auto evidence = read_bundle(bundle);
  if (!evidence) {
    return corrupt(evidence.error().message);
  }
  return evidence;
}

base::Result<std::string> encode_bundle(const Evidence& evidence) {
  json::object bundle{{"schema", kBundleSchema}};
  if (evidence.snp_report || !evidence.snp_certificates.empty()) {
    json::object snp;
    put(snp, "report", evidence.snp_report);
    json::array certificates;
    for (const auto& certificate : evidence.snp_certificates) {
      certificates.emplace_back(text_of(certificate.der()));
    }
    snp["certificates"] = std::move(certificates);
    bundle["snp"] = std::move(snp);
  }
  if (evidence.td_quote) {
    bundle["tdx"] = json::object{{"quote", text_of(*evidence.td_quote)}};
  }
  put(bundle, "hcl_report", evidence.hcl_report);
  if (evidence.extended_claims) {
    bundle["extended_claims"] = text_of(base::bytes_of(*evidence.extended_claims));
  }
  if (!evidence.ak.empty()) {
    json::object ak;
    put(ak, "public", evidence.ak.public_area);
    ak["certificates"] = list_of(evidence.ak.certificates);
    bundle["ak"] = std::move(ak);
  }
  json::array quotes;
  for (const auto& quote : evidence.quotes) {
    if (quote.raw_rsassa_sha256 || !quote.listed_pcrs.empty()) {
      return base::fail(base::ErrorCode::kInvalidArgument,
                        "evidence bundle: a quote has PCRs without numbers or a bare signature");
    }
    quotes.push_back(json_of(quote));
  }
  if (evidence.td_report || evidence.ak.bare_key) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "evidence bundle: a TDREPORT or a bare key has no place in it");
  }
  bundle["quotes"] = std::move(quotes);
  put(bundle, "event_log", evidence.event_log);
  put(bundle, "cc_event_log", evidence.cc_event_log);
  return json::serialize(bundle);
}

}  // namespace keybroker::evidence
