// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vmgs/format/tpm_state.h"
#include "vmgs/format/vm_id.h"
#include "vtpm/engine/nv_store.h"
#include "vtpm/handover/ticket.h"

namespace vtpm::handover {

// Half of a TPM's state on its way to the holder of a ticket's claim.
struct SealedHalf {
  engine::BlobKind kind = engine::BlobKind::kPermanent;
  std::uint64_t epoch = 0;  // of the ownership that has offered it
  vmgs::format::VmId vm_id = {};

  // What the store that it leaves says of the TPM.
  vmgs::format::SeedProtection seeds = vmgs::format::SeedProtection::kUnknown;
  bool imported = false;
};

// seal_state() seals `state` to a ticket, and to what it is:
//
//   magic "SRMS", u32 version 1, u8 kind (1 permanent, 2 volatile), u8 imported, u8 seed protection
//   (as in the envelope of TPM_NVRAM), 1 zero, u64 epoch, ticket id 16, VM id 16, u32 length of the
//   sealed key, the sealed key, the ciphertext, a tag of 16 bytes; little-endian
//
// A fresh key is sealed to the ticket by keybroker::crypto::seal_to(), with the first 52 bytes and
// the ticket's sealing secret as its info, so that nobody seals who was not given the ticket. The
// content is AES-256-GCM under it with a nonce of zero and all that is before it as additional
// data. kInvalidArgument for an empty state, and an epoch that none comes after.
base::Result<base::Bytes> seal_state(const Ticket& ticket, const SealedHalf& half,
                                     base::ByteView state);

struct OpenedHalf {
  SealedHalf half;
  base::SecretBytes state;
};

// open_state() is its inverse for who holds the claim. kCorrupt for bytes that are none, or of a
// later version; kDenied for what is sealed to another ticket; kAuthentication if it was altered,
// or sealed by somebody who does not have the ticket.
base::Result<OpenedHalf> open_state(const Claim& claim, base::ByteView bytes);

}  // namespace vtpm::handover
