// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/sealed_keys.h"

#include <algorithm>

#include "vmgs/base/cursor.h"

namespace vmgs::format {

namespace {

constexpr std::string_view kMagic = "SRSK";
constexpr std::uint16_t kVersion = 1;

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "SEALED_KEYS: " + why);
}

bool is_known(std::uint32_t tee_type) {
  switch (static_cast<TeeType>(tee_type)) {
    case TeeType::kSnp:
    case TeeType::kTdx:
    case TeeType::kSimulatedSnp:
    case TeeType::kSimulatedTdx:
      return true;
  }
  return false;
}

SealedKeyLayout layout_of(const SealedKey& entry) {
  SealedKeyLayout raw{};
  raw.tee_type = static_cast<std::uint32_t>(entry.tee_type);
  raw.bound_to = bound_to(entry.tee_type);
  raw.svn = entry.svn;
  raw.measurement = entry.measurement;
  raw.launch_digest = entry.launch_digest;
  raw.vm_id = entry.vm_id.bytes;
  raw.nonce = entry.nonce;
  raw.ciphertext = entry.ciphertext;
  raw.tag = entry.tag;
  return raw;
}

base::Result<SealedKey> decode(const SealedKeyLayout& raw, const std::string& where) {
  if (!is_known(raw.tee_type.value())) {
    return corrupt(where + " has the unknown TEE type " + std::to_string(raw.tee_type.value()));
  }
  const auto tee_type = static_cast<TeeType>(raw.tee_type.value());
  if (raw.bound_to.value() != bound_to(tee_type)) {
    return corrupt(where + " says that its key is bound to " +
                   std::to_string(raw.bound_to.value()) + ", for " + std::string(name(tee_type)) +
                   " only " + std::to_string(bound_to(tee_type)) + " is known");
  }
  if (is_snp(tee_type) && !base::is_all_zero(std::span(raw.svn).subspan(8))) {
    return corrupt(where + " has more than a TCB version in its SVN");
  }
  if (is_snp(tee_type) && !base::is_all_zero(std::span(raw.launch_digest).subspan(32))) {
    return corrupt(where + " has a launch digest longer than HOST_DATA");
  }
  if (raw.zero.value() != 0) {
    return corrupt(where + " does not end in zero");
  }
  return SealedKey{.tee_type = tee_type,
                   .svn = raw.svn,
                   .measurement = raw.measurement,
                   .launch_digest = raw.launch_digest,
                   .vm_id = {raw.vm_id},
                   .nonce = raw.nonce,
                   .ciphertext = raw.ciphertext,
                   .tag = raw.tag};
}

}  // namespace

std::string_view name(TeeType type) {
  switch (type) {
    case TeeType::kSnp:
      return "SEV-SNP";
    case TeeType::kTdx:
      return "TDX";
    case TeeType::kSimulatedSnp:
      return "simulated SEV-SNP";
    case TeeType::kSimulatedTdx:
      return "simulated TDX";
  }
  return "unknown TEE";
}

std::array<std::byte, kSealedKeyContextBytes> sealed_key_context(const SealedKey& entry) {
  static_assert(kSealedKeyContextBytes == offsetof(SealedKeyLayout, nonce));
  const auto raw = layout_of(entry);
  std::array<std::byte, kSealedKeyContextBytes> context{};
  std::ranges::copy(base::view(raw).first<kSealedKeyContextBytes>(), context.begin());
  return context;
}

base::Result<base::Bytes> encode_sealed_keys(const std::vector<SealedKey>& entries) {
  if (entries.empty() || entries.size() > kMaxSealedKeys) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "SEALED_KEYS holds 1 or 2 entries, not " + std::to_string(entries.size()));
  }
  SealedKeysHeaderLayout header{};
  std::ranges::copy(base::bytes_of(kMagic), header.magic.begin());
  header.version = kVersion;
  header.entries = static_cast<std::uint8_t>(entries.size());
  base::Writer out;
  out.layout(header);
  for (const auto& entry : entries) {
    out.layout(layout_of(entry));
  }
  return std::move(out).take();
}

base::Result<std::vector<SealedKey>> decode_sealed_keys(base::ByteView bytes) {
  base::Reader in(bytes);
  auto header = in.layout<SealedKeysHeaderLayout>();
  if (!header || !std::ranges::equal(header->magic, base::bytes_of(kMagic))) {
    return corrupt("does not begin with SRSK");
  }
  if (header->version.value() != kVersion) {
    return corrupt("version " + std::to_string(header->version.value()) + " is not known here");
  }
  if (header->entries < 1 || header->entries > kMaxSealedKeys) {
    return corrupt("has " + std::to_string(header->entries) + " entries, not 1 or 2");
  }
  if (header->reserved != 0) {
    return corrupt("its reserved byte is not zero");
  }
  if (in.remaining() != header->entries * sizeof(SealedKeyLayout)) {
    return corrupt(
        "has " + std::to_string(bytes.size()) + " bytes, " + std::to_string(header->entries) +
        " entries take " +
        std::to_string(sizeof(SealedKeysHeaderLayout) + header->entries * sizeof(SealedKeyLayout)));
  }
  std::vector<SealedKey> entries;
  while (!in.empty()) {
    TRY_ASSIGN(raw, in.layout<SealedKeyLayout>());
    TRY_ASSIGN(entry, decode(raw, "entry " + std::to_string(entries.size())));
    entries.push_back(entry);
  }
  return entries;
}

}  // namespace vmgs::format
