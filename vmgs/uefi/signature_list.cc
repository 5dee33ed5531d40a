// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/signature_list.h"

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
