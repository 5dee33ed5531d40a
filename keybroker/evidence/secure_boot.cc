// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/secure_boot.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "keybroker/crypto/certificate.h"
#include "vmgs/base/layout.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::evidence {

namespace {

constexpr std::uint32_t kPcr = 7;
constexpr std::uint32_t kRtmr0Index = 1;

std::optional<Finding> found(Reason reason, std::string detail) {
  return Finding{reason, std::move(detail)};
}

void keep_first(std::optional<Finding>& kept, Reason reason, std::string detail) {
  if (!kept) {
    kept = Finding{reason, std::move(detail)};
  }
}

std::string at(const LogEvent& event) { return "event " + std::to_string(event.number); }

// What a policy knows an entry of a database by: SHA-256 of it, or the hash that it is.
base::Bytes digest_of(const EfiSignature& entry) {
  return entry.is_sha256() ? entry.content : base::copy_of(vmgs::crypto::sha256(entry.content));
}

bool is_policy_variable(std::string_view name) {
  constexpr std::array<std::string_view, 9> kNames{
      "SecureBoot", "PK", "KEK", "db", "dbx", "dbt", "dbr", "AuditMode", "DeployedMode"};
  return std::ranges::find(kNames, name) != kNames.end();
}

// Variables that say how the boot is to be, and vouch for nothing.
bool is_of_policy_only(std::string_view name) {
  return is_policy_variable(name) && !name.starts_with("db");
}

// What the event of a separator measures: that the firmware is done, or that it failed. The type of
// an event is not measured, so a separator is known by its digest, whatever it is called.
bool has_digest_of_separator(const LogEvent& event, crypto::Hash bank) {
  const auto* digest = event.digest(tpm_of_hash(bank));
  return digest != nullptr &&
         std::ranges::any_of(std::array<std::uint32_t, 3>{0, 1, 0xFFFFFFFF},
                             [&](std::uint32_t value) {
                               base::U32Le data;
                               data = value;
                               return crypto::digest(bank, base::view(data)) == *digest;
                             });
}

// Texts of EV_EFI_ACTION may end with the zero of a C string.
bool is_text(base::ByteView data, std::string_view text) {
  if (!data.empty() && data.back() == std::byte{0}) {
    data = data.first(data.size() - 1);
  }
  return std::ranges::equal(data, base::bytes_of(text));
}

// Reads one register's events in order.
class SecureBootReader {
 public:
  SecureBootReader(crypto::Hash bank, Registers registers) : bank_(bank), registers_(registers) {}

  void read(const LogEvent& event) {
    if (event.type != EventType::kNoAction && event.type != EventType::kSeparator &&
        has_digest_of_separator(event, bank_)) {
      keep_first(state_.separator, Reason::kBootSeparator,
                 at(event) + " is a separator that is called " + event_type_name(event.type));
    }
    switch (event.type) {
      case EventType::kNoAction:
        return;
      case EventType::kEfiVariableDriverConfig:
        return read_variable(event);
      case EventType::kEfiVariableAuthority:
        return read_authority(event);
      case EventType::kSeparator:
        return read_separator(event);
      case EventType::kEfiAction:
        return read_action(event);
      default:
        break;
    }
    if (registers_ == Registers::kPcrs) {
      keep_first(state_.unexpected_event, Reason::kBootUnexpectedEvent,
                 at(event) + " is " + event_type_name(event.type));
    }
  }

  SecureBootState finish() {
    if (!separated_) {
      keep_first(state_.separator, Reason::kBootSeparator, "there is no separator");
    }
    return std::move(state_);
  }

 private:
  // What the digest does not cover, anybody may have written.
  bool has_its_data(const LogEvent& event) {
    if (data_matches(event, bank_) == true) {
      return true;
    }
    keep_first(state_.data, Reason::kLogDigestData,
               at(event) + " has data that its digest does not cover");
    return false;
  }

  void read_variable(const LogEvent& event) {
    const auto variable = decode_efi_variable(event.data);
    if (!variable) {
      keep_first(state_.data, Reason::kLogDigestData, at(event) + ": " + variable.error().message);
      return;
    }
    const auto name = variable->plain_name();
    if (registers_ == Registers::kRtmrs && !is_policy_variable(name)) {
      return;  // of PCR 1
    }
    const bool again = std::ranges::find(seen_, name) != seen_.end();
    if (again || separated_) {
      keep_first(
          state_.repeated_variable, Reason::kBootVariableRepeated,
          at(event) + " measures '" + name + "' " + (again ? "once more" : "behind the separator"));
      return;
    }
    seen_.push_back(name);
    if (has_its_data(event)) {
      keep_variable(event, name, variable->content);
    }
  }

  void keep_variable(const LogEvent& event, const std::string& name, const base::Bytes& content) {
    if (name == "SecureBoot") {
      state_.enabled_event = event.number;
      if (content.size() == 1 && std::to_integer<unsigned>(content[0]) <= 1) {
        state_.enabled = content[0] == std::byte{1};
      }
      return;
    }
    auto* database = name == "PK"    ? &state_.pk
                     : name == "KEK" ? &state_.kek
                     : name == "db"  ? &state_.db
                     : name == "dbx" ? &state_.dbx
                                     : nullptr;
    if (database == nullptr) {
      return;
    }
    if (auto entries = decode_signature_database(content)) {
      *database = MeasuredDatabase{event.number, *std::move(entries)};
    } else {
      keep_first(state_.data, Reason::kLogDigestData, at(event) + ": " + entries.error().message);
    }
  }

  void read_authority(const LogEvent& event) {
    // Old shims measure the padding of a C struct behind the content, and log one byte more.
    constexpr std::size_t kShimStray = 8;
    const auto variable = decode_efi_variable(event.data, kShimStray);
    if (!variable) {
      keep_first(state_.data, Reason::kLogDigestData, at(event) + ": " + variable.error().message);
      return;
    }
    if (!has_its_data(event)) {
      return;
    }
    MeasuredAuthority authority;
    authority.event = event.number;
    authority.variable = variable->plain_name();
    if (is_of_policy_only(authority.variable)) {
      keep_first(state_.unexpected_event, Reason::kBootUnexpectedEvent,
                 at(event) + " has '" + authority.variable + "' vouch for something");
      return;
    }
    const base::ByteView content(variable->content);
    // db gives EFI_SIGNATURE_DATA, whose owner stands in front; shim gives the certificate alone.
    const auto signature = content.subspan(std::min(content.size(), sizeof(EfiGuid)));
    for (const auto bytes : {signature, content}) {
      if (!authority.is_certificate && crypto::Certificate::decode(bytes)) {
        authority.is_certificate = true;
        authority.digest = base::copy_of(vmgs::crypto::sha256(bytes));
      }
    }
    if (!authority.is_certificate) {
      authority.digest = base::copy_of(vmgs::crypto::sha256(content));
    }
    if (authority.variable == "db") {
      const auto* entry = entry_of(signature);
      authority.in_database = entry != nullptr;
      if (entry != nullptr) {
        authority.digest = digest_of(*entry);
      }
    }
    state_.authorities.push_back(std::move(authority));
  }

  [[nodiscard]] const EfiSignature* entry_of(base::ByteView content) const {
    if (!state_.db) {
      return nullptr;
    }
    const auto entry = std::ranges::find_if(state_.db->entries, [&](const EfiSignature& each) {
      return std::ranges::equal(each.content, content);
    });
    return entry == state_.db->entries.end() ? nullptr : &*entry;
  }

  void read_separator(const LogEvent& event) {
    const bool zero = event.data.size() == 4 && base::is_all_zero(event.data);
    if (separated_ || !zero) {
      keep_first(
          state_.separator, Reason::kBootSeparator,
          at(event) + (separated_ ? " is a second separator" : " is a separator of an error"));
    }
    separated_ = true;
    has_its_data(event);
  }

  void read_action(const LogEvent& event) {
    if (!has_its_data(event)) {
      return;
    }
    if (is_text(event.data, "UEFI Debug Mode")) {
      state_.debug_mode = true;
    } else if (is_text(event.data, "DMA Protection Disabled")) {
      state_.dma_protection_disabled = true;
    } else if (registers_ == Registers::kPcrs) {
      keep_first(state_.unexpected_event, Reason::kBootUnexpectedEvent,
                 at(event) + " is an action that is not one of the boot policy");
    }
  }

  crypto::Hash bank_;
  Registers registers_;
  SecureBootState state_;
  std::vector<std::string> seen_;
  bool separated_ = false;
};

std::optional<Finding> examine_enabled(const SecureBootState& state) {
  if (!state.enabled) {
    return found(Reason::kBootSecureBootUnknown,
                 state.enabled_event == 0
                     ? "the log has no SecureBoot variable"
                     : "event " + std::to_string(state.enabled_event) +
                           " gives SecureBoot a value that is neither 0 nor 1");
  }
  if (!*state.enabled) {
    return found(Reason::kBootSecureBootOff,
                 "event " + std::to_string(state.enabled_event) + " says that Secure Boot was off");
  }
  return std::nullopt;
}

std::optional<Finding> examine_keys(const SecureBootState& state) {
  for (const auto& [name, database] :
       {std::pair("PK", &state.pk), std::pair("KEK", &state.kek), std::pair("db", &state.db)}) {
    if (!*database || (*database)->entries.empty()) {
      return found(Reason::kBootKeysEmpty, std::string(name) + " has no entry");
    }
  }
  return std::nullopt;
}

bool is_listed(const Expectation& expectation, const base::Bytes& digest) {
  return std::ranges::find(expectation.values, digest) != expectation.values.end();
}

std::optional<Finding> examine_key_list(const SecureBootState& state, const Expectation& keys) {
  for (const auto& [name, database] :
       {std::pair("PK", &state.pk), std::pair("KEK", &state.kek), std::pair("db", &state.db)}) {
    if (!*database) {
      continue;
    }
    for (const auto& entry : (*database)->entries) {
      const auto digest = digest_of(entry);
      if (!is_listed(keys, digest)) {
        return found(
            Reason::kBootKeyUnknown,
            std::string(name) + " has the " + (entry.is_certificate() ? "certificate " : "entry ") +
                base::to_hex(digest) + " (event " + std::to_string((*database)->event) + ")");
      }
    }
  }
  return std::nullopt;
}

std::optional<Finding> examine_forbidden(const SecureBootState& state,
                                         const std::vector<base::Bytes>& wanted) {
  for (const auto& digest : wanted) {
    const bool there =
        state.dbx && std::ranges::any_of(state.dbx->entries, [&](const EfiSignature& entry) {
          return entry.is_sha256() && entry.content == digest;
        });
    if (!there) {
      return found(Reason::kBootDbxTooOld, "dbx does not forbid " + base::to_hex(digest));
    }
  }
  return std::nullopt;
}

std::optional<Finding> examine_authorities(const SecureBootState& state, const BootPolicy& policy) {
  if (state.enabled == true && state.authorities.empty()) {
    return found(Reason::kBootAuthorityUnknown, "nothing says who vouched for what was started");
  }
  for (const auto& authority : state.authorities) {
    const auto where = "event " + std::to_string(authority.event);
    if (!authority.in_database) {
      return found(Reason::kBootAuthorityUnknown, where + ": the signer is not in db");
    }
    // Shim measures by the same events which revocations and which of its switches it goes by.
    const bool vouches =
        authority.variable != "SbatLevel" && authority.variable != "MokListTrusted";
    if (vouches && policy.authorities.is_list() &&
        !is_listed(policy.authorities, authority.digest)) {
      return found(Reason::kBootAuthorityUnknown, where + ": the signer " +
                                                      base::to_hex(authority.digest) +
                                                      " is not one that the policy names");
    }
  }
  return std::nullopt;
}

constexpr std::initializer_list<const char*> kChecks{
    "boot.events", "boot.separator",  "boot.variables", "boot.debug_mode", "boot.secure_boot",
    "boot.keys",   "boot.known_keys", "boot.dbx",       "boot.authorities"};

}  // namespace

SecureBootState read_secure_boot(const EventLog& log, crypto::Hash bank, Registers registers) {
  SecureBootReader reader(bank, registers);
  const auto index = registers == Registers::kPcrs ? kPcr : kRtmr0Index;
  for (const auto& event : log.events) {
    if (event.index == index) {
      reader.read(event);
    }
  }
  return reader.finish();
}

void judge_boot(const std::optional<SecureBootState>& state,
                const std::optional<BootPolicy>& policy, Checklist& list) {
  if (!policy) {
    for (const char* check : kChecks) {
      list.not_asked(check, "the policy wants nothing of the boot");
    }
    return;
  }
  if (!state) {
    list.not_run(kChecks, "there is no event log that leads to the quoted values");
    return;
  }
  list.judge("boot.events", state->unexpected_event);
  list.judge("boot.separator", state->separator);
  list.judge("boot.variables", state->repeated_variable);
  list.judge("boot.debug_mode",
             state->debug_mode ? found(Reason::kBootDebugMode, "the firmware was in debug mode")
                               : std::nullopt);
  if (policy->require_secure_boot) {
    list.judge("boot.secure_boot", examine_enabled(*state));
    list.judge("boot.keys", examine_keys(*state));
  } else {
    list.not_asked("boot.secure_boot", "the policy does not want Secure Boot");
    list.not_asked("boot.keys", "the policy does not want Secure Boot");
  }
  if (policy->keys.is_list()) {
    list.judge("boot.known_keys", examine_key_list(*state, policy->keys));
  } else {
    list.not_asked("boot.known_keys", "the policy names no keys");
  }
  list.judge("boot.dbx", examine_forbidden(*state, policy->forbidden));
  list.judge("boot.authorities", examine_authorities(*state, *policy));
}

}  // namespace keybroker::evidence
