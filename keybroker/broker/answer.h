// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "keybroker/broker/refusal.h"
#include "keybroker/crypto/signed_message.h"
#include "keybroker/protocol/broker.pb.h"
#include "keybroker/protocol/launch_document.h"

namespace keybroker::broker {

inline constexpr std::string_view kAnswerLabel = "strongroom.answer/1";
inline constexpr std::string_view kReceiptLabel = "strongroom.receipt/1";

// encode() is a signed message in the bytes of a SignedAnswer; decode_signed_message() reads them.
// kCorrupt for what is none.
base::Bytes encode(const crypto::SignedMessage& message);
base::Result<crypto::SignedMessage> decode_signed_message(base::ByteView bytes);

// sign_answer() signs over what was asked, so that the answer is one to these bytes and to no
// others.
base::Result<base::Bytes> sign_answer(const crypto::MessageSigner& signer, base::ByteView request,
                                      const strongroom::broker::v1::Answer& answer);

// sign_refusal() is that of a Refused for a VM.
base::Result<base::Bytes> sign_refusal(const crypto::MessageSigner& signer, base::ByteView request,
                                       const protocol::Uuid& vm_id, const Refusal& refusal,
                                       crypto::Time now);

// sign_receipt() signs a receipt, which answers nothing and outlives the boot.
base::Result<base::Bytes> sign_receipt(const crypto::MessageSigner& signer,
                                       const strongroom::broker::v1::Receipt& receipt);

// open_receipt() reads a receipt that was signed under one of `roots`, at whatever time: the key
// that signed it may have ended since. kCorrupt or kAuthentication otherwise.
base::Result<strongroom::broker::v1::Receipt> open_receipt(
    base::ByteView bytes, std::span<const crypto::Fingerprint> roots);

// names_root() tells whether a signed message says that it is under one of `roots`. Nothing of it
// is verified.
bool names_root(base::ByteView bytes, std::span<const crypto::Fingerprint> roots);

// Bytes as a field of a message, and back.
std::string field_of(base::ByteView bytes);

}  // namespace keybroker::broker
