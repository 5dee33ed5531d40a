// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/signature_database.h"

#include <algorithm>

#include "vmgs/base/cursor.h"
#include "vmgs/base/layout.h"

namespace keybroker::evidence {

namespace {

struct ListLayout {
  EfiGuid type;
  base::U32Le bytes;            // of all
  base::U32Le header_bytes;     // of a header that no known type has
  base::U32Le signature_bytes;  // of each entry, its owner included
};

static_assert(sizeof(ListLayout) == 28);

// a5c059a1-94e4-4aa7-87b5-ab155c2bf072 and c1c41626-504c-4092-aca9-41f936934328, first fields
// little-endian.
constexpr EfiGuid kCertX509{std::byte{0xa1}, std::byte{0x59}, std::byte{0xc0}, std::byte{0xa5},
                            std::byte{0xe4}, std::byte{0x94}, std::byte{0xa7}, std::byte{0x4a},
                            std::byte{0x87}, std::byte{0xb5}, std::byte{0xab}, std::byte{0x15},
                            std::byte{0x5c}, std::byte{0x2b}, std::byte{0xf0}, std::byte{0x72}};
constexpr EfiGuid kCertSha256{std::byte{0x26}, std::byte{0x16}, std::byte{0xc4}, std::byte{0xc1},
                              std::byte{0x4c}, std::byte{0x50}, std::byte{0x92}, std::byte{0x40},
                              std::byte{0xac}, std::byte{0xa9}, std::byte{0x41}, std::byte{0xf9},
                              std::byte{0x36}, std::byte{0x93}, std::byte{0x43}, std::byte{0x28}};

auto corrupt(const std::string& why) { return base::fail(base::ErrorCode::kCorrupt, why); }

base::Result<std::u16string> read_name(base::Reader& in, std::uint64_t characters) {
  if (characters > in.remaining() / 2) {
    return corrupt("UEFI variable: its name is longer than it");
  }
  std::u16string name;
  for (std::uint64_t i = 0; i < characters; ++i) {
    TRY_ASSIGN(character, in.u16_le());
    name.push_back(static_cast<char16_t>(character));
  }
  return name;
}

}  // namespace

std::string EfiVariable::plain_name() const {
  std::string plain;
  for (const char16_t c : name) {
    plain.push_back(c >= ' ' && c < 0x7F ? static_cast<char>(c) : '?');
  }
  return plain;
}

base::Result<EfiVariable> decode_efi_variable(base::ByteView bytes, std::size_t stray) {
  base::Reader in(bytes);
  EfiVariable variable;
  TRY_ASSIGN(guid, in.layout<EfiGuid>());
  TRY_ASSIGN(characters, in.u64_le());
  TRY_ASSIGN(content_bytes, in.u64_le());
  TRY_ASSIGN(name, read_name(in, characters));
  if (content_bytes > in.remaining() || in.remaining() - content_bytes > stray) {
    return corrupt("UEFI variable: its content is not as long as it says");
  }
  TRY_ASSIGN(content, in.bytes(static_cast<std::size_t>(content_bytes)));
  variable.guid = guid;
  variable.name = std::move(name);
  variable.content = base::copy_of(content);
  return variable;
}

base::Bytes encode(const EfiVariable& variable) {
  base::Writer out;
  out.bytes(variable.guid);
  out.u64_le(variable.name.size());
  out.u64_le(variable.content.size());
  for (const char16_t c : variable.name) {
    out.u16_le(c);
  }
  out.bytes(variable.content);
  return std::move(out).take();
}

bool EfiSignature::is_certificate() const { return type == kCertX509; }

bool EfiSignature::is_sha256() const { return type == kCertSha256 && content.size() == 32; }

base::Result<std::vector<EfiSignature>> decode_signature_database(base::ByteView bytes) {
  base::Reader in(bytes);
  std::vector<EfiSignature> signatures;
  while (!in.empty()) {
    TRY_ASSIGN(list, in.layout<ListLayout>());
    const std::uint64_t all = list.bytes.value();
    const std::uint64_t fixed = sizeof(ListLayout) + std::uint64_t{list.header_bytes.value()};
    const std::uint64_t each = list.signature_bytes.value();
    if (all < fixed || each < sizeof(EfiGuid) || (all - fixed) % each != 0) {
      return corrupt("signature database: the sizes of a list do not fit each other");
    }
    TRY(in.bytes(list.header_bytes.value()));
    for (std::uint64_t i = 0; i < (all - fixed) / each; ++i) {
      if (signatures.size() == kMaxEfiSignatures) {
        return corrupt("signature database: it has more than 65536 entries");
      }
      TRY_ASSIGN(owner, in.layout<EfiGuid>());
      TRY_ASSIGN(content, in.bytes(static_cast<std::size_t>(each) - sizeof(EfiGuid)));
      signatures.push_back({list.type, owner, base::copy_of(content)});
    }
  }
  return signatures;
}

base::Bytes encode_signature_database(const std::vector<EfiSignature>& signatures) {
  base::Writer out;
  for (const auto& signature : signatures) {
    ListLayout list{};
    list.type = signature.type;
    const auto each = static_cast<std::uint32_t>(sizeof(EfiGuid) + signature.content.size());
    list.bytes = static_cast<std::uint32_t>(sizeof(ListLayout) + each);
    list.signature_bytes = each;
    out.layout(list);
    out.bytes(signature.owner);
    out.bytes(signature.content);
  }
  return std::move(out).take();
}

}  // namespace keybroker::evidence
