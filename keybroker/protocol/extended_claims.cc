// SPDX-License-Identifier: Apache-2.0
#include "keybroker/protocol/extended_claims.h"

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "keybroker/protocol/strict_json.h"
#include "keybroker/protocol/uuid.h"

namespace keybroker::protocol {

namespace {

namespace json = boost::json;

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "extended claims: " + why);
}

// A TPM Name is two bytes of algorithm and a digest of at most 64.
base::Result<base::Bytes> tpm_name_member(const json::object& object, std::string_view name) {
  TRY_ASSIGN(text, text_member(object, name));
  auto bytes = base::from_hex(text);
  if (!bytes || bytes->size() < 2 + 20 || bytes->size() > 2 + 64) {
    return corrupt("the member '" + std::string(name) + "' is no TPM Name");
  }
  return bytes;
}

base::Result<base::Bytes> launch_member(const json::object& object) {
  TRY_ASSIGN(text, text_member(object, "launch"));
  auto bytes = base::from_hex(text);
  if (!bytes || (bytes->size() != 32 && bytes->size() != 48)) {
    return corrupt("the member 'launch' is no launch digest");
  }
  return bytes;
}

base::Result<StateProtection> read_protection(const json::object& object) {
  TRY_ASSIGN(inner, object_member(object, "state-protection"));
  StateProtection protection;
  TRY_ASSIGN(mode, word_member(*inner, "mode",
                               {Protection::kNone, Protection::kHost, Protection::kHardware,
                                Protection::kBroker}));
  TRY_ASSIGN(kek, text_member(*inner, "kek"));
  TRY_ASSIGN(tcb, text_member(*inner, "tcb"));
  protection.mode = mode;
  protection.kek = std::move(kek);
  protection.tcb = std::move(tcb);
  return protection;
}

base::Result<void> read_names(const json::object& object, ExtendedClaims& claims) {
  TRY_ASSIGN(ek_name, tpm_name_member(object, "ek-name"));
  TRY_ASSIGN(ak_name, tpm_name_member(object, "ak-name"));
  claims.ek_name = std::move(ek_name);
  claims.ak_name = std::move(ak_name);
  if (object.contains("ecc-ak-name")) {
    TRY_ASSIGN(ecc_ak_name, tpm_name_member(object, "ecc-ak-name"));
    claims.ecc_ak_name = std::move(ecc_ak_name);
  }
  if (object.contains("ecc-ek-name")) {
    TRY_ASSIGN(ecc_ek_name, tpm_name_member(object, "ecc-ek-name"));
    claims.ecc_ek_name = std::move(ecc_ek_name);
  }
  return {};
}

base::Result<void> read_identity(const json::object& object, ExtendedClaims& claims) {
  TRY_ASSIGN(purpose, text_member(object, "purpose"));
  TRY_ASSIGN(vm_id, text_member(object, "vm-id"));
  const auto uuid = parse_uuid(vm_id);
  if (!uuid) {
    return corrupt("'vm-id': " + uuid.error().message);
  }
  TRY_ASSIGN(boot_id, hex_member(object, "boot-id", 16));
  TRY_ASSIGN(launch, launch_member(object));
  claims.purpose = std::move(purpose);
  claims.vm_id = *uuid;
  std::ranges::copy(boot_id, claims.boot_id.begin());
  claims.launch = std::move(launch);
  return {};
}

}  // namespace

std::string_view name(Home home) { return home == Home::kHost ? "host" : "paravisor"; }

std::string_view name(SeedOrigin origin) {
  switch (origin) {
    case SeedOrigin::kOwn:
      return "own";
    case SeedOrigin::kForeign:
      return "foreign";
    case SeedOrigin::kImported:
      return "imported";
  }
  return "";
}

base::Result<ExtendedClaims> decode_extended_claims(std::string_view text) {
  TRY_ASSIGN(value, parse_json(text, kMaxExtendedClaimsBytes));
  if (!value.is_object()) {
    return corrupt("they are no object");
  }
  const auto& object = value.get_object();
  ExtendedClaims claims;
  TRY(read_identity(object, claims));
  TRY_ASSIGN(home, word_member(object, "home", {Home::kHost, Home::kParavisor}));
  TRY_ASSIGN(origin, word_member(object, "origin",
                                 {SeedOrigin::kOwn, SeedOrigin::kForeign, SeedOrigin::kImported}));
  TRY_ASSIGN(lifetime,
             word_member(object, "lifetime", {Lifetime::kEphemeral, Lifetime::kPersistent}));
  TRY_ASSIGN(protection, read_protection(object));
  TRY_ASSIGN(tee_simulated, flag_member(object, "tee-simulated"));
  claims.home = home;
  claims.origin = origin;
  claims.lifetime = lifetime;
  claims.state_protection = std::move(protection);
  claims.tee_simulated = tee_simulated;
  TRY(read_names(object, claims));
  if (object.contains("freshness")) {
    TRY_ASSIGN(freshness, object_member(object, "freshness"));
    claims.freshness = *freshness;
  }
  return claims;
}

base::Result<std::string> encode(const ExtendedClaims& claims) {
  json::object object{{"purpose", claims.purpose},
                      {"vm-id", uuid_text(claims.vm_id)},
                      {"boot-id", base::to_hex(claims.boot_id)},
                      {"launch", base::to_hex(claims.launch)},
                      {"home", name(claims.home)},
                      {"origin", name(claims.origin)},
                      {"lifetime", name(claims.lifetime)},
                      {"state-protection",
                       {{"mode", name(claims.state_protection.mode)},
                        {"kek", claims.state_protection.kek},
                        {"tcb", claims.state_protection.tcb}}},
                      {"ek-name", base::to_hex(claims.ek_name)},
                      {"ak-name", base::to_hex(claims.ak_name)}};
  if (claims.ecc_ak_name) {
    object["ecc-ak-name"] = base::to_hex(*claims.ecc_ak_name);
  }
  if (claims.ecc_ek_name) {
    object["ecc-ek-name"] = base::to_hex(*claims.ecc_ek_name);
  }
  object["tee-simulated"] = claims.tee_simulated;
  if (claims.freshness) {
    object["freshness"] = *claims.freshness;
  }
  auto text = json::serialize(object);
  // What cannot be read back was never whole: a Name or a digest of another size, or too much.
  if (const auto again = decode_extended_claims(text); !again) {
    return base::fail(base::ErrorCode::kInvalidArgument, again.error().message);
  }
  return text;
}

}  // namespace keybroker::protocol
