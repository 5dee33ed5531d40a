// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/policy_json.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <charconv>
#include <functional>
#include <set>

#include "keybroker/protocol/strict_json.h"
#include "keybroker/protocol/uuid.h"

namespace keybroker::evidence {

namespace {

namespace json = boost::json;

using Done = base::Result<void>;

// Members reads the members of one object of the policy. It remembers which it was asked for, so
// that finish() can name the one that nobody knows, and the first thing that is wrong, so that its
// callers need not stop at each step.
class Members {
 public:
  Members(const json::object& object, std::string path) : object_(object), path_(std::move(path)) {}

  void flag(std::string_view name, bool& out) {
    with(name, [&](const json::value& value) {
      if (!value.is_bool()) {
        return wrong(name, "is neither true nor false");
      }
      out = value.get_bool();
      return Done{};
    });
  }

  template <typename T>
  void number(std::string_view name, std::uint64_t most, T& out) {
    with(name, [&](const json::value& value) -> Done {
      TRY_ASSIGN(number, number_of(name, value, most));
      out = static_cast<T>(number);
      return {};
    });
  }

  // A list of numbers, or one of them.
  template <typename Add>
  void numbers(std::string_view name, std::uint64_t most, Add add) {
    each(name, [&](const json::value& value) -> Done {
      TRY_ASSIGN(number, number_of(name, value, most));
      add(number);
      return {};
    });
  }

  // Words that `parse` knows: a list, or one of them.
  template <typename Parse, typename Add>
  void words(std::string_view name, Parse parse, Add add) {
    each(name, [&](const json::value& value) -> Done {
      const auto word =
          value.is_string() ? parse(std::string_view(value.get_string())) : std::nullopt;
      if (!word) {
        return wrong(name, "has a word that is not known here");
      }
      add(*word);
      return {};
    });
  }

  // Bytes in hexadecimal digits, of `size` or, for 0, of any size: one, a list, or "any".
  void bytes(std::string_view name, std::size_t size, Expectation& out) {
    if (is_any(name)) {
      out = Expectation::any();
      return;
    }
    std::vector<base::Bytes> values;
    each(name, [&](const json::value& value) -> Done {
      auto bytes =
          value.is_string()
              ? base::from_hex(value.get_string())
              : base::Result<base::Bytes>(base::fail(base::ErrorCode::kInvalidArgument, ""));
      if (!bytes || bytes->empty() || (size != 0 && bytes->size() != size)) {
        return wrong(name, size == 0
                               ? "is not bytes in hexadecimal digits"
                               : "is not " + std::to_string(size) + " bytes in hexadecimal digits");
      }
      values.push_back(*std::move(bytes));
      return {};
    });
    if (object_.contains(name)) {
      out = Expectation::one_of(std::move(values));
    }
  }

  // Texts: one, a list, or "any".
  void texts(std::string_view name, Expectation& out) {
    if (is_any(name)) {
      out = Expectation::any();
      return;
    }
    std::vector<base::Bytes> values;
    words(
        name, [](std::string_view text) { return std::optional(std::string(text)); },
        [&](const std::string& text) { values.push_back(base::copy_of(base::bytes_of(text))); });
    if (object_.contains(name)) {
      out = Expectation::one_of(std::move(values));
    }
  }

  // A member that is an object; `read` gets its members.
  template <typename Read>
  void object(std::string_view name, Read read) {
    with(name, [&](const json::value& value) -> Done {
      if (!value.is_object()) {
        return wrong(name, "is no object");
      }
      Members inner(value.get_object(), path_ + std::string(name) + ".");
      read(inner);
      return inner.finish();
    });
  }

  // For members that have a form of their own.
  template <typename Read>
  void with(std::string_view name, Read read) {
    known_.insert(std::string(name));
    const auto* value = object_.if_contains(name);
    if (value == nullptr || !result_) {
      return;
    }
    result_ = read(*value);
  }

  [[nodiscard]] bool is_any(std::string_view name) {
    known_.insert(std::string(name));
    const auto* value = object_.if_contains(name);
    return value != nullptr && value->is_string() && value->get_string() == "any";
  }

  [[nodiscard]] Done wrong(std::string_view name, const std::string& why) const {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "policy: '" + path_ + std::string(name) + "' " + why);
  }

  // The names of members, where they are data.
  [[nodiscard]] const json::object& all() const { return object_; }

  Done finish() {
    if (!result_) {
      return std::move(result_);
    }
    for (const auto& member : object_) {
      if (!known_.contains(std::string(member.key()))) {
        return wrong(member.key(), "is not known");
      }
    }
    return {};
  }

 private:
  [[nodiscard]] base::Result<std::uint64_t> number_of(std::string_view name,
                                                      const json::value& value,
                                                      std::uint64_t most) const {
    json::error_code error;
    const auto number = value.is_double() ? 0 : value.to_number<std::uint64_t>(error);
    if (!value.is_number() || value.is_double() || error || number > most) {
      return base::fail(wrong(name, "is no whole number up to " + std::to_string(most)).error());
    }
    return number;
  }

  template <typename Read>
  void each(std::string_view name, Read read) {
    with(name, [&](const json::value& value) -> Done {
      if (!value.is_array()) {
        return read(value);
      }
      for (const auto& element : value.get_array()) {
        TRY(read(element));
      }
      return {};
    });
  }

  const json::object& object_;
  std::string path_;
  std::set<std::string> known_;
  Done result_{};
};

// Replaces a default list by the list of the policy.
template <typename T, typename Parse>
void replace_words(Members& members, std::string_view name, std::vector<T>& out, Parse parse) {
  std::vector<T> words;
  members.words(name, parse, [&](const T& word) { words.push_back(word); });
  if (members.all().contains(name)) {
    out = std::move(words);
  }
}

void read_bits(Members& members, std::string_view name, std::span<const NamedBit> bits,
               BitRule& rule) {
  members.object(name, [&](Members& inner) {
    const auto mask_of = [&](std::string_view word) -> std::optional<std::uint64_t> {
      const auto bit = std::ranges::find(bits, word, &NamedBit::name);
      return bit == bits.end() ? std::nullopt : std::optional(bit->mask);
    };
    inner.words("required", mask_of, [&](std::uint64_t mask) { rule.required |= mask; });
    inner.words("refused", mask_of, [&](std::uint64_t mask) { rule.refused |= mask; });
  });
}

std::optional<CrlRule> parse_crl_rule(std::string_view word) {
  if (word == "required") {
    return CrlRule::kRequired;
  }
  if (word == "if-given") {
    return CrlRule::kIfGiven;
  }
  return word == "off" ? std::optional(CrlRule::kOff) : std::nullopt;
}

std::optional<SnpSigningKey> parse_signer(std::string_view word) {
  if (word == "vcek") {
    return SnpSigningKey::kVcek;
  }
  return word == "vlek" ? std::optional(SnpSigningKey::kVlek) : std::nullopt;
}

void read_min_tcb(Members& members, SnpPolicy& policy) {
  members.object("min_tcb", [&](Members& lines) {
    for (const auto product : {SnpProduct::kMilan, SnpProduct::kGenoa, SnpProduct::kTurin}) {
      lines.object(name(product), [&](Members& tcb) {
        auto& floor = policy.min_tcb[product];
        if (product == SnpProduct::kTurin) {
          tcb.number("fmc", 255, floor.fmc);
        }
        tcb.number("boot_loader", 255, floor.boot_loader);
        tcb.number("tee", 255, floor.tee);
        tcb.number("snp", 255, floor.snp);
        tcb.number("microcode", 255, floor.microcode);
      });
    }
  });
}

void read_snp(Members& members, SnpPolicy& policy) {
  members.words("crl", parse_crl_rule, [&](CrlRule rule) { policy.crl = rule; });
  if (members.all().contains("products")) {
    policy.products.emplace();
    members.words("products", parse_snp_product,
                  [&](SnpProduct product) { policy.products->push_back(product); });
  }
  replace_words(members, "signers", policy.signers, parse_signer);
  members.texts("csp", policy.csps);
  if (members.all().contains("vmpl")) {
    policy.vmpls.clear();
  }
  members.numbers("vmpl", kSnpMostVmpl, [&](std::uint64_t vmpl) {
    policy.vmpls.push_back(static_cast<std::uint32_t>(vmpl));
  });
  members.flag("allow_debug", policy.allow_debug);
  members.flag("allow_migration", policy.allow_migration_agent);
  read_bits(members, "policy", snp_policy_bits(), policy.guest_policy);
  read_bits(members, "platform", snp_platform_bits(), policy.platform);
  members.flag("refuse_unknown_platform_bits", policy.refuse_unknown_platform_bits);
  members.bytes("measurement", 48, policy.measurements);
  members.bytes("id_key_digest", 48, policy.id_key_digests);
  members.bytes("author_key_digest", 48, policy.author_key_digests);
  members.bytes("host_data", 32, policy.host_data);
  members.bytes("family_id", 16, policy.family_ids);
  members.bytes("image_id", 16, policy.image_ids);
  members.bytes("chip_id", 64, policy.chip_ids);
  members.number("min_guest_svn", 0xFFFFFFFF, policy.min_guest_svn);
  read_min_tcb(members, policy);
  members.flag("require_committed_equals_current", policy.require_committed_equals_current);
  members.flag("allow_masked_chip", policy.allow_masked_chip);
}

void read_advisories(Members& members, TdxPolicy& policy) {
  if (members.is_any("advisories")) {
    policy.advisories.reset();
    return;
  }
  members.words(
      "advisories", [](std::string_view text) { return std::optional(std::string(text)); },
      [&](const std::string& advisory) { policy.advisories->insert(advisory); });
}

void read_xfam(Members& members, TdxPolicy& policy) {
  Expectation xfam;
  members.bytes("xfam", 8, xfam);
  if (xfam.is_list() && xfam.values.size() != 1) {
    members.with("xfam", [&](const json::value&) { return members.wrong("xfam", "is one mask"); });
  } else if (xfam.is_list()) {
    policy.xfam = base::load<base::U64Be>(std::span(xfam.values.front()).first<8>()).value();
  }
}

void read_tdx(Members& members, TdxPolicy& policy) {
  constexpr std::uint64_t kMostDays = 3650;
  constexpr std::uint64_t kMostGraceHours = 30 * 24;
  replace_words(members, "statuses", policy.statuses, parse_tcb_status);
  std::uint64_t days = 0;
  members.number("max_tcb_age_days", kMostDays, days);
  if (members.all().contains("max_tcb_age_days")) {
    policy.max_tcb_age = std::chrono::days(days);
  }
  read_advisories(members, policy);
  members.number("min_evaluation_number", 0xFFFFFFFF, policy.min_evaluation_number);
  std::uint64_t hours = 0;
  members.number("grace_hours", kMostGraceHours, hours);
  policy.grace = std::chrono::hours(hours);
  members.flag("allow_debug", policy.allow_debug);
  members.flag("allow_migratable", policy.allow_migratable);
  read_bits(members, "td", td_attribute_bits(), policy.attributes);
  read_xfam(members, policy);
  members.bytes("mrtd", 48, policy.mr_td);
  members.bytes("mrseam", 48, policy.mr_seam);
  members.bytes("mr_config_id", 48, policy.mr_config_id);
  members.bytes("mr_owner", 48, policy.mr_owner);
  members.bytes("mr_owner_config", 48, policy.mr_owner_config);
  for (std::size_t i = 0; i < policy.rtmr.size(); ++i) {
    members.bytes("rtmr" + std::to_string(i), 48, policy.rtmr.at(i));
  }
  members.bytes("mr_servicetd", 48, policy.service_tds);
  members.bytes("fmspc", 6, policy.fmspcs);
}

void read_hcl(Members& members, HclPolicy& policy) {
  members.words(
      "form",
      [](std::string_view word) -> std::optional<bool> {
        return word == "own"   ? std::optional(true)
               : word == "any" ? std::optional(false)
                               : std::nullopt;
      },
      [&](bool own) { policy.own_form = own; });
  members.words("hash", parse_bank, [&](crypto::Hash hash) { policy.hash = hash; });
}

void read_ak(Members& members, AkPolicy& policy) {
  members.bytes("name", 0, policy.names);
  members.bytes("spki_sha256", 32, policy.keys);
  members.flag("require_certificate", policy.require_certificate);
  members.words("classes", parse_ak_class,
                [&](AkClass ak_class) { policy.classes.insert(ak_class); });
  members.words("crl", parse_crl_rule, [&](CrlRule rule) { policy.crl = rule; });
  if (members.is_any("certificate_purposes")) {
    policy.purposes.clear();
    return;
  }
  if (members.all().contains("certificate_purposes")) {
    policy.purposes.clear();
  }
  members.words(
      "certificate_purposes",
      [](std::string_view text) { return std::optional(std::string(text)); },
      [&](const std::string& oid) { policy.purposes.insert(oid); });
}

// {"sha256": {"7": HEX, ...}, ...}
void read_pcr_values(Members& members, QuotePolicy& policy) {
  members.object("values", [&](Members& banks) {
    for (const auto bank : {crypto::Hash::kSha256, crypto::Hash::kSha384, crypto::Hash::kSha512}) {
      banks.object(bank_name(bank), [&](Members& pcrs) {
        for (unsigned pcr = 0; pcr < 24; ++pcr) {
          const auto number = std::to_string(pcr);
          Expectation expectation;
          pcrs.bytes(number, crypto::hash_bytes(bank), expectation);
          if (expectation.is_list()) {
            policy.values[bank][static_cast<std::uint8_t>(pcr)] = std::move(expectation);
          }
        }
      });
    }
  });
}

void read_quote(Members& members, QuotePolicy& policy) {
  members.flag("required", policy.required);
  std::set<crypto::Hash> banks;
  members.words(
      "banks",
      [](std::string_view word) {
        const auto bank = parse_bank(word);
        return bank == crypto::Hash::kSha1 ? std::nullopt : bank;
      },
      [&](crypto::Hash bank) { banks.insert(bank); });
  if (members.all().contains("banks")) {
    policy.banks = std::move(banks);
  }
  if (members.all().contains("pcrs")) {
    policy.pcrs.clear();
  }
  members.numbers("pcrs", 23,
                  [&](std::uint64_t pcr) { policy.pcrs.insert(static_cast<std::uint8_t>(pcr)); });
  read_pcr_values(members, policy);
  members.object("last_seen", [&](Members& seen) {
    auto& clock = policy.last_seen.emplace();
    seen.number("reset_count", 0xFFFFFFFF, clock.reset_count);
    seen.number("restart_count", 0xFFFFFFFF, clock.restart_count);
    seen.number("clock", ~std::uint64_t{0}, clock.clock);
  });
}

void read_boot(Members& members, BootPolicy& policy) {
  members.words(
      "secure_boot",
      [](std::string_view word) -> std::optional<bool> {
        return word == "required" ? std::optional(true)
               : word == "any"    ? std::optional(false)
                                  : std::nullopt;
      },
      [&](bool required) { policy.require_secure_boot = required; });
  members.bytes("keys_sha256", 32, policy.keys);
  members.bytes("authorities_sha256", 32, policy.authorities);
  Expectation forbidden;
  members.bytes("forbidden_sha256", 32, forbidden);
  policy.forbidden = std::move(forbidden.values);
}

void read_top(Members& members, Policy& policy) {
  std::set<protocol::TeeFamily> tees;
  members.words(
      "tees",
      [](std::string_view word) {
        const auto family = protocol::parse_tee_family(word);
        return family ? std::optional(*family) : std::nullopt;
      },
      [&](protocol::TeeFamily family) { tees.insert(family); });
  if (members.all().contains("tees")) {
    policy.tees = std::move(tees);
  }
  members.bytes("nonce", 0, policy.nonce);
  members.bytes("report_data", 64, policy.report_data);
  members.bytes("user_data", 64, policy.hcl.user_data);
  members.with("vm_id", [&](const json::value& value) -> Done {
    const auto id =
        value.is_string()
            ? protocol::parse_uuid(value.get_string())
            : base::Result<protocol::Uuid>(base::fail(base::ErrorCode::kInvalidArgument, ""));
    if (!id) {
      return members.wrong("vm_id", "is no UUID");
    }
    policy.hcl.vm_id = *id;
    return {};
  });
  members.object("hcl", [&](Members& inner) { read_hcl(inner, policy.hcl); });
  members.object("snp", [&](Members& inner) { read_snp(inner, policy.snp); });
  members.object("tdx", [&](Members& inner) { read_tdx(inner, policy.tdx); });
  members.object("ak", [&](Members& inner) { read_ak(inner, policy.ak); });
  members.object("quote", [&](Members& inner) { read_quote(inner, policy.quote); });
  members.object("log", [&](Members& inner) { inner.flag("required", policy.log.required); });
  members.object("boot", [&](Members& inner) { read_boot(inner, policy.boot.emplace()); });
}

}  // namespace

base::Result<Policy> decode_policy(std::string_view text) {
  const auto value = protocol::parse_json(text, kMaxPolicyBytes);
  if (!value) {
    return base::fail(base::ErrorCode::kInvalidArgument, "policy: " + value.error().message);
  }
  if (!value->is_object()) {
    return base::fail(base::ErrorCode::kInvalidArgument, "policy: it is no object");
  }
  Policy policy;
  Members members(value->get_object(), "");
  const auto* schema = value->get_object().if_contains("schema");
  members.with("schema", [](const json::value&) { return Done{}; });
  if (schema == nullptr || !schema->is_string() || schema->get_string() != kPolicySchema) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "policy: 'schema' must be " + std::string(kPolicySchema));
  }
  read_top(members, policy);
  TRY(members.finish());
  return policy;
}

}  // namespace keybroker::evidence
