// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "keybroker/broker/worker.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::broker {

// The rules of the messages of keybroker/protocol/broker.proto, from bytes to bytes. They read no
// clock and keep nothing beside the worker's records; each worker's thread calls them by itself.
//
// `caller` is the name in the certificate of the host that relays. It decides nothing about a VM
// and stands in the log.
//
// An error is no word about a VM, and an instance takes it for none:
//   kInvalidArgument  the message is not of this protocol, or too large; begins with the word
//                     request-malformed or request-too-large
//   kUnavailable      try again later: too many requests, records or a key out of reach
//   kCorrupt, kIo     the broker's own records are damaged; an operator has to look

// The largest messages that are looked at.
inline constexpr std::size_t kMaxChallengeRequestBytes = 64;
inline constexpr std::size_t kMaxReleaseRequestBytes = 160 * 1024;
inline constexpr std::size_t kMaxReceiptBytes = 16 * 1024;

// answer_challenge() gives a ChallengeResponse. Whether the VM is registered is not told: who has
// no evidence learns nothing about it.
base::Result<base::Bytes> answer_challenge(Worker& worker, std::string_view caller,
                                           base::ByteView request, crypto::Time now);

// answer_release() gives a SignedAnswer: Released, or Refused with a word of refusal.h. A refusal
// is in the VM's log before it is signed, and a release before a key is touched. The order:
//   sizes and claims; the host's budget; the challenge; the registration; the evidence; the release
//   policies of all owners; a receipt, in recovery; the claim of the next epoch, by which the
//   challenge is used; the VM's key; the seal to the transfer key; the signature.
base::Result<base::Bytes> answer_release(Worker& worker, std::string_view caller,
                                         base::ByteView request, crypto::Time now);

}  // namespace keybroker::broker
