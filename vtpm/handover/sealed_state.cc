// SPDX-License-Identifier: Apache-2.0
#include "vtpm/handover/sealed_state.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "vmgs/base/cursor.h"
#include "vmgs/crypto/aead.h"
#include "vmgs/crypto/random.h"

namespace vtpm::handover {

namespace {

namespace crypto = keybroker::crypto;
using base::ErrorCode;
using engine::BlobKind;
using vmgs::format::SeedProtection;

constexpr std::string_view kMagic = "SRMS";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeadBytes = 52;
constexpr std::size_t kKeyBytes = 32;
constexpr auto kLastEpoch = std::numeric_limits<std::uint64_t>::max();
constexpr std::size_t kTagBytes = 16;
constexpr std::size_t kSealedKeyBytes =
    crypto::sealed_transfer_bytes(crypto::TransferAlgorithm::kEcdhP384, kKeyBytes);
constexpr std::size_t kBeforeContentBytes = kHeadBytes + 4 + kSealedKeyBytes;

std::uint8_t number_of(BlobKind kind) { return kind == BlobKind::kPermanent ? 1 : 2; }

base::SecretBytes info_of(base::ByteView head, const Ticket& ticket) {
  const auto secret = ticket.sealing_secret.expose();
  base::SecretBytes info(head.size() + secret.size());
  const auto behind = std::copy(head.begin(), head.end(), info.fill().begin());
  std::copy(secret.begin(), secret.end(), behind);
  return info;
}

}  // namespace

base::Result<base::Bytes> seal_state(const Ticket& ticket, const SealedHalf& half,
                                     base::ByteView state) {
  if (state.empty() || half.epoch == kLastEpoch) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "there is no state to seal, or no epoch after its own");
  }
  TRY_ASSIGN(key, vmgs::crypto::random_secret<kKeyBytes>());
  base::Writer out;
  out.bytes(base::bytes_of(kMagic));
  out.u32_le(kVersion);
  out.u8(number_of(half.kind));
  out.u8(half.imported ? 1 : 0);
  out.u8(static_cast<std::uint8_t>(half.seeds));
  out.u8(0);
  out.u64_le(half.epoch);
  out.bytes(ticket.id);
  out.bytes(half.vm_id.bytes);
  const auto info = info_of(out.written(), ticket);
  TRY_ASSIGN(sealed_key, crypto::seal_to(ticket.key, crypto::TransferAlgorithm::kEcdhP384,
                                         info.expose(), key.expose()));
  out.u32_le(static_cast<std::uint32_t>(sealed_key.size()));
  out.bytes(sealed_key);
  auto bytes = std::move(out).take();
  bytes.resize(kBeforeContentBytes + state.size());
  const auto whole = std::span(bytes);
  TRY_ASSIGN(tag, vmgs::crypto::seal(key, {}, whole.first(kBeforeContentBytes), state,
                                     whole.subspan(kBeforeContentBytes)));
  bytes.insert(bytes.end(), tag.begin(), tag.end());
  return bytes;
}

base::Result<OpenedHalf> open_state(const Claim& claim, base::ByteView bytes) {
  const auto corrupt = [](const char* what) {
    return base::fail(ErrorCode::kCorrupt, std::string("sealed TPM state: ") + what);
  };
  if (bytes.size() <= kBeforeContentBytes + kTagBytes) {
    return corrupt("it is too short");
  }
  base::Reader in(bytes);
  TRY_ASSIGN(magic, in.bytes(kMagic.size()));
  TRY_ASSIGN(version, in.u32_le());
  TRY_ASSIGN(kind, in.u8());
  TRY_ASSIGN(imported, in.u8());
  TRY_ASSIGN(seeds, in.u8());
  TRY_ASSIGN(padding, in.u8());
  TRY_ASSIGN(epoch, in.u64_le());
  TRY_ASSIGN(id, in.bytes(claim.ticket().id.size()));
  vmgs::format::VmId vm_id;
  TRY_ASSIGN(vm_id_bytes, in.bytes(vm_id.bytes.size()));
  std::copy(vm_id_bytes.begin(), vm_id_bytes.end(), vm_id.bytes.begin());
  TRY_ASSIGN(length, in.u32_le());
  if (!std::equal(magic.begin(), magic.end(), base::bytes_of(kMagic).begin())) {
    return corrupt("this is none; the other host has to seal its state to a ticket of this one");
  }
  if (version != kVersion || (kind != 1 && kind != 2) || imported > 1 ||
      seeds > static_cast<std::uint8_t>(SeedProtection::kTee) || padding != 0 || epoch == 0 ||
      epoch == kLastEpoch || length != kSealedKeyBytes) {
    return corrupt("it is of a form that is not known here");
  }
  if (!std::equal(id.begin(), id.end(), claim.ticket().id.begin())) {
    return base::fail(ErrorCode::kDenied, "the TPM's state is sealed to another ticket");
  }
  TRY_ASSIGN(sealed_key, in.bytes(kSealedKeyBytes));
  const auto info = info_of(bytes.first(kHeadBytes), claim.ticket());
  TRY_ASSIGN(key_bytes, claim.key().open(info.expose(), sealed_key));
  if (key_bytes.size() != kKeyBytes) {
    return corrupt("its key has another size");
  }
  const auto key = vmgs::crypto::AeadKey::copy_of(key_bytes.expose().first<kKeyBytes>());
  const auto content = in.rest();
  OpenedHalf opened{.half = {.kind = kind == 1 ? BlobKind::kPermanent : BlobKind::kVolatile,
                             .epoch = epoch,
                             .vm_id = vm_id,
                             .seeds = static_cast<SeedProtection>(seeds),
                             .imported = imported == 1},
                    .state = base::SecretBytes(content.size() - kTagBytes)};
  vmgs::crypto::AeadTag tag;
  const auto tag_bytes = content.last(kTagBytes);
  std::copy(tag_bytes.begin(), tag_bytes.end(), tag.begin());
  TRY(vmgs::crypto::open(key, {}, bytes.first(kBeforeContentBytes), tag,
                         content.first(content.size() - kTagBytes), opened.state.fill()));
  return opened;
}

}  // namespace vtpm::handover
