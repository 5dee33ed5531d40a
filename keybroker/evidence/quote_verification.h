// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "keybroker/evidence/ak_verification.h"
#include "keybroker/evidence/checklist.h"
#include "keybroker/evidence/event_log.h"
#include "keybroker/evidence/replay.h"
#include "keybroker/evidence/tpm_policy.h"
#include "keybroker/evidence/tpm_quote.h"

namespace keybroker::evidence {

// What came with the evidence about one quote.
struct QuoteEvidence {
  base::Bytes attest;  // TPMS_ATTEST, as it was signed

  // TPMT_SIGNATURE, or the bytes of an RSASSA signature with SHA-256 where the format that carried
  // them fixes that.
  base::Bytes signature;
  bool raw_rsassa_sha256 = false;

  // The values under their numbers. Some formats carry a list without numbers, in the order of what
  // the quote selects: then `listed_pcrs`, and `pcrs` is empty.
  PcrValues pcrs{};
  std::vector<base::Bytes> listed_pcrs{};
};

// QuoteClaims is what a quote says. It is worth something only if the checklist it came with was
// accepted.
struct QuoteClaims {
  std::size_t number = 0;  // of the quote in the evidence, from 1
  TpmQuote quote;
  crypto::Hash bank = crypto::Hash::kSha256;
  PcrValues pcrs;
  bool decides = false;  // of a bank that the policy takes decisions from
};

// judge_quotes() makes the checks `quote....` of each quote, then whether one of them is of a bank
// that decides. `nonce` is what extraData must be.
std::vector<QuoteClaims> judge_quotes(const std::vector<QuoteEvidence>& quotes, const JudgedAk& ak,
                                      const Expectation& nonce, const QuotePolicy& policy,
                                      Checklist& list);

// judge_replay() makes the checks `log.BANK.REGISTER`, or for RTMRs `cc_log.BANK.REGISTER`: that a
// log leads to each of the values, and that a register without events has its initial value. It
// returns whether all passed.
bool judge_replay(const EventLog& log, crypto::Hash bank, Registers registers,
                  const std::map<std::uint32_t, base::Bytes>& actual, Checklist& list);

}  // namespace keybroker::evidence
