// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "keybroker/evidence/verify.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::evidence {

// Forms in which others hand over evidence of Azure's and other clouds' vTPMs. They are read as
// they come; what they say is judged like everything else.

// decode_foreign_json() reads one of these documents:
// - an Azure client's evidence: "tpm_quote" or "quote" {signature, message, pcrs}, "hcl_report" or
//   "report", and "vcek" (DER or PEM) or "td_quote"; bytes as hex, base64 of either alphabet with
//   or without padding, or arrays of numbers; PCRs as a list without numbers, signatures RSASSA
//   with SHA-256;
// - such a quote alone;
// - "ak_tpmt_public_hex" and "quotes" [{attest_hex, tpmt_signature_hex, pcrs by number}];
// - "ak_public" (SubjectPublicKeyInfo in base64) and "tpm_quote" with a TPMT_SIGNATURE.
// kNotFound for a document that is none of them, kCorrupt for one that is and is broken.
base::Result<Evidence> decode_foreign_json(std::string_view text);

// decode_bincode_quote() reads a quote of the Rust crates for Azure's vTPM: length and RSASSA
// signature, length and TPMS_ATTEST, count and that many values of the SHA-256 bank, lengths and
// count as 64 bits little-endian. kCorrupt for anything else.
base::Result<QuoteEvidence> decode_bincode_quote(base::ByteView bytes);

}  // namespace keybroker::evidence
