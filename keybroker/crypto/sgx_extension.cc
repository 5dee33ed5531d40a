// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/sgx_extension.h"

#include <openssl/asn1t.h>
#include <openssl/objects.h>

#include <algorithm>
#include <map>
#include <string>

#include "keybroker/crypto/openssl.h"

namespace keybroker::crypto {

namespace {

// The whole extension is one shape, nested: SEQUENCE OF SEQUENCE { OBJECT IDENTIFIER, ANY }.
struct Member {
  ASN1_OBJECT* id;
  ASN1_TYPE* value;
};

}  // namespace

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wunused-function"
DEFINE_STACK_OF(Member)

ASN1_SEQUENCE(Member) =
    {
        ASN1_SIMPLE(Member, id, ASN1_OBJECT),
        ASN1_SIMPLE(Member, value, ASN1_ANY),
} static_ASN1_SEQUENCE_END(Member)

        ASN1_ITEM_TEMPLATE(Members) = ASN1_EX_TEMPLATE_TYPE(ASN1_TFLG_SEQUENCE_OF, 0, Members,
                                                            Member)
            static_ASN1_ITEM_TEMPLATE_END(Members)
#pragma GCC diagnostic pop

                namespace {

  const std::string kOid(kSgxExtensionOid);

  void free_members(ASN1_VALUE * members) { ASN1_item_free(members, ASN1_ITEM_rptr(Members)); }

  base::Bytes encode_members(const ASN1_VALUE* members) {
    const auto encode = [](const ASN1_VALUE* value, unsigned char** out) {
      return ASN1_item_i2d(value, out, ASN1_ITEM_rptr(Members));
    };
    return openssl::encoded(encode, members);
  }

  using Owned = std::unique_ptr<ASN1_VALUE, openssl::Freed<free_members>>;
  using Object = std::unique_ptr<ASN1_OBJECT, openssl::Freed<ASN1_OBJECT_free>>;
  using Type = std::unique_ptr<ASN1_TYPE, openssl::Freed<ASN1_TYPE_free>>;

  auto corrupt(const std::string& why) {
    return base::fail(base::ErrorCode::kCorrupt, "SGX extension: " + why);
  }

  // A SEQUENCE OF members under their OIDs. The values live as long as the owner.
  struct Sequence {
    Owned owner;
    std::map<std::string, const ASN1_TYPE*> members;
  };

  base::Result<Sequence> read_sequence(base::ByteView der) {
    const openssl::ClearedErrors errors;
    const unsigned char* at = openssl::in(der);
    Sequence sequence;
    sequence.owner.reset(
        ASN1_item_d2i(nullptr, &at, static_cast<long>(der.size()), ASN1_ITEM_rptr(Members)));
    // OpenSSL reads BER too; one encoding is accepted.
    if (!sequence.owner || !std::ranges::equal(encode_members(sequence.owner.get()), der)) {
      return corrupt("it is no DER SEQUENCE of names and values");
    }
    const auto* stack = reinterpret_cast<STACK_OF(Member)*>(sequence.owner.get());
    for (int i = 0; i < sk_Member_num(stack); ++i) {
      const Member* member = sk_Member_value(stack, i);
      std::array<char, 128> oid{};
      OBJ_obj2txt(oid.data(), static_cast<int>(oid.size()), member->id, 1);
      if (!sequence.members.emplace(oid.data(), member->value).second) {
        return corrupt(std::string(oid.data()) + " is there twice");
      }
    }
    return sequence;
  }

  // take() removes a member of a sequence, so that what is left over at the end is unknown.
  base::Result<const ASN1_TYPE*> take(Sequence & sequence, const std::string& oid, int type) {
    const auto node = sequence.members.extract(oid);
    if (node.empty()) {
      return corrupt(oid + " is missing");
    }
    if (ASN1_TYPE_get(node.mapped()) != type) {
      return corrupt(oid + " has another type");
    }
    return node.mapped();
  }

  base::ByteView content(const ASN1_TYPE* value) {
    const ASN1_STRING* text = value->value.asn1_string;
    return openssl::view(ASN1_STRING_get0_data(text), ASN1_STRING_length(text));
  }

  template <std::size_t N>
  base::Result<std::array<std::byte, N>> take_octets(Sequence & sequence, const std::string& oid) {
    TRY_ASSIGN(value, take(sequence, oid, V_ASN1_OCTET_STRING));
    const auto bytes = content(value);
    std::array<std::byte, N> octets{};
    if (bytes.size() != N) {
      return corrupt(oid + " has " + std::to_string(bytes.size()) + " bytes, expected " +
                     std::to_string(N));
    }
    std::ranges::copy(bytes, octets.begin());
    return octets;
  }

  base::Result<std::int64_t> take_number(Sequence & sequence, const std::string& oid, int type,
                                         std::int64_t most) {
    TRY_ASSIGN(value, take(sequence, oid, type));
    std::int64_t number = -1;
    const int read = type == V_ASN1_INTEGER
                         ? ASN1_INTEGER_get_int64(&number, value->value.integer)
                         : ASN1_ENUMERATED_get_int64(&number, value->value.enumerated);
    if (read != 1 || number < 0 || number > most) {
      return corrupt(oid + " is not between 0 and " + std::to_string(most));
    }
    return number;
  }

  base::Result<std::optional<bool>> take_flag(Sequence & sequence, const std::string& oid) {
    if (!sequence.members.contains(oid)) {
      return std::nullopt;
    }
    TRY_ASSIGN(value, take(sequence, oid, V_ASN1_BOOLEAN));
    return value->value.boolean != 0;
  }

  base::Result<void> expect_nothing_left(const Sequence& sequence) {
    if (!sequence.members.empty()) {
      return corrupt(sequence.members.begin()->first + " is not known here");
    }
    return {};
  }

  base::Result<SgxTcb> read_tcb(base::ByteView der) {
    TRY_ASSIGN(sequence, read_sequence(der));
    SgxTcb tcb;
    for (std::size_t i = 0; i < tcb.components.size(); ++i) {
      TRY_ASSIGN(svn,
                 take_number(sequence, kOid + ".2." + std::to_string(i + 1), V_ASN1_INTEGER, 0xFF));
      tcb.components[i] = static_cast<std::uint8_t>(svn);
    }
    TRY_ASSIGN(pce_svn, take_number(sequence, kOid + ".2.17", V_ASN1_INTEGER, 0xFFFF));
    TRY_ASSIGN(cpu_svn, take_octets<16>(sequence, kOid + ".2.18"));
    TRY(expect_nothing_left(sequence));
    tcb.pce_svn = static_cast<std::uint16_t>(pce_svn);
    tcb.cpu_svn = cpu_svn;
    return tcb;
  }

  base::Result<SgxConfiguration> read_configuration(base::ByteView der) {
    TRY_ASSIGN(sequence, read_sequence(der));
    TRY_ASSIGN(dynamic_platform, take_flag(sequence, kOid + ".7.1"));
    TRY_ASSIGN(cached_keys, take_flag(sequence, kOid + ".7.2"));
    TRY_ASSIGN(smt_enabled, take_flag(sequence, kOid + ".7.3"));
    TRY(expect_nothing_left(sequence));
    return SgxConfiguration{dynamic_platform, cached_keys, smt_enabled};
  }

  // Writes what read_sequence() reads.
  class Builder {
   public:
    Builder() : stack_(sk_Member_new_null()) {}

    Builder(const Builder&) = delete;
    Builder& operator=(const Builder&) = delete;

    ~Builder() { free_members(reinterpret_cast<ASN1_VALUE*>(stack_)); }

    void octets(const std::string& oid, base::ByteView value) {
      string(oid, V_ASN1_OCTET_STRING, value);
    }

    void sequence(const std::string& oid, const base::Bytes& value) {
      string(oid, V_ASN1_SEQUENCE, value);
    }

    void integer(const std::string& oid, std::int64_t value) {
      ASN1_INTEGER* number = ASN1_INTEGER_new();
      ASN1_INTEGER_set_int64(number, value);
      add(oid, V_ASN1_INTEGER, number);
    }

    void enumerated(const std::string& oid, std::int64_t value) {
      ASN1_ENUMERATED* number = ASN1_ENUMERATED_new();
      ASN1_ENUMERATED_set_int64(number, value);
      add(oid, V_ASN1_ENUMERATED, number);
    }

    // Any pointer that is not null is true.
    void flag(const std::string& oid, std::optional<bool> value) {
      if (value) {
        add(oid, V_ASN1_BOOLEAN, *value ? this : nullptr);
      }
    }

    [[nodiscard]] base::Bytes bytes() const {
      return encode_members(reinterpret_cast<const ASN1_VALUE*>(stack_));
    }

   private:
    void string(const std::string& oid, int type, base::ByteView value) {
      ASN1_STRING* text = ASN1_STRING_type_new(type);
      ASN1_STRING_set(text, value.data(), static_cast<int>(value.size()));
      add(oid, type, text);
    }

    void add(const std::string& oid, int type, void* value) {
      auto* member = reinterpret_cast<Member*>(ASN1_item_new(ASN1_ITEM_rptr(Member)));
      ASN1_OBJECT_free(member->id);
      member->id = OBJ_txt2obj(oid.c_str(), 1);
      ASN1_TYPE_set(member->value, type, value);
      sk_Member_push(stack_, member);
    }

    STACK_OF(Member) * stack_;
  };

}  // namespace

base::Result<SgxExtension> decode_sgx_extension(base::ByteView der) {
  TRY_ASSIGN(sequence, read_sequence(der));
  SgxExtension extension;
  TRY_ASSIGN(ppid, take_octets<16>(sequence, kOid + ".1"));
  TRY_ASSIGN(tcb_value, take(sequence, kOid + ".2", V_ASN1_SEQUENCE));
  TRY_ASSIGN(tcb, read_tcb(content(tcb_value)));
  TRY_ASSIGN(pce_id, take_octets<2>(sequence, kOid + ".3"));
  TRY_ASSIGN(fmspc, take_octets<6>(sequence, kOid + ".4"));
  TRY_ASSIGN(type, take_number(sequence, kOid + ".5", V_ASN1_ENUMERATED, 2));
  extension.ppid = ppid;
  extension.tcb = tcb;
  extension.pce_id = pce_id;
  extension.fmspc = fmspc;
  extension.type = static_cast<SgxType>(type);
  if (sequence.members.contains(kOid + ".6")) {
    TRY_ASSIGN(instance, take_octets<16>(sequence, kOid + ".6"));
    extension.platform_instance_id = instance;
  }
  if (sequence.members.contains(kOid + ".7")) {
    TRY_ASSIGN(value, take(sequence, kOid + ".7", V_ASN1_SEQUENCE));
    TRY_ASSIGN(configuration, read_configuration(content(value)));
    extension.configuration = configuration;
  }
  TRY(expect_nothing_left(sequence));
  return extension;
}

base::Bytes encode(const SgxExtension& extension) {
  Builder tcb;
  for (std::size_t i = 0; i < extension.tcb.components.size(); ++i) {
    tcb.integer(kOid + ".2." + std::to_string(i + 1), extension.tcb.components[i]);
  }
  tcb.integer(kOid + ".2.17", extension.tcb.pce_svn);
  tcb.octets(kOid + ".2.18", extension.tcb.cpu_svn);

  Builder all;
  all.octets(kOid + ".1", extension.ppid);
  all.sequence(kOid + ".2", tcb.bytes());
  all.octets(kOid + ".3", extension.pce_id);
  all.octets(kOid + ".4", extension.fmspc);
  all.enumerated(kOid + ".5", static_cast<std::int64_t>(extension.type));
  if (extension.platform_instance_id) {
    all.octets(kOid + ".6", *extension.platform_instance_id);
  }
  if (extension.configuration) {
    Builder configuration;
    configuration.flag(kOid + ".7.1", extension.configuration->dynamic_platform);
    configuration.flag(kOid + ".7.2", extension.configuration->cached_keys);
    configuration.flag(kOid + ".7.3", extension.configuration->smt_enabled);
    all.sequence(kOid + ".7", configuration.bytes());
  }
  return all.bytes();
}

}  // namespace keybroker::crypto
