// SPDX-License-Identifier: Apache-2.0
#include "keybroker/protocol/runtime_claims.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "keybroker/protocol/strict_json.h"
#include "vmgs/crypto/base64.h"

namespace keybroker::protocol {

namespace {

namespace json = boost::json;
using ::vmgs::crypto::Base64;
using ::vmgs::crypto::decode_base64;
using ::vmgs::crypto::encode_base64;

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "runtime claims: " + why);
}

std::size_t bits_of(const base::Bytes& number) {
  std::size_t bits = number.size() * 8;
  for (auto top = std::to_integer<unsigned>(number.front()); top < 0x80 && bits > 0; top <<= 1U) {
    --bits;
  }
  return bits;
}

// integer_member() is a number as RFC 7518 section 6.3.1 writes it: no leading zero byte.
base::Result<base::Bytes> integer_member(const json::object& key, std::string_view name) {
  TRY_ASSIGN(text, text_member(key, name));
  auto number = decode_base64(text, Base64::kUrl);
  if (!number || number->empty() || number->front() == std::byte{0}) {
    return corrupt("the member '" + std::string(name) + "' of a key is no number in base64url");
  }
  return number;
}

base::Result<void> check_strength(const RsaJwk& key) {
  if (bits_of(key.modulus) < 2048 || (key.modulus.back() & std::byte{1}) == std::byte{0}) {
    return corrupt("the modulus of '" + key.kid + "' is even or shorter than 2048 bits");
  }
  std::uint64_t exponent = 0;
  for (const auto byte : key.exponent) {
    exponent = exponent << 8U | std::to_integer<std::uint64_t>(byte);
  }
  if (key.exponent.size() > 4 || exponent < 65537 || exponent % 2 == 0) {
    return corrupt("the exponent of '" + key.kid + "' is even, below 65537 or above 32 bits");
  }
  return {};
}

base::Result<RsaJwk> read_key(const json::value& value) {
  if (!value.is_object()) {
    return corrupt("a key is no object");
  }
  const auto& object = value.get_object();
  RsaJwk key;
  TRY_ASSIGN(kid, text_member(object, "kid"));
  TRY_ASSIGN(kty, text_member(object, "kty"));
  if (kty != "RSA") {
    return corrupt("the key '" + kid.substr(0, 40) + "' is not RSA");
  }
  TRY_ASSIGN(modulus, integer_member(object, "n"));
  TRY_ASSIGN(exponent, integer_member(object, "e"));
  TRY_ASSIGN(key_ops, array_member(object, "key_ops"));
  for (const auto& operation : *key_ops) {
    if (!operation.is_string()) {
      return corrupt("an operation of a key is no string");
    }
    key.key_ops.emplace_back(operation.get_string());
  }
  key.kid = std::move(kid);
  key.modulus = std::move(modulus);
  key.exponent = std::move(exponent);
  TRY(check_strength(key));
  return key;
}

base::Result<std::vector<RsaJwk>> read_keys(const json::object& claims) {
  TRY_ASSIGN(array, array_member(claims, "keys"));
  std::vector<RsaJwk> keys;
  for (const auto& value : *array) {
    TRY_ASSIGN(key, read_key(value));
    if (std::ranges::find(keys, key.kid, &RsaJwk::kid) != keys.end()) {
      return corrupt("the key '" + key.kid.substr(0, 40) + "' is there twice");
    }
    keys.push_back(std::move(key));
  }
  return keys;
}

base::Result<std::optional<bool>> optional_flag(const json::object& object, std::string_view name) {
  if (!object.contains(name)) {
    return std::nullopt;
  }
  TRY_ASSIGN(flag, flag_member(object, name));
  return flag;
}

base::Result<VmConfiguration> read_vm(const json::object& claims) {
  TRY_ASSIGN(object, object_member(claims, "vm-configuration"));
  VmConfiguration vm;
  TRY_ASSIGN(secure_boot, optional_flag(*object, "secure-boot"));
  TRY_ASSIGN(tpm_enabled, optional_flag(*object, "tpm-enabled"));
  TRY_ASSIGN(tpm_persisted, optional_flag(*object, "tpm-persisted"));
  TRY_ASSIGN(console_enabled, optional_flag(*object, "console-enabled"));
  TRY_ASSIGN(vm_unique_id, text_member(*object, "vmUniqueId"));
  if (object->contains("hardware-sealing-policy")) {
    TRY_ASSIGN(policy, text_member(*object, "hardware-sealing-policy"));
    vm.hardware_sealing_policy = std::move(policy);
  }
  vm.secure_boot = secure_boot;
  vm.tpm_enabled = tpm_enabled;
  vm.tpm_persisted = tpm_persisted;
  vm.console_enabled = console_enabled;
  vm.vm_unique_id = std::move(vm_unique_id);
  return vm;
}

base::Result<ClaimsDigest> read_digest(const json::object& claims) {
  TRY_ASSIGN(text, text_member(claims, "claims-sha256"));
  const auto bytes = decode_base64(text, Base64::kUrl);
  ClaimsDigest digest{};
  if (!bytes || bytes->size() != digest.size()) {
    return corrupt("'claims-sha256' is no digest in base64url");
  }
  std::ranges::copy(*bytes, digest.begin());
  return digest;
}

json::object json_of(const RsaJwk& key) {
  json::array key_ops;
  for (const auto& operation : key.key_ops) {
    key_ops.emplace_back(operation);
  }
  return {{"kid", key.kid},
          {"key_ops", std::move(key_ops)},
          {"kty", "RSA"},
          {"e", encode_base64(key.exponent, Base64::kUrl)},
          {"n", encode_base64(key.modulus, Base64::kUrl)}};
}

}  // namespace

const RsaJwk* RuntimeClaims::key(std::string_view kid) const {
  const auto found = std::ranges::find(keys, kid, &RsaJwk::kid);
  return found == keys.end() ? nullptr : &*found;
}

base::Result<RuntimeClaims> decode_runtime_claims(std::string_view text) {
  TRY_ASSIGN(value, parse_json(text, kMaxClaimsBytes));
  if (!value.is_object()) {
    return corrupt("they are no object");
  }
  const auto& object = value.get_object();
  RuntimeClaims claims;
  TRY_ASSIGN(keys, read_keys(object));
  TRY_ASSIGN(vm, read_vm(object));
  claims.keys = std::move(keys);
  claims.vm = std::move(vm);
  if (object.contains("user-data")) {
    TRY_ASSIGN(bytes, hex_member(object, "user-data", 64));
    std::ranges::copy(bytes, claims.user_data.emplace().begin());
  }
  if (object.contains("claims-sha256")) {
    TRY_ASSIGN(digest, read_digest(object));
    claims.extended_digest = digest;
  }
  return claims;
}

base::Result<std::string> encode(const RuntimeClaims& claims) {
  const auto& vm = claims.vm;
  if (!vm.secure_boot || !vm.tpm_enabled || !vm.tpm_persisted || !vm.hardware_sealing_policy ||
      vm.console_enabled) {
    return base::fail(
        base::ErrorCode::kInvalidArgument,
        "runtime claims: our form has exactly five members of the VM's configuration");
  }
  json::array keys;
  for (const auto& key : claims.keys) {
    keys.push_back(json_of(key));
  }
  json::object object{{"keys", std::move(keys)},
                      {"vm-configuration",
                       {{"secure-boot", *vm.secure_boot},
                        {"tpm-enabled", *vm.tpm_enabled},
                        {"tpm-persisted", *vm.tpm_persisted},
                        {"vmUniqueId", vm.vm_unique_id},
                        {"hardware-sealing-policy", *vm.hardware_sealing_policy}}}};
  if (claims.user_data) {
    object["user-data"] = base::to_hex(*claims.user_data);
  }
  if (claims.extended_digest) {
    object["claims-sha256"] = encode_base64(*claims.extended_digest, Base64::kUrl);
  }
  return json::serialize(object);
}

}  // namespace keybroker::protocol
