// SPDX-License-Identifier: Apache-2.0
#include "keybroker/policy/warnings.h"

#include <algorithm>
#include <array>
#include <optional>

#include "keybroker/policy/claim_names.h"

namespace keybroker::policy {

namespace {

// A test of a policy and where it stands.
struct PlacedTest {
  const ClaimTest* test;
  std::string path;
};

// The name of a claim without the object that a guest's TEE claims stand in.
std::string_view bare(std::string_view claim) {
  const auto prefix = kIsolationTeeClaim.size() + 1;
  const bool nested = claim.size() > prefix && claim.starts_with(kIsolationTeeClaim) &&
                      claim[kIsolationTeeClaim.size()] == '.';
  return nested ? claim.substr(prefix) : claim;
}

bool is_one_of(std::string_view claim, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), bare(claim)) != names.end();
}

bool asks_for_no_debug(const ClaimTest& test) {
  if (is_one_of(test.claim, {"dbgstat"})) {
    return test.op == Operator::kEquals && test.values.front() == Scalar("disabled");
  }
  if (!is_one_of(test.claim, {kDebugClaim, "x-ms-sevsnpvm-is-debuggable", "tdx_td_attributes_debug",
                              "strongroom-snp-policy.debug", "strongroom-tdx-attributes.debug"})) {
    return false;
  }
  const auto flag = bool_of(test.values.front());
  return (test.op == Operator::kEquals && flag == false) ||
         (test.op == Operator::kNotEquals && flag == true);
}

bool asks_for_identity(const ClaimTest& test) {
  if (!is_one_of(test.claim,
                 {kMeasurementClaim, kLaunchDigestClaim, "x-ms-sevsnpvm-launchmeasurement",
                  "x-ms-sevsnpvm-idkeydigest", "x-ms-sevsnpvm-authorkeydigest",
                  "x-ms-sevsnpvm-hostdata", "tdx_mrtd", "tdx_mrconfigid"})) {
    return false;
  }
  if (test.op == Operator::kMatches) {
    const auto* pattern = std::get_if<std::string>(&test.values.front());
    return pattern != nullptr && pattern->find_first_not_of("*?") != std::string::npos;
  }
  return test.op == Operator::kEquals || test.op == Operator::kIn;
}

bool asks_for_root_class(const ClaimTest& test) {
  return test.claim == kRootClassClaim && test.op == Operator::kEquals;
}

// Whether every way in which a group holds has a test that passes `is`.
template <typename Is>
bool always_asks(const Group& group, Is is) {
  const auto asks = [&](const Condition& member) {
    if (const auto* inner = std::get_if<Group>(&member.what)) {
      return always_asks(*inner, is);
    }
    const auto* test = std::get_if<ClaimTest>(&member.what);
    return test != nullptr && is(*test);
  };
  return group.quantifier == Quantifier::kAllOf ? std::ranges::any_of(group.members, asks)
                                                : std::ranges::all_of(group.members, asks);
}

bool is_upper_hex(const Scalar& value) {
  const auto* text = std::get_if<std::string>(&value);
  return text != nullptr && text->size() >= 16 &&
         text->find_first_not_of("0123456789abcdefABCDEF") == std::string::npos &&
         text->find_first_of("ABCDEF") != std::string::npos;
}

// Why a test alone can never hold.
std::optional<std::string> never_holds(const ClaimTest& test) {
  if (bare(test.claim) == kComplianceClaim && test.op != Operator::kExists) {
    return "only Microsoft says " + std::string(kComplianceClaim) +
           ", this broker never does; ask for a measurement or an id key digest, no debug and a "
           "minTcb";
  }
  const bool equality = test.op == Operator::kEquals || test.op == Operator::kIn;
  if (equality && std::ranges::all_of(test.values, is_upper_hex)) {
    return "claims have lower-case hexadecimal digits, the value has upper-case ones";
  }
  return std::nullopt;
}

// Values that a test lets a claim have, of a test that names them; nothing of other tests.
const std::vector<Scalar>* named_values(const ClaimTest& test) {
  const bool names = test.op == Operator::kEquals || test.op == Operator::kIn;
  return names ? &test.values : nullptr;
}

bool is_order(Operator op) {
  return op == Operator::kLess || op == Operator::kLessOrEquals || op == Operator::kGreater ||
         op == Operator::kGreaterOrEquals;
}

bool is_upper_bound(Operator op) { return op == Operator::kLess || op == Operator::kLessOrEquals; }

bool is_strict(Operator op) { return op == Operator::kLess || op == Operator::kGreater; }

// Whether a claim of this value passes a test that names no values. Only what is certain is false.
bool may_pass(const Scalar& value, const ClaimTest& test) {
  const auto& wanted = test.values.front();
  if (test.op == Operator::kExists) {
    return std::get<bool>(wanted);
  }
  if (test.op == Operator::kNotEquals) {
    return value != wanted;
  }
  if (test.op == Operator::kMatches) {
    const auto* text = std::get_if<std::string>(&value);
    return text != nullptr && glob_matches(std::get<std::string>(wanted), *text);
  }
  const auto* number = std::get_if<Number>(&value);
  if (number == nullptr) {
    return false;
  }
  const auto& bound = std::get<Number>(wanted);
  if (*number == bound) {
    return !is_strict(test.op);
  }
  return is_upper_bound(test.op) == (*number < bound);
}

// Strings that Azure Key Vault means as booleans are compared as such.
Scalar as_meant(const Scalar& value, Compatibility compatibility) {
  const auto flag = bool_of(value);
  return compatibility == Compatibility::kAkv && flag ? Scalar(*flag) : value;
}

// Whether no claim can pass both. What is not certain is no contradiction.
bool contradict(const ClaimTest& a, const ClaimTest& b, Compatibility compatibility) {
  const auto* named = named_values(a);
  if (named == nullptr && named_values(b) != nullptr) {
    return contradict(b, a, compatibility);
  }
  if (named != nullptr) {
    const auto* others = named_values(b);
    return std::ranges::none_of(*named, [&](const Scalar& value) {
      if (others == nullptr) {
        return may_pass(value, b);
      }
      return std::ranges::any_of(*others, [&](const Scalar& other) {
        return as_meant(value, compatibility) == as_meant(other, compatibility);
      });
    });
  }
  const bool a_absent = a.op == Operator::kExists && !std::get<bool>(a.values.front());
  const bool b_absent = b.op == Operator::kExists && !std::get<bool>(b.values.front());
  if (a_absent != b_absent) {
    return true;  // every other test wants the claim to be there
  }
  if (!is_order(a.op) || !is_order(b.op) || is_upper_bound(a.op) == is_upper_bound(b.op)) {
    return false;
  }
  const auto& upper = is_upper_bound(a.op) ? a : b;
  const auto& lower = is_upper_bound(a.op) ? b : a;
  const auto& most = std::get<Number>(upper.values.front());
  const auto& least = std::get<Number>(lower.values.front());
  return most < least || (most == least && (is_strict(upper.op) || is_strict(lower.op)));
}

class Examination {
 public:
  explicit Examination(Compatibility compatibility) : compatibility_(compatibility) {}

  void block(const AuthorityBlock& block, const std::string& path) {
    if (!always_asks(block.conditions, asks_for_no_debug)) {
      add(WarningKind::kNoDebugCheck, path,
          "it can hold without a check that debugging is off (strongroom-debug equals false)");
    }
    if (!always_asks(block.conditions, asks_for_identity)) {
      add(WarningKind::kNoIdentityCheck, path,
          "it can hold for any image: name a measurement, an id key, an author key or a launch "
          "digest");
    }
    group(block.conditions, path, {});
  }

  std::vector<Warning> take() && { return std::move(warnings_); }

 private:
  void add(WarningKind kind, const std::string& path, std::string message) {
    warnings_.push_back({kind, path, std::move(message)});
  }

  // `above` are the tests that have to hold together with this group.
  void group(const Group& group, const std::string& path, std::vector<PlacedTest> above) {
    const bool all = group.quantifier == Quantifier::kAllOf;
    const auto inherited = above.size();
    for (std::size_t i = 0; i < group.members.size(); ++i) {
      if (const auto* test = std::get_if<ClaimTest>(&group.members[i].what)) {
        const PlacedTest placed{test, path_of(path, group.quantifier, i)};
        alone(placed);
        const auto known = all ? above.size() : inherited;
        together(placed, std::span(above).first(known));
        if (all) {
          above.push_back(placed);
        }
      }
    }
    for (std::size_t i = 0; i < group.members.size(); ++i) {
      if (const auto* inner = std::get_if<Group>(&group.members[i].what)) {
        this->group(*inner, path_of(path, group.quantifier, i), above);
      }
    }
  }

  void alone(const PlacedTest& placed) {
    if (auto why = never_holds(*placed.test)) {
      add(WarningKind::kNeverHolds, placed.path, *std::move(why));
    }
    if (asks_for_root_class(*placed.test) &&
        placed.test->values.front() != Scalar(std::string("production"))) {
      add(WarningKind::kSimulatedAccepted, placed.path,
          "it accepts evidence that no hardware made; anybody can make such evidence");
    }
  }

  void together(const PlacedTest& placed, std::span<const PlacedTest> others) {
    for (const auto& other : others) {
      if (other.test->claim == placed.test->claim &&
          contradict(*other.test, *placed.test, compatibility_)) {
        add(WarningKind::kNeverHolds, placed.path,
            "it cannot hold together with " + other.path + ", which is about the same claim");
        return;
      }
    }
  }

  Compatibility compatibility_;
  std::vector<Warning> warnings_;
};

}  // namespace

std::string_view name(WarningKind kind) {
  switch (kind) {
    case WarningKind::kNoDebugCheck:
      return "no-debug-check";
    case WarningKind::kNoIdentityCheck:
      return "no-identity-check";
    case WarningKind::kSimulatedAccepted:
      return "simulated-accepted";
    case WarningKind::kNeverHolds:
      break;
  }
  return "never-holds";
}

std::vector<Warning> examine(const ReleasePolicy& policy) {
  Examination examination(policy.compatibility);
  for (std::size_t i = 0; i < policy.any_of.size(); ++i) {
    examination.block(policy.any_of[i], path_of("", Quantifier::kAnyOf, i));
  }
  return std::move(examination).take();
}

}  // namespace keybroker::policy
