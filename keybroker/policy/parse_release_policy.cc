// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <optional>

#include "keybroker/policy/release_policy.h"
#include "keybroker/protocol/strict_json.h"

namespace keybroker::policy {

namespace {

namespace json = boost::json;

constexpr std::array kOperators{
    Operator::kEquals,       Operator::kNotEquals, Operator::kLess,
    Operator::kLessOrEquals, Operator::kGreater,   Operator::kGreaterOrEquals,
    Operator::kExists,       Operator::kIn,        Operator::kMatches};

auto wrong(const std::string& path, const std::string& why) {
  return base::fail(base::ErrorCode::kInvalidArgument,
                    "release policy: " + (path.empty() ? "the document" : path) + " " + why);
}

// What an object may have, and the end of the sentence that says so.
base::Result<void> expect_only(const json::object& object,
                               std::initializer_list<std::string_view> names,
                               const std::string& path) {
  for (const auto& member : object) {
    if (std::find(names.begin(), names.end(), member.key()) == names.end()) {
      return wrong(path,
                   "has the member '" + std::string(member.key()) + "', which is not known there");
    }
  }
  return {};
}

base::Result<std::string> text_at(const json::object& object, std::string_view name,
                                  const std::string& path) {
  const auto* value = object.if_contains(name);
  if (value == nullptr || !value->is_string() || value->get_string().empty()) {
    return wrong(path, "needs the member '" + std::string(name) + "', a string with text");
  }
  return std::string(value->get_string());
}

// Parser reads one document from the outside in, and counts what it reads.
class Parser {
 public:
  explicit Parser(Compatibility compatibility) : compatibility_(compatibility) {}

  base::Result<std::vector<AuthorityBlock>> blocks(const json::object& document) {
    TRY(expect_only(document, {"version", "anyOf"}, ""));
    TRY_ASSIGN(version, text_at(document, "version", ""));
    if (version != kReleasePolicyVersion) {
      return wrong("", "is of version '" + version.substr(0, 40) + "', only " +
                           std::string(kReleasePolicyVersion) + " is known");
    }
    const auto* list = document.if_contains("anyOf");
    if (list == nullptr || !list->is_array() || list->get_array().empty()) {
      return wrong("", "needs 'anyOf', a list of at least one authority");
    }
    std::vector<AuthorityBlock> blocks;
    for (std::size_t i = 0; i < list->get_array().size(); ++i) {
      TRY_ASSIGN(each, block(list->get_array()[i], path_of("", Quantifier::kAnyOf, i)));
      blocks.push_back(std::move(each));
    }
    return blocks;
  }

 private:
  base::Result<void> count(const std::string& path) {
    if (++count_ > kMaxConditions) {
      return wrong(path, "is one condition too many, at most " + std::to_string(kMaxConditions) +
                             " are allowed");
    }
    return {};
  }

  base::Result<AuthorityBlock> block(const json::value& value, const std::string& path) {
    TRY(count(path));
    if (!value.is_object()) {
      return wrong(path, "is no object");
    }
    const auto& object = value.get_object();
    TRY(expect_only(object, {"authority", "allOf", "anyOf"}, path));
    TRY_ASSIGN(authority, text_at(object, "authority", path));
    TRY_ASSIGN(conditions, group(object, path));
    return AuthorityBlock{std::move(authority), std::move(conditions)};
  }

  base::Result<Group> group(const json::object& object, const std::string& path) {
    const auto* all = object.if_contains("allOf");
    const auto* any = object.if_contains("anyOf");
    if ((all == nullptr) == (any == nullptr)) {
      return wrong(path, all == nullptr ? "needs 'allOf' or 'anyOf'"
                                        : "has both 'allOf' and 'anyOf', and may have one");
    }
    Group group{all != nullptr ? Quantifier::kAllOf : Quantifier::kAnyOf, {}};
    const auto& list = all != nullptr ? *all : *any;
    if (!list.is_array() || list.get_array().empty()) {
      return wrong(path + "." + std::string(name(group.quantifier)),
                   "is no list of at least one condition");
    }
    for (std::size_t i = 0; i < list.get_array().size(); ++i) {
      TRY_ASSIGN(each, condition(list.get_array()[i], path_of(path, group.quantifier, i)));
      group.members.push_back(std::move(each));
    }
    return group;
  }

  base::Result<Condition> condition(const json::value& value, const std::string& path) {
    TRY(count(path));
    if (!value.is_object()) {
      return wrong(path, "is no object");
    }
    const auto& object = value.get_object();
    if (object.contains("claim")) {
      TRY_ASSIGN(test, claim_test(object, path));
      return Condition{std::move(test)};
    }
    if (const auto* floor = object.if_contains("minTcb")) {
      TRY(expect_only(object, {"minTcb"}, path));
      auto decoded = decode_tcb_floor(*floor, path + ".minTcb");
      if (!decoded) {
        return base::fail(std::move(decoded).error().context("release policy"));
      }
      return Condition{*std::move(decoded)};
    }
    TRY(expect_only(object, {"allOf", "anyOf"}, path));
    if (object.empty()) {
      return wrong(path, "needs one of 'claim', 'minTcb', 'allOf' and 'anyOf'");
    }
    TRY_ASSIGN(inner, group(object, path));
    return Condition{std::move(inner)};
  }

  [[nodiscard]] base::Result<ClaimTest> claim_test(const json::object& object,
                                                   const std::string& path) const {
    ClaimTest test;
    TRY_ASSIGN(claim, text_at(object, "claim", path));
    if (claim.size() > kMaxClaimPathBytes || claim.front() == '.' || claim.back() == '.' ||
        claim.find("..") != std::string::npos) {
      return wrong(path, "has a claim with an empty part, or of more than " +
                             std::to_string(kMaxClaimPathBytes) + " bytes");
    }
    test.claim = std::move(claim);
    const json::value* operand = nullptr;
    for (const auto& member : object) {
      if (member.key() == "claim") {
        continue;
      }
      const auto* found = std::ranges::find(kOperators, std::string_view(member.key()),
                                            [](Operator op) { return name(op); });
      if (found == kOperators.end()) {
        return wrong(path,
                     "has the member '" + std::string(member.key()) + "', which is no operator");
      }
      if (operand != nullptr) {
        return wrong(path, "has two operators, and may have one; put two conditions into an allOf");
      }
      test.op = *found;
      operand = &member.value();
    }
    if (operand == nullptr) {
      return wrong(path, "has no operator beside its claim");
    }
    TRY_ASSIGN(values, operands(test.op, *operand, path + "." + std::string(name(test.op))));
    test.values = std::move(values);
    return test;
  }

  [[nodiscard]] base::Result<std::vector<Scalar>> operands(Operator op, const json::value& value,
                                                           const std::string& path) const {
    std::vector<Scalar> values;
    if (op != Operator::kIn) {
      TRY_ASSIGN(scalar, operand(op, value, path));
      values.push_back(std::move(scalar));
      return values;
    }
    if (!value.is_array() || value.get_array().empty()) {
      return wrong(path, "is no list of at least one value");
    }
    for (std::size_t i = 0; i < value.get_array().size(); ++i) {
      TRY_ASSIGN(scalar, operand(op, value.get_array()[i], path + "[" + std::to_string(i) + "]"));
      values.push_back(std::move(scalar));
    }
    return values;
  }

  [[nodiscard]] base::Result<Scalar> operand(Operator op, const json::value& value,
                                             const std::string& path) const {
    auto scalar = scalar_of(value);
    if (!scalar) {
      return wrong(path, "is no string, whole number, true or false");
    }
    switch (op) {
      case Operator::kLess:
      case Operator::kLessOrEquals:
      case Operator::kGreater:
      case Operator::kGreaterOrEquals:
        if (!std::holds_alternative<Number>(*scalar)) {
          return wrong(path, "is no number, and only numbers have an order here");
        }
        break;
      case Operator::kExists:
        if (compatibility_ == Compatibility::kAkv) {
          scalar = bool_of(*scalar);
        }
        if (!scalar || !std::holds_alternative<bool>(*scalar)) {
          return wrong(path, "is neither true nor false");
        }
        break;
      case Operator::kMatches:
        if (!std::holds_alternative<std::string>(*scalar) ||
            std::get<std::string>(*scalar).size() > kMaxPatternBytes) {
          return wrong(path, "is no pattern, a string of at most " +
                                 std::to_string(kMaxPatternBytes) + " bytes");
        }
        break;
      case Operator::kEquals:
      case Operator::kNotEquals:
      case Operator::kIn:
        break;
    }
    return *std::move(scalar);
  }

  Compatibility compatibility_;
  std::size_t count_ = 0;
};

}  // namespace

base::Result<ReleasePolicy> parse_release_policy(std::string_view text,
                                                 Compatibility compatibility) {
  const auto value = protocol::parse_json(text, kMaxReleasePolicyBytes);
  if (!value) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "release policy: " + value.error().message);
  }
  if (!value->is_object()) {
    return wrong("", "is no object");
  }
  ReleasePolicy policy{compatibility, {}};
  TRY_ASSIGN(blocks, Parser(compatibility).blocks(value->get_object()));
  policy.any_of = std::move(blocks);
  return policy;
}

}  // namespace keybroker::policy
