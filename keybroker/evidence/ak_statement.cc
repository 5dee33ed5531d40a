// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/ak_statement.h"

#include <algorithm>
#include <array>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "keybroker/crypto/der.h"
#include "keybroker/protocol/strict_json.h"
#include "keybroker/protocol/uuid.h"

namespace keybroker::evidence {

namespace {

namespace json = boost::json;
using protocol::text_member;
using protocol::word_member;

constexpr std::size_t kMaxStatementBytes = 2048;
constexpr std::size_t kMaxNameBytes = 2 + 64;

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "AK statement: " + why);
}

base::Result<base::Bytes> short_hex_member(const json::object& object, std::string_view name) {
  TRY_ASSIGN(text, text_member(object, name));
  auto bytes = base::from_hex(text);
  if (!bytes || bytes->size() > kMaxNameBytes) {
    return corrupt("'" + std::string(name) + "' is not up to 66 bytes in hexadecimal digits");
  }
  return bytes;
}

base::Result<void> read_identity(const json::object& object, AkStatement& statement) {
  TRY_ASSIGN(class_word, text_member(object, "class"));
  const auto ak_class = parse_ak_class(class_word);
  if (!ak_class) {
    return corrupt("an unknown class");
  }
  TRY_ASSIGN(vm_id_text, text_member(object, "vm-id"));
  const auto vm_id = protocol::parse_uuid(vm_id_text);
  if (!vm_id) {
    return corrupt(vm_id.error().message);
  }
  TRY_ASSIGN(tee_word, text_member(object, "tee"));
  const auto tee = protocol::parse_tee_family(tee_word);
  if (!tee) {
    return corrupt("an unknown TEE family");
  }
  statement.ak_class = *ak_class;
  statement.vm_id = *vm_id;
  statement.tee = *tee;
  return {};
}

base::Result<void> read_state(const json::object& object, AkStatement& statement) {
  using protocol::Lifetime;
  using protocol::Protection;
  using protocol::SeedOrigin;
  TRY_ASSIGN(protection, word_member(object, "protection",
                                     {Protection::kNone, Protection::kHost, Protection::kHardware,
                                      Protection::kBroker}));
  TRY_ASSIGN(lifetime,
             word_member(object, "lifetime", {Lifetime::kEphemeral, Lifetime::kPersistent}));
  TRY_ASSIGN(origin, word_member(object, "origin",
                                 {SeedOrigin::kOwn, SeedOrigin::kForeign, SeedOrigin::kImported}));
  TRY_ASSIGN(epoch, protocol::number_member(object, "epoch", ~std::uint64_t{0}));
  statement.protection = protection;
  statement.lifetime = lifetime;
  statement.origin = origin;
  statement.epoch = epoch;
  return {};
}

base::Result<void> read_digests(const json::object& object, AkStatement& statement) {
  TRY_ASSIGN(measurement, short_hex_member(object, "measurement"));
  TRY_ASSIGN(launch, short_hex_member(object, "launch"));
  TRY_ASSIGN(ak_name, short_hex_member(object, "ak-name"));
  TRY_ASSIGN(ek_name, short_hex_member(object, "ek-name"));
  TRY_ASSIGN(claims, protocol::hex_member(object, "claims", statement.claims_digest.size()));
  statement.measurement = std::move(measurement);
  statement.launch = std::move(launch);
  statement.ak_name = std::move(ak_name);
  statement.ek_name = std::move(ek_name);
  std::ranges::copy(claims, statement.claims_digest.begin());
  return {};
}

}  // namespace

std::string_view name(AkClass ak_class) {
  switch (ak_class) {
    case AkClass::kCvm:
      return "cvm";
    case AkClass::kHost:
      return "host";
    case AkClass::kSimulated:
      return "simulated";
  }
  return "";
}

std::optional<AkClass> parse_ak_class(std::string_view word) {
  for (const auto ak_class : {AkClass::kCvm, AkClass::kHost, AkClass::kSimulated}) {
    if (word == name(ak_class)) {
      return ak_class;
    }
  }
  return std::nullopt;
}

std::string encode(const AkStatement& statement) {
  return json::serialize(json::object{{"class", name(statement.ak_class)},
                                      {"vm-id", protocol::uuid_text(statement.vm_id)},
                                      {"tee", protocol::name(statement.tee)},
                                      {"measurement", base::to_hex(statement.measurement)},
                                      {"launch", base::to_hex(statement.launch)},
                                      {"protection", protocol::name(statement.protection)},
                                      {"lifetime", protocol::name(statement.lifetime)},
                                      {"origin", protocol::name(statement.origin)},
                                      {"epoch", statement.epoch},
                                      {"ak-name", base::to_hex(statement.ak_name)},
                                      {"ek-name", base::to_hex(statement.ek_name)},
                                      {"claims", base::to_hex(statement.claims_digest)}});
}

base::Result<AkStatement> decode_ak_statement(std::string_view text) {
  TRY_ASSIGN(value, protocol::parse_json(text, kMaxStatementBytes));
  if (!value.is_object()) {
    return corrupt("it is no object");
  }
  AkStatement statement;
  TRY(read_identity(value.get_object(), statement));
  TRY(read_state(value.get_object(), statement));
  TRY(read_digests(value.get_object(), statement));
  return statement;
}

base::Result<AkStatement> ak_statement_of(const crypto::Certificate& certificate) {
  TRY_ASSIGN(content, certificate.extension(std::string(kAkStatementOid)));
  if (!content) {
    return base::fail(base::ErrorCode::kNotFound, "the certificate has no AK statement");
  }
  TRY_ASSIGN(text, crypto::decode_der_ia5(*content));
  return decode_ak_statement(text);
}

}  // namespace keybroker::evidence
