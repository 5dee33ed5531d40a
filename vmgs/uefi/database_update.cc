// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/database_update.h"

#include <algorithm>
#include <array>
#include <utility>

#include "vmgs/uefi/authenticated_update.h"
#include "vmgs/uefi/signature_list.h"

namespace vmgs::uefi {

namespace {

using base::ErrorCode;

constexpr std::uint32_t kAttributes =
    kNonVolatile | kBootServiceAccess | kRuntimeAccess | kTimeBasedAuthenticatedWrite;

bool is_platform_key(const Database& database) { return database.name == u"PK"; }

// The update as it is applied: its lists, its time, and who is known to have signed it.
struct Admitted {
  UpdateMode mode = UpdateMode::kAppend;
  base::Bytes lists;
  Timestamp timestamp;
  bool is_signed = false;
  std::string signed_by;
};

base::Result<std::vector<base::Bytes>> certificates_in(const VariableStore& store,
                                                       std::u16string_view name) {
  const auto* const keys = store.find(kGlobalVariable, name);
  if (keys == nullptr) {
    return std::vector<base::Bytes>();
  }
  auto lists = decode_signature_lists(keys->data);
  if (!lists) {
    return base::fail(std::move(lists).error().context(text_of(name)));
  }
  return certificates_of(*lists);
}

// The certificates one of which has to have signed an update of `database`.
base::Result<std::vector<base::Bytes>> signers_of(const VariableStore& store,
                                                  const Database& database,
                                                  const AuthenticatedUpdate& update) {
  const bool is_setup_mode = store.find(kGlobalVariable, u"PK") == nullptr;
  if (is_setup_mode) {
    TRY_ASSIGN(lists, decode_signature_lists(update.payload));
    return certificates_of(lists);
  }
  const bool by_platform_key = database.vendor == kGlobalVariable;
  return certificates_in(store, by_platform_key ? u"PK" : u"KEK");
}

// Nothing in the bytes says whether they are to be appended, but it is signed too: so the mode is
// the one for which the signature holds.
base::Result<Admitted> verify(const VariableStore& store, const DatabaseUpdate& wanted,
                              const AuthenticatedUpdate& update, Admitted admitted) {
  const auto& [vendor, name] = wanted.database;
  TRY_ASSIGN(signers, signers_of(store, wanted.database, update));
  std::optional<base::Error> refused;
  for (const auto mode : {UpdateMode::kAppend, UpdateMode::kReplace}) {
    if (wanted.mode.value_or(mode) != mode) {
      continue;
    }
    const auto attributes = kAttributes | (mode == UpdateMode::kAppend ? kAppendWrite : 0);
    auto signer =
        wanted.check(update.signed_data, signed_content(update, vendor, name, attributes), signers);
    if (signer) {
      admitted.mode = mode;
      admitted.signed_by = *std::move(signer);
      return admitted;
    }
    refused = std::move(signer).error();
  }
  return base::fail(std::move(*refused).context("the signature of the update of " + text_of(name)));
}

base::Result<Admitted> admit(const VariableStore& store, const DatabaseUpdate& wanted) {
  Admitted admitted;
  admitted.mode = wanted.mode.value_or(is_platform_key(wanted.database) ? UpdateMode::kReplace
                                                                        : UpdateMode::kAppend);
  if (!is_authenticated_update(wanted.bytes)) {
    admitted.lists = wanted.bytes;
    return admitted;
  }
  TRY_ASSIGN(update, decode_authenticated_update(wanted.bytes));
  admitted.lists = update.payload;
  admitted.timestamp = update.timestamp();
  admitted.is_signed = true;
  const bool is_setup_mode = store.find(kGlobalVariable, u"PK") == nullptr;
  if (!wanted.check || (is_setup_mode && !is_platform_key(wanted.database))) {
    return admitted;
  }
  return verify(store, wanted, update, std::move(admitted));
}

// What firmware would refuse to take into any of the databases.
base::Result<void> check_lists(const DatabaseUpdate& wanted, base::ByteView content) {
  TRY_ASSIGN(lists, decode_signature_lists(content));
  auto checked = check_signature_lists(lists);
  for (const auto& certificate : certificates_of(lists)) {
    if (checked && wanted.certificate_check) {
      checked = wanted.certificate_check(certificate);
    }
  }
  if (!checked) {
    return base::fail(std::move(checked).error().context("firmware would refuse the update of " +
                                                         text_of(wanted.database.name)));
  }
  return {};
}

// PK holds one certificate and nothing else (UEFI 32.3.1).
base::Result<void> check_platform_key(const Database& database, base::ByteView content) {
  if (!is_platform_key(database)) {
    return {};
  }
  TRY_ASSIGN(lists, decode_signature_lists(content));
  if (count(lists) == 1 && certificates_of(lists).size() == 1) {
    return {};
  }
  return base::fail(ErrorCode::kDenied, "PK is one X.509 certificate: this would make it " +
                                            std::to_string(count(lists)) + " signatures");
}

// What the variable would be, and what is told of it.
base::Result<Variable> updated(const Variable* present, const Database& database,
                               const Admitted& admitted, UpdateOutcome& outcome) {
  Variable variable{.vendor = database.vendor,
                    .name = database.name,
                    .attributes = kAttributes,
                    .timestamp = present == nullptr ? Timestamp{} : present->timestamp,
                    .data = {},
                    .state = State::kCurrent};
  if (admitted.mode == UpdateMode::kAppend) {
    TRY_ASSIGN(appended, append_signatures(present == nullptr ? base::ByteView() : present->data,
                                           admitted.lists));
    outcome.added = appended.added;
    outcome.known = appended.known;
    variable.data = std::move(appended.content);
    variable.timestamp = std::max(variable.timestamp, admitted.timestamp);
    return variable;
  }
  if (admitted.is_signed && present != nullptr && admitted.timestamp <= present->timestamp) {
    return base::fail(ErrorCode::kDenied, "the update of " + text_of(database.name) +
                                              " is not younger than what it would replace: "
                                              "firmware takes none that was used, or is older");
  }
  TRY_ASSIGN(lists, decode_signature_lists(admitted.lists));
  outcome.added = count(lists);
  variable.data = admitted.lists;
  if (admitted.is_signed) {
    variable.timestamp = admitted.timestamp;
  }
  return variable;
}

}  // namespace

base::Result<Database> find_database(std::string_view name) {
  static const std::array<std::pair<std::string_view, Database>, 6> kDatabases = {{
      {"PK", {kGlobalVariable, u"PK"}},
      {"KEK", {kGlobalVariable, u"KEK"}},
      {"db", {kImageSecurityDatabase, u"db"}},
      {"dbx", {kImageSecurityDatabase, u"dbx"}},
      {"dbt", {kImageSecurityDatabase, u"dbt"}},
      {"dbr", {kImageSecurityDatabase, u"dbr"}},
  }};
  for (const auto& [known, database] : kDatabases) {
    if (known == name) {
      return database;
    }
  }
  return base::fail(
      ErrorCode::kInvalidArgument,
      "\"" + std::string(name) + "\" is no signature database: PK, KEK, db, dbx, dbt and dbr are");
}

base::Result<UpdateOutcome> update_database(VariableStore& store, const DatabaseUpdate& update) {
  TRY_ASSIGN(admitted, admit(store, update));
  TRY(check_lists(update, admitted.lists));
  const auto* const present = store.find(update.database.vendor, update.database.name);
  UpdateOutcome outcome;
  outcome.mode = admitted.mode;
  outcome.is_signed = admitted.is_signed;
  outcome.signed_by = admitted.signed_by;
  if (present != nullptr) {
    TRY_ASSIGN(have, decode_signature_lists(present->data));
    outcome.before = count(have);
  }
  TRY_ASSIGN(variable, updated(present, update.database, admitted, outcome));
  outcome.after =
      outcome.added + (admitted.mode == UpdateMode::kAppend ? outcome.before : std::size_t{0});
  if (outcome.changes_nothing()) {
    return outcome;
  }
  if (variable.data.empty()) {
    TRY(store.remove(update.database.vendor, update.database.name));
    return outcome;
  }
  TRY(check_platform_key(update.database, variable.data));
  TRY(store.set(std::move(variable)));
  return outcome;
}

}  // namespace vmgs::uefi
