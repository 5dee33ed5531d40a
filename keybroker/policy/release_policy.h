// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "keybroker/policy/scalar.h"
#include "keybroker/policy/tcb_floor.h"
#include "keybroker/protocol/launch_document.h"
#include "vmgs/base/result.h"

namespace keybroker::policy {

enum class Operator : std::uint8_t {
  kEquals,
  kNotEquals,
  kLess,
  kLessOrEquals,
  kGreater,
  kGreaterOrEquals,
  kExists,
  kIn,
  kMatches,
};

// name() is the word of the grammar, as in "lessOrEquals".
std::string_view name(Operator op);

// ClaimTest compares one claim. kIn has a list of values that is not empty, all others one: a
// number for the four that order, a bool for kExists, a string for kMatches.
struct ClaimTest {
  std::string claim;  // a path with dots
  Operator op = Operator::kEquals;
  std::vector<Scalar> values;

  friend bool operator==(const ClaimTest&, const ClaimTest&) = default;
};

enum class Quantifier : std::uint8_t { kAllOf, kAnyOf };

// name() is "allOf" or "anyOf".
std::string_view name(Quantifier quantifier);

struct Condition;

// Group holds if all or any of its conditions hold; one without conditions never does.
struct Group {
  Quantifier quantifier = Quantifier::kAllOf;
  std::vector<Condition> members;

  friend bool operator==(const Group&, const Group&) = default;
};

struct Condition {
  std::variant<ClaimTest, TcbFloor, Group> what;

  friend bool operator==(const Condition&, const Condition&) = default;
};

// AuthorityBlock is what must hold of claims that one authority vouches for.
struct AuthorityBlock {
  std::string authority;
  Group conditions;

  friend bool operator==(const AuthorityBlock&, const AuthorityBlock&) = default;
};

// How "true" and "false" as strings are taken. Policies written for Azure Key Vault mean booleans
// by them; in strict policies they are strings and equal no boolean.
enum class Compatibility : std::uint8_t { kStrict, kAkv };

// ReleasePolicy says when a key may be released: if the block of any authority holds. It is made by
// parse_release_policy(); RELEASE_POLICY.md is its reference.
struct ReleasePolicy {
  Compatibility compatibility = Compatibility::kStrict;
  std::vector<AuthorityBlock> any_of;

  friend bool operator==(const ReleasePolicy&, const ReleasePolicy&) = default;
};

inline constexpr std::string_view kReleasePolicyVersion = "1.0.0";
inline constexpr std::size_t kMaxReleasePolicyBytes = 64 * 1024;
inline constexpr std::size_t kMaxConditions = 1000;  // blocks, groups and tests together
inline constexpr std::size_t kMaxClaimPathBytes = 256;

// parse_release_policy() reads the JSON text of a policy. kInvalidArgument, with the path as in
// "anyOf[0].allOf[2]", for all that the grammar does not have: members that are missing, not known
// or there twice, values of another type, groups without conditions or with both quantifiers, more
// than 16 levels of JSON, more than the limits above. A policy that is misread protects nobody.
base::Result<ReleasePolicy> parse_release_policy(std::string_view text,
                                                 Compatibility compatibility);

// canonical_form() is the one text of a policy: compact JSON, members in the order of the grammar,
// conditions in that of the policy. parse_release_policy() reads it back as an equal policy.
std::string canonical_form(const ReleasePolicy& policy);

// policy_digest() is SHA-256 of "strongroom.release-policy/1", 0x00, "strict" or "akv", 0x00 and
// the canonical form: what decides, and nothing else, changes it.
protocol::Sha256Digest policy_digest(const ReleasePolicy& policy);

// to_json() is the condition as canonical_form() has it.
boost::json::object to_json(const Condition& condition);

// path_of() is the path of member `index` of a group that stands at `path`.
std::string path_of(const std::string& path, Quantifier quantifier, std::size_t index);

}  // namespace keybroker::policy
