// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/swtpm_blob.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "vmgs/base/cursor.h"
#include "vmgs/crypto/aes_cbc.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/crypto/random.h"

namespace vmgs::format {

namespace {

constexpr std::uint8_t kVersion = 2;
constexpr std::uint8_t kVersionWithoutRecords = 1;
constexpr std::uint8_t kMinVersion = 1;

constexpr std::uint16_t kFlagEncrypted = 0x0001;
constexpr std::uint16_t kFlagMigrationEncrypted = 0x0002;
constexpr std::uint16_t kFlagMigration = 0x0004;
constexpr std::uint16_t kFlagFileKey256 = 0x0008;
constexpr std::uint16_t kFlagMigrationKey256 = 0x0010;

constexpr std::uint16_t kTagData = 1;
constexpr std::uint16_t kTagEncryptedData = 2;
constexpr std::uint16_t kTagHmac = 3;
constexpr std::uint16_t kTagMigrationData = 4;
constexpr std::uint16_t kTagEncryptedMigrationData = 5;
constexpr std::uint16_t kTagIv = 6;
constexpr std::uint16_t kTagMigrationIv = 7;

// Looks for the first record with that tag among records that fill `bytes` exactly.
base::Result<std::optional<base::ByteView>> look_for_record(base::ByteView bytes,
                                                            std::uint16_t tag) {
  base::Reader reader(bytes);
  std::optional<base::ByteView> found;
  while (!reader.empty()) {
    TRY_ASSIGN(record, reader.layout<SwtpmRecordLayout>());
    TRY_ASSIGN(data, reader.bytes(record.length.value()));
    if (record.tag.value() == tag && !found) {
      found = data;
    }
  }
  return found;
}

base::Result<base::ByteView> find_record(base::ByteView bytes, std::uint16_t tag) {
  TRY_ASSIGN(found, look_for_record(bytes, tag));
  if (!found) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "swtpm blob has no record with tag " + std::to_string(tag));
  }
  return *found;
}

// What a header says, and the records that follow it; in version 1 the bytes as they are.
struct Unframed {
  std::uint8_t version;
  unsigned flags;
  base::ByteView records;
};

base::Result<Unframed> unframe(base::ByteView bytes) {
  base::Reader reader(bytes);
  TRY_ASSIGN(header, reader.layout<SwtpmHeaderLayout>());
  const std::size_t header_bytes = header.header_bytes.value();
  if (header.total_bytes.value() != bytes.size()) {
    return base::fail(base::ErrorCode::kCorrupt, "swtpm blob of " + std::to_string(bytes.size()) +
                                                     " bytes says it has " +
                                                     std::to_string(header.total_bytes.value()));
  }
  if (header_bytes < sizeof(SwtpmHeaderLayout) || header_bytes > bytes.size()) {
    return base::fail(base::ErrorCode::kCorrupt, "swtpm blob has no place for its header");
  }
  if (header.version < header.min_version) {
    return base::fail(base::ErrorCode::kCorrupt, "swtpm blob is older than it says it may be");
  }
  if (header.version < kVersionWithoutRecords || header.min_version > kVersion) {
    return base::fail(base::ErrorCode::kDenied, "swtpm blob has version " +
                                                    std::to_string(header.version) +
                                                    "; only versions 1 and 2 can be read");
  }
  return Unframed{header.version, header.flags.value(), bytes.subspan(header_bytes)};
}

// One layer of encryption: which records it has, and which flag says that its key has 32 bytes.
struct Layer {
  std::string_view key_name;
  std::uint16_t data_tag;
  std::uint16_t iv_tag;
  std::uint16_t flag_256;
};

constexpr Layer kFileLayer{"file", kTagEncryptedData, kTagIv, kFlagFileKey256};
constexpr Layer kMigrationLayer{"migration", kTagEncryptedMigrationData, kTagMigrationIv,
                                kFlagMigrationKey256};

// swtpm has IVs as long as the key. The cipher takes the first 16 bytes, the MAC all of them.
crypto::CbcIv iv_of(base::ByteView bytes) {
  crypto::CbcIv iv{};
  std::copy_n(bytes.begin(), std::min(bytes.size(), iv.size()), iv.begin());
  return iv;
}

crypto::Sha256Digest mac_of(const SwtpmKey& key, base::ByteView ciphertext, base::ByteView iv) {
  auto message = base::copy_of(ciphertext);
  message.insert(message.end(), iv.begin(), iv.end());
  return crypto::hmac_sha256(key.expose(), message);
}

// The plaintext ends with as many bytes of padding as each of them says, 1 up to the size of the
// key.
base::Result<std::size_t> padding_of(base::ByteView padded, const SwtpmKey& key) {
  const auto count = std::to_integer<std::size_t>(padded.back());
  const bool fits = count != 0 && count <= key.size() && count <= padded.size();
  if (!fits || std::any_of(padded.end() - static_cast<std::ptrdiff_t>(count), padded.end(),
                           [&](std::byte byte) { return byte != padded.back(); })) {
    return base::fail(base::ErrorCode::kCorrupt, "swtpm blob: the padding of its state is wrong");
  }
  return count;
}

tl::unexpected<base::Error> missing(const Layer& layer) {
  return base::fail(base::ErrorCode::kNotFound, "the TPM state is encrypted under swtpm's " +
                                                    std::string(layer.key_name) +
                                                    " key, and no such key was given");
}

base::Result<base::SecretBytes> take_off(const Layer& layer, const SwtpmKey* key, unsigned flags,
                                         base::ByteView records) {
  if (key == nullptr) {
    return missing(layer);
  }
  const auto needed = static_cast<std::size_t>(
      (flags & layer.flag_256) != 0 ? SwtpmCipher::kAes256Cbc : SwtpmCipher::kAes128Cbc);
  if (key->size() != needed) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "the TPM state was encrypted with a " + std::string(layer.key_name) +
                          " key of " + std::to_string(8 * needed) + " bits; the one given has " +
                          std::to_string(8 * key->size()));
  }
  TRY_ASSIGN(mac, find_record(records, kTagHmac));
  TRY_ASSIGN(ciphertext, find_record(records, layer.data_tag));
  TRY_ASSIGN(iv, look_for_record(records, layer.iv_tag));
  const auto expected = mac_of(*key, ciphertext, iv.value_or(base::ByteView()));
  if (mac.size() < expected.size() ||
      !crypto::equal_in_constant_time(mac.first(expected.size()), expected)) {
    return base::fail(base::ErrorCode::kAuthentication,
                      "the " + std::string(layer.key_name) +
                          " key is not the one that encrypted the TPM state, or its bytes have "
                          "been changed since");
  }
  if (ciphertext.empty() || (iv && iv->size() != key->size())) {
    return base::fail(base::ErrorCode::kCorrupt, "swtpm blob: encrypted state or IV have no size");
  }
  base::SecretBytes padded(ciphertext.size());
  if (auto done = crypto::cbc_decrypt(key->expose(), iv_of(iv.value_or(base::ByteView())),
                                      ciphertext, padded.fill());
      !done) {
    done.error().code = base::ErrorCode::kCorrupt;
    return base::fail(std::move(done).error().context("swtpm blob"));
  }
  TRY_ASSIGN(padding, padding_of(padded.expose(), *key));
  base::SecretBytes plain(padded.size() - padding);
  std::copy_n(padded.expose().begin(), plain.size(), plain.fill().begin());
  return plain;
}

base::SecretBytes secret_copy(base::ByteView bytes) {
  base::SecretBytes copy(bytes.size());
  std::copy(bytes.begin(), bytes.end(), copy.fill().begin());
  return copy;
}

// A layer of version 1, which nothing has written since 2016: a digest and what it is of, encrypted
// with no IV, by a key of either size.
base::Result<base::SecretBytes> take_off_old(const Layer& layer, const SwtpmKey* key,
                                             base::ByteView ciphertext) {
  const auto wrong = [&] {
    return base::fail(base::ErrorCode::kAuthentication,
                      "the " + std::string(layer.key_name) +
                          " key is not the one that encrypted the TPM state, or its bytes have "
                          "been changed since");
  };
  if (key == nullptr) {
    return missing(layer);
  }
  base::SecretBytes padded(ciphertext.size());
  if (ciphertext.empty() ||
      !crypto::cbc_decrypt(key->expose(), crypto::CbcIv{}, ciphertext, padded.fill())) {
    return base::fail(base::ErrorCode::kCorrupt, "swtpm blob: encrypted state has no size");
  }
  const auto padding = padding_of(padded.expose(), *key);
  const std::size_t size = padding ? padded.size() - *padding : 0;
  if (size < sizeof(crypto::Sha256Digest)) {
    return wrong();
  }
  const auto digest = padded.expose().first(sizeof(crypto::Sha256Digest));
  const auto plain = padded.expose().first(size).subspan(sizeof(crypto::Sha256Digest));
  if (!crypto::equal_in_constant_time(digest, crypto::sha256(plain))) {
    return wrong();
  }
  return secret_copy(plain);
}

void append_record(base::Writer& out, std::uint16_t tag, base::ByteView data) {
  out.u16_be(tag);
  out.u32_be(static_cast<std::uint32_t>(data.size()));
  out.bytes(data);
}

base::Result<base::SecretBytes> put_on(const Layer& layer, const SwtpmKey& key,
                                       base::ByteView plain) {
  const std::size_t padding = key.size() - plain.size() % key.size();
  base::SecretBytes bytes(plain.size() + padding);
  std::copy(plain.begin(), plain.end(), bytes.fill().begin());
  std::fill(bytes.fill().end() - static_cast<std::ptrdiff_t>(padding), bytes.fill().end(),
            static_cast<std::byte>(padding));
  base::Bytes iv(key.size());
  TRY(crypto::random_bytes(iv));
  TRY(crypto::cbc_encrypt(key.expose(), iv_of(iv), bytes.expose(), bytes.fill()));
  base::Writer out;
  append_record(out, layer.data_tag, bytes.expose());
  append_record(out, kTagHmac, mac_of(key, bytes.expose(), iv));
  append_record(out, layer.iv_tag, iv);
  return base::SecretBytes::taking(std::move(out).take());
}

// SecretBytes never grow, so the bytes that hold seeds are copied once, into their place.
base::SecretBytes record(std::uint16_t tag, base::ByteView data) {
  base::SecretBytes out(sizeof(SwtpmRecordLayout) + data.size());
  const SwtpmRecordLayout layout{base::U16Be(tag),
                                 base::U32Be(static_cast<std::uint32_t>(data.size()))};
  base::store(layout, out.fill().first<sizeof(SwtpmRecordLayout)>());
  std::copy(data.begin(), data.end(), out.fill().begin() + sizeof(SwtpmRecordLayout));
  return out;
}

base::SecretBytes framed(unsigned flags, base::ByteView records) {
  base::SecretBytes out(sizeof(SwtpmHeaderLayout) + records.size());
  const SwtpmHeaderLayout header{
      kVersion, kMinVersion, base::U16Be(sizeof(SwtpmHeaderLayout)),
      base::U16Be(static_cast<std::uint16_t>(flags)),
      base::U32Be(static_cast<std::uint32_t>(sizeof(SwtpmHeaderLayout) + records.size()))};
  base::store(header, out.fill().first<sizeof(SwtpmHeaderLayout)>());
  std::copy(records.begin(), records.end(), out.fill().begin() + sizeof(SwtpmHeaderLayout));
  return out;
}

unsigned flags_of(const SwtpmKey& key, unsigned encrypted, unsigned has_256_bits) {
  const bool has = key.size() == static_cast<std::size_t>(SwtpmCipher::kAes256Cbc);
  return encrypted | (has ? has_256_bits : 0U);
}

// The records of a state, under the file key or not, and the flags that go with them.
struct Records {
  unsigned flags = 0;
  base::SecretBytes bytes;
};

base::Result<Records> state_records(base::ByteView state, const SwtpmKey* key) {
  if (key == nullptr) {
    return Records{0, record(kTagData, state)};
  }
  TRY_ASSIGN(bytes, put_on(kFileLayer, *key, state));
  return Records{flags_of(*key, kFlagEncrypted, kFlagFileKey256), std::move(bytes)};
}

base::Result<base::SecretBytes> open_old(const Unframed& blob, const SwtpmKeys& keys,
                                         bool under_migration_key, bool under_file_key) {
  auto state = secret_copy(blob.records);
  if (under_migration_key) {
    TRY_ASSIGN(inner, take_off_old(kMigrationLayer, keys.migration, state.expose()));
    state = std::move(inner);
  }
  if (under_file_key) {
    TRY_ASSIGN(inner, take_off_old(kFileLayer, keys.file, state.expose()));
    state = std::move(inner);
  }
  return state;
}

}  // namespace

base::Result<SwtpmBlob> decode_swtpm_blob(base::ByteView bytes) {
  TRY_ASSIGN(blob, unframe(bytes));
  if (blob.version == kVersionWithoutRecords) {
    return base::fail(base::ErrorCode::kDenied, "swtpm blob has version 1, from before 2017");
  }
  const auto flags = blob.flags;
  const auto records = blob.records;
  if ((flags & (kFlagEncrypted | kFlagMigrationEncrypted)) != 0) {
    return base::fail(base::ErrorCode::kDenied,
                      "the TPM state is encrypted under a key of swtpm's; export it from swtpm "
                      "without --key and --migration-key");
  }
  if ((flags & kFlagMigration) == 0) {
    TRY_ASSIGN(state, find_record(records, kTagData));
    return SwtpmBlob{SwtpmUse::kFile, state};
  }
  TRY_ASSIGN(inner, find_record(records, kTagMigrationData));
  TRY_ASSIGN(state, find_record(inner, kTagData));
  return SwtpmBlob{SwtpmUse::kMigration, state};
}

base::SecretBytes encode_swtpm_blob(SwtpmUse use, base::ByteView state) {
  const auto records = record(kTagData, state);
  if (use == SwtpmUse::kFile) {
    return framed(0, records.expose());
  }
  return framed(kFlagMigration, record(kTagMigrationData, records.expose()).expose());
}

base::Result<OpenedSwtpmBlob> open_swtpm_blob(base::ByteView bytes, const SwtpmKeys& keys,
                                              bool is_under_file_key) {
  TRY_ASSIGN(blob, unframe(bytes));
  // A blob under the migration key travels, whether it says so or not.
  const bool under_migration_key = (blob.flags & kFlagMigrationEncrypted) != 0;
  const bool travels = under_migration_key || (blob.flags & kFlagMigration) != 0;
  const bool under_file_key = is_under_file_key || (blob.flags & kFlagEncrypted) != 0;
  OpenedSwtpmBlob opened{travels ? SwtpmUse::kMigration : SwtpmUse::kFile, under_file_key,
                         under_migration_key, base::SecretBytes()};
  base::SecretBytes decrypted;
  auto records = blob.records;
  if (blob.version == kVersionWithoutRecords) {
    TRY_ASSIGN(state, open_old(blob, keys, under_migration_key, under_file_key));
    opened.state = std::move(state);
    return opened;
  }
  if (under_migration_key) {
    TRY_ASSIGN(inner, take_off(kMigrationLayer, keys.migration, blob.flags, records));
    decrypted = std::move(inner);
    records = decrypted.expose();
  } else if (travels) {
    TRY_ASSIGN(inner, find_record(records, kTagMigrationData));
    records = inner;
  }
  if (under_file_key) {
    TRY_ASSIGN(state, take_off(kFileLayer, keys.file, blob.flags, records));
    opened.state = std::move(state);
    return opened;
  }
  TRY_ASSIGN(state, find_record(records, kTagData));
  opened.state = secret_copy(state);
  return opened;
}

base::Result<base::SecretBytes> seal_swtpm_file(base::ByteView state, const SwtpmKeys& keys) {
  TRY_ASSIGN(records, state_records(state, keys.file));
  return framed(records.flags, records.bytes.expose());
}

base::Result<base::SecretBytes> seal_swtpm_travel(base::ByteView state, const SwtpmKeys& keys,
                                                  SwtpmTravel travel) {
  TRY_ASSIGN(records,
             state_records(state, travel == SwtpmTravel::kUnderFileKey ? keys.file : nullptr));
  const auto flags = records.flags | kFlagMigration;
  if (keys.migration == nullptr) {
    return framed(flags, record(kTagMigrationData, records.bytes.expose()).expose());
  }
  TRY_ASSIGN(bytes, put_on(kMigrationLayer, *keys.migration, records.bytes.expose()));
  return framed(flags | flags_of(*keys.migration, kFlagMigrationEncrypted, kFlagMigrationKey256),
                bytes.expose());
}

}  // namespace vmgs::format
