// SPDX-License-Identifier: Apache-2.0
#include "tools/attest/evidence_file.h"

#include "keybroker/evidence/bundle.h"
#include "keybroker/evidence/foreign_evidence.h"
#include "tools/collateral/read.h"

namespace tools::attest {

namespace {

using namespace keybroker::evidence;
using keybroker::crypto::Certificate;

bool is_json(base::ByteView bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text[first] == '{';
}

base::Result<Evidence> evidence_in_json(std::string_view text) {
  auto foreign = decode_foreign_json(text);
  // A bundle may be larger than the forms of others, which then say that it is too large.
  if (foreign ||
      (text.size() <= kMaxEvidenceBytes && foreign.error().code != base::ErrorCode::kNotFound)) {
    return foreign;
  }
  return decode_bundle(text);
}

bool is_pem(base::ByteView bytes, std::string_view type) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return text.starts_with("-----BEGIN " + std::string(type) + "-----");
}

// The certificates that are there in one of the forms in which they are handed on; none if this is
// something else.
std::vector<Certificate> certificates_in(base::ByteView bytes) {
  constexpr std::size_t kMostCertificates = 16;
  if (is_pem(bytes, "CERTIFICATE")) {
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return keybroker::crypto::decode_pem_certificates(text, kMostCertificates)
        .value_or(std::vector<Certificate>());
  }
  if (auto certificate = Certificate::decode(bytes)) {
    return {*std::move(certificate)};
  }
  return certificates_of_table(bytes).value_or(std::vector<Certificate>());
}

// A VCEK or VLEK vouches for a report; every other certificate beside evidence is for its AK.
void add_certificates(std::vector<Certificate> certificates, Evidence& evidence) {
  if (endorsement_kind(certificates.front())) {
    evidence.snp_certificates = std::move(certificates);
    return;
  }
  for (const auto& certificate : certificates) {
    evidence.ak.certificates.push_back(certificate.der());
  }
}

bool add_log(const base::Bytes& bytes, Evidence& evidence) {
  const auto log = decode_event_log(bytes);
  if (!log || !log->crypto_agile) {
    return false;
  }
  // The header of a CC log stands in a register of its own count, which begins at one.
  (log->header_index == 0 ? evidence.event_log : evidence.cc_event_log) = bytes;
  return true;
}

base::Result<Evidence> evidence_in_bytes(base::Bytes bytes) {
  Evidence evidence;
  if (decode_hcl_report(bytes)) {
    evidence.hcl_report = std::move(bytes);
  } else if (bytes.size() == kSnpReportBytes) {
    evidence.snp_report = std::move(bytes);
  } else if (bytes.size() == kTdReportBytes) {
    evidence.td_report = std::move(bytes);
  } else if (read_td_quote(bytes).quote) {
    evidence.td_quote = std::move(bytes);
  } else if (is_pem(bytes, "PUBLIC KEY")) {
    TRY_ASSIGN(key, keybroker::crypto::PublicKey::from_pem(
                        {reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
    evidence.ak.bare_key = std::move(key);
  } else if (auto certificates = certificates_in(bytes); !certificates.empty()) {
    add_certificates(std::move(certificates), evidence);
  } else if (auto quote = decode_bincode_quote(bytes)) {
    evidence.quotes = {*std::move(quote)};
  } else if (!add_log(bytes, evidence)) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "this is no evidence that is known here: expected a bundle of `attest "
                      "collect`, or an HCL report, SNP report, TDX quote, TPM quote, certificates, "
                      "AK or event log as they come");
  }
  return evidence;
}

template <typename T>
bool is_there(const std::optional<T>& part) {
  return part.has_value();
}

template <typename T>
bool is_there(const std::vector<T>& part) {
  return !part.empty();
}

// move_part() is false if both have it: nobody could say which one is meant.
template <typename T>
bool move_part(T& from, T& to) {
  if (!is_there(from)) {
    return true;
  }
  if (is_there(to)) {
    return false;
  }
  to = std::move(from);
  return true;
}

bool move_parts(Evidence& from, Evidence& to) {
  return move_part(from.snp_report, to.snp_report) &&
         move_part(from.snp_certificates, to.snp_certificates) &&
         move_part(from.td_quote, to.td_quote) && move_part(from.td_report, to.td_report) &&
         move_part(from.hcl_report, to.hcl_report) &&
         move_part(from.extended_claims, to.extended_claims) &&
         move_part(from.ak.public_area, to.ak.public_area) &&
         move_part(from.ak.bare_key, to.ak.bare_key) &&
         move_part(from.ak.certificates, to.ak.certificates) && move_part(from.quotes, to.quotes) &&
         move_part(from.event_log, to.event_log) && move_part(from.cc_event_log, to.cc_event_log);
}

}  // namespace

base::Result<Evidence> read_evidence(const std::string& from) {
  TRY_ASSIGN(bytes, collateral::read_bytes(from, kMaxBundleBytes));
  auto evidence =
      is_json(bytes) ? evidence_in_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()})
                     : evidence_in_bytes(std::move(bytes));
  if (!evidence) {
    return base::fail(std::move(evidence).error().context(from));
  }
  return evidence;
}

base::Result<Evidence> read_evidence(const std::vector<std::string>& files) {
  Evidence whole;
  for (const auto& file : files) {
    TRY_ASSIGN(part, read_evidence(file));
    if (!move_parts(part, whole)) {
      return base::fail(base::ErrorCode::kInvalidArgument,
                        file + ": another file has this part of the evidence already");
    }
  }
  return whole;
}

}  // namespace tools::attest
