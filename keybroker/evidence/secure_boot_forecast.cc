// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/secure_boot_forecast.h"

#include <algorithm>
#include <array>

namespace keybroker::evidence {

namespace {

using base::ErrorCode;

constexpr std::uint32_t kSecureBootPcr = 7;
constexpr std::array<std::byte, 4> kSeparator{};

void extend(base::Bytes& pcr, crypto::Hash bank, base::ByteView digest) {
  auto both = pcr;
  both.insert(both.end(), digest.begin(), digest.end());
  pcr = crypto::digest(bank, both);
}

const EfiVariable* find(const std::vector<EfiVariable>& variables, const EfiVariable& like) {
  const auto found = std::find_if(variables.begin(), variables.end(), [&](const EfiVariable& each) {
    return each.guid == like.guid && each.name == like.name;
  });
  return found == variables.end() ? nullptr : &*found;
}

// An entry of db as an event quotes it: owner and data.
bool has_entry(const EfiVariable& database, base::ByteView entry) {
  const auto entries = decode_signature_database(database.content);
  return entries && std::any_of(entries->begin(), entries->end(), [&](const EfiSignature& each) {
           auto bytes = base::copy_of(each.owner);
           bytes.insert(bytes.end(), each.content.begin(), each.content.end());
           return std::ranges::equal(bytes, entry);
         });
}

std::string number_of(const LogEvent& event) { return "event " + std::to_string(event.number); }

// What the event will have as its digest, and a note if that is another than before.
base::Bytes measured(const std::vector<EfiVariable>& variables, crypto::Hash bank,
                     const LogEvent& event, const base::Bytes& before,
                     std::vector<std::string>& notes) {
  const auto logged = decode_efi_variable(event.data, 1);
  const auto* const now = logged ? find(variables, *logged) : nullptr;
  if (now == nullptr) {
    return before;
  }
  if (event.type == EventType::kEfiVariableDriverConfig) {
    auto after = crypto::digest(bank, encode(*now));
    if (after != before) {
      notes.push_back(number_of(event) + " measures another " + now->plain_name());
    }
    return after;
  }
  if (event.type == EventType::kEfiVariableAuthority && !has_entry(*now, logged->content)) {
    notes.push_back(number_of(event) + ": what was started was vouched for by an entry of " +
                    now->plain_name() +
                    " that is there no more. It will not start, or something else will vouch for "
                    "it and be measured");
  }
  return before;
}

}  // namespace

SecureBootForecast forecast_secure_boot(const std::vector<EfiVariable>& variables,
                                        crypto::Hash bank) {
  SecureBootForecast forecast;
  forecast.pcr7.resize(crypto::hash_bytes(bank));
  for (const auto& variable : variables) {
    extend(forecast.pcr7, bank, crypto::digest(bank, encode(variable)));
  }
  extend(forecast.pcr7, bank, crypto::digest(bank, kSeparator));
  forecast.notes.emplace_back(
      "before anything is started: what vouches for images is measured behind it; give the event "
      "log of an earlier boot to have that too");
  return forecast;
}

base::Result<SecureBootForecast> forecast_secure_boot(const std::vector<EfiVariable>& variables,
                                                      crypto::Hash bank, const EventLog& log) {
  SecureBootForecast forecast;
  forecast.pcr7.resize(crypto::hash_bytes(bank));
  if (!log.has_bank(tpm_of_hash(bank))) {
    return base::fail(ErrorCode::kCorrupt, "the event log has no bank " + bank_name(bank));
  }
  for (const auto& event : log.events) {
    if (event.index != kSecureBootPcr || event.type == EventType::kNoAction) {
      continue;
    }
    const auto* const digest = event.digest(tpm_of_hash(bank));
    if (digest == nullptr) {
      return base::fail(ErrorCode::kCorrupt,
                        number_of(event) + " has no digest of " + bank_name(bank));
    }
    extend(forecast.pcr7, bank, measured(variables, bank, event, *digest, forecast.notes));
  }
  return forecast;
}

}  // namespace keybroker::evidence
