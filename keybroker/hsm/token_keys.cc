// SPDX-License-Identifier: Apache-2.0
#include "keybroker/hsm/token_keys.h"

#include <set>
#include <utility>

#include "keybroker/hsm/return_value.h"
#include "keybroker/hsm/token.h"
#include "keybroker/hsm/token_key.h"
#include "keybroker/protocol/uuid.h"

namespace keybroker::hsm {
namespace {

using base::ErrorCode;
using base::Result;

tl::unexpected<base::Error> as_error(const KekStatus& status) {
  const auto code =
      status.state == KekState::kKeyAbsent ? ErrorCode::kNotFound : ErrorCode::kUnavailable;
  return base::fail(code,
                    std::string(name(status.state)) + ": " + status.finding + "; " + status.remedy);
}

KekStatus not_configured(const Uuid& tenant) {
  return {KekState::kTokenAbsent,
          "the keys of tenant " + protocol::uuid_text(tenant) +
              " are in a token, and the configuration names none for it",
          "put its line back into [hsm] tokens of this broker"};
}

}  // namespace

Result<std::unique_ptr<TokenKeys>> TokenKeys::create(const std::map<Uuid, std::string>& tokens,
                                                     TokenOptions options) {
  if (!options.read_pin || options.most_sessions == 0) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "tokens need a way to read PINs and at least one session");
  }
  std::map<std::filesystem::path, std::shared_ptr<Module>> modules;
  std::set<std::pair<std::filesystem::path, std::string>> taken;
  std::map<Uuid, std::unique_ptr<Token>> made;
  for (const auto& [tenant, text] : tokens) {
    auto uri = TokenUri::parse(text, options.module);
    if (!uri) {
      return base::fail(std::move(uri).error().context("tenant " + protocol::uuid_text(tenant)));
    }
    if (!taken.emplace(uri->module(), uri->text()).second) {
      return base::fail(ErrorCode::kInvalidArgument, "tenant " + protocol::uuid_text(tenant) +
                                                         ": " + uri->text() +
                                                         " is another tenant's token already");
    }
    auto& module = modules[uri->module()];
    if (!module) {
      module = std::make_shared<Module>(uri->module(), options.rescan_interval);
    }
    made.emplace(tenant, std::make_unique<Token>(tenant, *std::move(uri), module, options));
  }
  return std::unique_ptr<TokenKeys>(new TokenKeys(std::move(made)));
}

TokenKeys::TokenKeys(std::map<Uuid, std::unique_ptr<Token>> tokens) : tokens_(std::move(tokens)) {}

TokenKeys::~TokenKeys() = default;

bool TokenKeys::has(const Uuid& tenant) const { return tokens_.contains(tenant); }

Result<KekRecord> TokenKeys::make(const Uuid& tenant, std::string_view label) {
  TRY(check_label(label));
  const auto token = tokens_.find(tenant);
  if (token == tokens_.end()) {
    return as_error(not_configured(tenant));
  }
  auto key = token->second->generate(label);
  if (!key) {
    return as_error(key.error());
  }
  return KekRecord{tenant, Provider::kToken, kTokenRecordVersion,
                   base::copy_of(base::bytes_of(key->text()))};
}

Result<base::Bytes> TokenKeys::wrap(const KekRecord& record, base::ByteView context,
                                    const base::Secret<32>& secret) {
  TRY_ASSIGN(token, token_of(record));
  TRY_ASSIGN(key, KeyUri::parse(record.content));
  const auto additional = wrapped_key_context(record.tenant, context);
  Encrypted sealed;
  const auto result = token->with_key(
      key, [&](CK_FUNCTION_LIST& calls, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle) {
        sealed = encrypt(calls, session, handle, additional, secret.expose());
        return sealed.result;
      });
  if (!result) {
    return as_error(result.error());
  }
  if (*result != CKR_OK) {
    return base::fail(ErrorCode::kUnavailable,
                      token->uri().text() + " does not encrypt: " + return_value_name(*result) +
                          "; it must have CKM_AES_GCM");
  }
  return encode(sealed.wrapped);
}

Result<base::Secret<32>> TokenKeys::unwrap(const KekRecord& record, base::ByteView context,
                                           base::ByteView wrapped_bytes) {
  TRY_ASSIGN(wrapped, decode_wrapped_key(wrapped_bytes));
  TRY_ASSIGN(token, token_of(record));
  TRY_ASSIGN(key, KeyUri::parse(record.content));
  const auto additional = wrapped_key_context(record.tenant, context);
  auto secret = base::Secret<32>::zero();
  const auto result = token->with_key(
      key, [&](CK_FUNCTION_LIST& calls, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle) {
        return decrypt(calls, session, handle, additional, wrapped, secret.fill());
      });
  if (!result) {
    return as_error(result.error());
  }
  if (*result == CKR_ENCRYPTED_DATA_INVALID) {
    return base::fail(ErrorCode::kAuthentication,
                      "a wrapped key under " + key.text() +
                          " does not open: another key, another context, or altered bytes");
  }
  if (*result != CKR_OK) {
    return base::fail(ErrorCode::kUnavailable,
                      token->uri().text() + " does not decrypt: " + return_value_name(*result) +
                          "; it must have CKM_AES_GCM");
  }
  return secret;
}

KekStatus TokenKeys::status(const KekRecord& record) {
  const auto lost_record = "restore the record";
  if (!has(record.tenant)) {
    return not_configured(record.tenant);
  }
  const auto token = token_of(record);
  if (!token) {
    return {KekState::kKeyAbsent, token.error().message, lost_record};
  }
  const auto key = KeyUri::parse(record.content);
  if (!key) {
    return {KekState::kKeyAbsent, key.error().message, lost_record};
  }
  const auto result = (*token)->with_key(
      *key, [](CK_FUNCTION_LIST& calls, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle) {
        // Being able to encrypt takes all that unwrapping does: the login, the key, the mechanism.
        return encrypt(calls, session, handle, base::bytes_of("status"),
                       base::Secret<32>::zero().expose())
            .result;
      });
  if (!result) {
    return result.error();
  }
  if (*result != CKR_OK) {
    return {KekState::kKeyAbsent, key->text() + " does not encrypt: " + return_value_name(*result),
            "see that the token has CKM_AES_GCM and lets the key encrypt and decrypt"};
  }
  return {};
}

Result<Token*> TokenKeys::token_of(const KekRecord& record) const {
  if (record.provider != Provider::kToken || record.version != kTokenRecordVersion) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "this is no record of a key in a token of form 1: was it written by a newer "
                      "broker?");
  }
  const auto token = tokens_.find(record.tenant);
  if (token == tokens_.end()) {
    return as_error(not_configured(record.tenant));
  }
  return token->second.get();
}

}  // namespace keybroker::hsm
