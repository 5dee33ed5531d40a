// SPDX-License-Identifier: Apache-2.0
#include "tools/attest/evidence_file.h"

#include "keybroker/evidence/bundle.h"
#include "keybroker/evidence/foreign_evidence.h"
#include "tools/collateral/read.h"

namespace tools::attest {

namespace {

using namespace keybroker::evidence;

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
  } else {
    return base::fail(base::ErrorCode::kCorrupt,
                      "this is no evidence that is known here: expected a bundle of `attest "
                      "collect`, or an HCL report, SNP report or TDX quote as they come");
  }
  return evidence;
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

}  // namespace tools::attest
