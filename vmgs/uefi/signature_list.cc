// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/signature_list.h"

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <utility>

#include "vmgs/base/cursor.h"
#include "vmgs/base/layout.h"
#include "vmgs/format/vm_id.h"

namespace vmgs::uefi {

namespace {

using base::ErrorCode;

struct ListLayout {
  Guid type;
  base::U32Le list_bytes;
  base::U32Le header_bytes;
  base::U32Le signature_bytes;
};

static_assert(sizeof(ListLayout) == 28);
static_assert(offsetof(ListLayout, signature_bytes) == 24);

// Not parse_guid(): its names are made at the start of the program too.
Guid guid_of(std::string_view text) { return format::guid_bytes(*format::parse_vm_id(text)); }

// A type that UEFI defines, and how many bytes each signature has behind its owner; 0: any number.
struct KnownType {
  Guid type;
  std::size_t data_bytes;
};

const std::array<KnownType, 12>& known_types() {
  static const std::array<KnownType, 12> kTypes = {{
      {kSha256Signature, 32},
      {kX509Signature, 0},
      {guid_of("3c5766e8-269c-4e34-aa14-ed776e85b3b6"), 256},  // RSA-2048
      {guid_of("e2b36190-879b-4a3d-ad8d-f2e7bba32784"), 256},  // RSA-2048 with SHA-256
      {guid_of("67f8444f-8743-48f1-a328-1eaab8736080"), 256},  // RSA-2048 with SHA-1
      {guid_of("826ca512-cf10-4ac9-b187-be01496631bd"), 20},   // SHA-1
      {guid_of("0b6e5233-a65c-44c9-9407-d9ab83bfc8bd"), 28},   // SHA-224
      {guid_of("ff3e5307-9fd0-48c9-85f1-8ad56c701e01"), 48},   // SHA-384
      {guid_of("093e0fae-a6c4-4f50-9f1b-d41e2b89c19a"), 64},   // SHA-512
      {guid_of("3bd2a492-96c0-4079-b420-fcf98ef103ed"), 48},   // SHA-256 of X.509, and a time
      {guid_of("7076876e-80c2-4ee6-aad2-28b349a6865b"), 64},   // SHA-384 of X.509, and a time
      {guid_of("446dbf63-2502-4cda-bcfa-2465d2b0fe9d"), 80},   // SHA-512 of X.509, and a time
  }};
  return kTypes;
}

base::Result<SignatureList> decode_list(base::Reader& reader) {
  TRY_ASSIGN(raw, reader.layout<ListLayout>());
  const std::uint64_t header_bytes = raw.header_bytes.value();
  const std::uint64_t signature_bytes = raw.signature_bytes.value();
  const std::uint64_t list_bytes = raw.list_bytes.value();
  if (signature_bytes < kOwnerBytes || list_bytes < sizeof(ListLayout) + header_bytes ||
      (list_bytes - sizeof(ListLayout) - header_bytes) % signature_bytes != 0) {
    return base::fail(ErrorCode::kCorrupt, "its sizes do not fit each other");
  }
  SignatureList list;
  list.type = raw.type;
  list.signature_bytes = static_cast<std::size_t>(signature_bytes);
  TRY_ASSIGN(body, reader.bytes(static_cast<std::size_t>(list_bytes - sizeof(ListLayout))));
  list.header = base::copy_of(body.first(static_cast<std::size_t>(header_bytes)));
  for (auto rest = body.subspan(static_cast<std::size_t>(header_bytes)); !rest.empty();
       rest = rest.subspan(list.signature_bytes)) {
    list.signatures.push_back(base::copy_of(rest.first(list.signature_bytes)));
  }
  return list;
}

}  // namespace

const Guid kX509Signature = guid_of("a5c059a1-94e4-4aa7-87b5-ab155c2bf072");
const Guid kSha256Signature = guid_of("c1c41626-504c-4092-aca9-41f936934328");

base::Result<std::vector<SignatureList>> decode_signature_lists(base::ByteView bytes) {
  std::vector<SignatureList> lists;
  std::size_t signatures = 0;
  base::Reader reader(bytes);
  while (!reader.empty()) {
    const auto at = reader.offset();
    auto list = decode_list(reader);
    if (!list) {
      return base::fail(
          std::move(list).error().context("the signature list at " + std::to_string(at)));
    }
    signatures += list->signatures.size();
    if (signatures > kMaxSignatures) {
      return base::fail(ErrorCode::kCorrupt,
                        "there are more than " + std::to_string(kMaxSignatures) + " signatures");
    }
    lists.push_back(*std::move(list));
  }
  return lists;
}

base::Bytes encode_signature_lists(const std::vector<SignatureList>& lists) {
  base::Writer writer;
  for (const auto& list : lists) {
    ListLayout raw{};
    raw.type = list.type;
    raw.list_bytes = static_cast<std::uint32_t>(sizeof(ListLayout) + list.header.size() +
                                                list.signature_bytes * list.signatures.size());
    raw.header_bytes = static_cast<std::uint32_t>(list.header.size());
    raw.signature_bytes = static_cast<std::uint32_t>(list.signature_bytes);
    writer.layout(raw);
    writer.bytes(list.header);
    for (const auto& signature : list.signatures) {
      writer.bytes(signature);
    }
  }
  return std::move(writer).take();
}

std::size_t count(const std::vector<SignatureList>& lists) {
  std::size_t signatures = 0;
  for (const auto& list : lists) {
    signatures += list.signatures.size();
  }
  return signatures;
}

std::vector<base::Bytes> certificates_of(const std::vector<SignatureList>& lists) {
  std::vector<base::Bytes> certificates;
  for (const auto& list : lists) {
    for (const auto& signature : list.signatures) {
      if (list.type == kX509Signature) {
        certificates.push_back(base::copy_of(base::ByteView(signature).subspan(kOwnerBytes)));
      }
    }
  }
  return certificates;
}

base::Result<void> check_signature_lists(const std::vector<SignatureList>& lists) {
  for (const auto& list : lists) {
    const auto& known = known_types();
    const auto type = std::find_if(known.begin(), known.end(),
                                   [&](const auto& each) { return each.type == list.type; });
    if (type == known.end()) {
      return base::fail(ErrorCode::kCorrupt, "a signature list is of type " + to_string(list.type) +
                                                 ", which UEFI does not define");
    }
    const auto data_bytes = list.signature_bytes - kOwnerBytes;
    if (!list.header.empty() || (type->data_bytes != 0 && data_bytes != type->data_bytes)) {
      return base::fail(ErrorCode::kCorrupt,
                        "a signature list of type " + to_string(list.type) + " has a header of " +
                            std::to_string(list.header.size()) + " and signatures of " +
                            std::to_string(list.signature_bytes) +
                            " bytes, which do not belong to that type");
    }
  }
  return {};
}

base::Result<Appended> append_signatures(base::ByteView present, base::ByteView more) {
  TRY_ASSIGN(have, decode_signature_lists(present));
  TRY_ASSIGN(lists, decode_signature_lists(more));
  std::set<std::pair<Guid, base::Bytes>> known;
  for (const auto& list : have) {
    for (const auto& signature : list.signatures) {
      known.emplace(list.type, signature);
    }
  }
  Appended result;
  std::vector<SignatureList> fresh;
  for (auto& list : lists) {
    const auto before = list.signatures.size();
    std::erase_if(list.signatures, [&](const base::Bytes& signature) {
      return known.contains({list.type, signature});
    });
    result.known += before - list.signatures.size();
    result.added += list.signatures.size();
    if (!list.signatures.empty()) {
      fresh.push_back(std::move(list));
    }
  }
  const auto rest = encode_signature_lists(fresh);
  result.content = base::copy_of(present);
  result.content.insert(result.content.end(), rest.begin(), rest.end());
  return result;
}

}  // namespace vmgs::uefi
