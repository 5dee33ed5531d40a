// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "keybroker/policy/claim_names.h"
#include "keybroker/policy/decision.h"

namespace keybroker::policy {

namespace {

namespace json = boost::json;

constexpr std::string_view kProduction = "production";

// The front of a text, whole characters of UTF-8 only.
std::string_view front_of(std::string_view text, std::size_t most) {
  if (text.size() <= most) {
    return text;
  }
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0U) == 0x80U) {
    --most;
  }
  return text.substr(0, most);
}

std::string cut(std::string text) {
  if (text.size() <= kMaxShownBytes) {
    return text;
  }
  const auto size = text.size();
  text.resize(front_of(text, kMaxShownBytes).size());
  return text + "... (" + std::to_string(size) + " bytes)";
}

// A claim may be as long as its sender likes, so it is cut before it is written out.
std::string shown(const json::value& value) {
  if (value.is_object()) {
    return "an object with " + std::to_string(value.get_object().size()) + " members";
  }
  if (value.is_array()) {
    return "a list with " + std::to_string(value.get_array().size()) + " entries";
  }
  if (!value.is_string() || value.get_string().size() <= kMaxShownBytes) {
    return cut(json::serialize(value));
  }
  const auto& text = value.get_string();
  return json::serialize(json::value(front_of(text, kMaxShownBytes))) + "... (" +
         std::to_string(text.size()) + " bytes)";
}

std::string shown(const ClaimTest& test) {
  if (test.op != Operator::kIn) {
    return shown(json_of(test.values.front()));
  }
  std::string list;
  for (const auto& value : test.values) {
    list += (list.empty() ? "" : ",") + json::serialize(json_of(value));
    if (list.size() > kMaxShownBytes) {
      break;
    }
  }
  return list.size() <= kMaxShownBytes
             ? "[" + list + "]"
             : "[" + std::string(front_of(list, kMaxShownBytes)) + "... (" +
                   std::to_string(test.values.size()) + " values)";
}

enum class Order : std::uint8_t { kLess, kEqual, kGreater };

// What became of comparing a claim with one value; nothing if they are of different types.
std::optional<Order> compare(const Scalar& claim, const Scalar& value,
                             Compatibility compatibility) {
  if (claim.index() != value.index()) {
    const bool one_is_bool =
        std::holds_alternative<bool>(claim) || std::holds_alternative<bool>(value);
    const auto a = bool_of(claim);
    const auto b = bool_of(value);
    if (compatibility != Compatibility::kAkv || !one_is_bool || !a || !b) {
      return std::nullopt;
    }
    return *a == *b ? Order::kEqual : Order::kLess;
  }
  if (claim == value) {
    return Order::kEqual;
  }
  const auto* number = std::get_if<Number>(&claim);
  const bool greater = number != nullptr && std::get<Number>(value) < *number;
  return greater ? Order::kGreater : Order::kLess;
}

bool satisfies(Operator op, Order order) {
  switch (op) {
    case Operator::kEquals:
    case Operator::kIn:
      return order == Order::kEqual;
    case Operator::kNotEquals:
      return order != Order::kEqual;
    case Operator::kLess:
      return order == Order::kLess;
    case Operator::kLessOrEquals:
      return order != Order::kGreater;
    case Operator::kGreater:
      return order == Order::kGreater;
    case Operator::kGreaterOrEquals:
      return order != Order::kLess;
    case Operator::kExists:
    case Operator::kMatches:
      break;
  }
  return false;
}

// Evaluation makes the trace of one policy.
class Evaluation {
 public:
  Evaluation(const ClaimSet& claims, Compatibility compatibility)
      : claims_(claims), compatibility_(compatibility) {}

  [[nodiscard]] TraceNode group(const Group& group, std::string path) const {
    const bool all = group.quantifier == Quantifier::kAllOf;
    TraceNode trace{.path = std::move(path), .op = std::string(name(group.quantifier))};
    std::size_t held = 0;
    for (std::size_t i = 0; i < group.members.size(); ++i) {
      auto member = condition(group.members[i], path_of(trace.path, group.quantifier, i));
      held += member.holds ? 1 : 0;
      trace.by_root_class |= member.by_root_class;
      trace.members.push_back(std::move(member));
    }
    trace.holds = held > 0 && (!all || held == group.members.size());
    trace.by_root_class &= trace.holds;
    return trace;
  }

 private:
  [[nodiscard]] TraceNode condition(const Condition& condition, std::string path) const {
    if (const auto* inner = std::get_if<Group>(&condition.what)) {
      return group(*inner, std::move(path));
    }
    if (const auto* floor = std::get_if<TcbFloor>(&condition.what)) {
      return floor_trace(*floor, std::move(path));
    }
    const auto& test = std::get<ClaimTest>(condition.what);
    auto trace = test_trace(test, std::move(path));
    trace.by_root_class =
        trace.holds && test.claim == kRootClassClaim && test.op == Operator::kEquals;
    return trace;
  }

  [[nodiscard]] TraceNode floor_trace(const TcbFloor& floor, std::string path) const {
    auto verdict = judge_floor(floor, claims_);
    TraceNode trace{.path = std::move(path),
                    .op = "minTcb",
                    .claim = std::move(verdict.claim),
                    .expected = cut(std::move(verdict.expected))};
    if (verdict.seen) {
      trace.seen = cut(*std::move(verdict.seen));
    }
    trace.holds = verdict.reached;
    trace.note = cut(std::move(verdict.note));
    return trace;
  }

  [[nodiscard]] TraceNode test_trace(const ClaimTest& test, std::string path) const {
    TraceNode trace{.path = std::move(path),
                    .op = std::string(name(test.op)),
                    .claim = test.claim,
                    .expected = shown(test)};
    const auto* value = claims_.find(test.claim);
    if (value == nullptr || value->is_null()) {
      trace.holds = test.op == Operator::kExists && !std::get<bool>(test.values.front());
      trace.note = trace.holds ? "" : "the claim is missing";
      return trace;
    }
    trace.seen = shown(*value);
    if (test.op == Operator::kExists) {
      trace.holds = std::get<bool>(test.values.front());
      return trace;
    }
    const auto claim = scalar_of(*value);
    if (!claim) {
      trace.note = "the claim is no string, whole number, true or false";
      return trace;
    }
    judge(test, *claim, trace);
    return trace;
  }

  void judge(const ClaimTest& test, const Scalar& claim, TraceNode& trace) const {
    if (test.op == Operator::kMatches) {
      judge_match(std::get<std::string>(test.values.front()), claim, trace);
      return;
    }
    bool comparable = false;
    for (const auto& value : test.values) {
      const auto order = compare(claim, value, compatibility_);
      comparable |= order.has_value();
      trace.holds |= order && satisfies(test.op, *order);
    }
    if (!comparable) {
      trace.note = "the claim is " + std::string(type_name(claim)) + ", the policy has " +
                   std::string(type_name(test.values.front()));
    }
  }

  static void judge_match(const std::string& pattern, const Scalar& claim, TraceNode& trace) {
    const auto* text = std::get_if<std::string>(&claim);
    if (text == nullptr) {
      trace.note = "the claim is " + std::string(type_name(claim)) + ", and only strings match";
    } else if (text->size() > kMaxMatchedBytes) {
      trace.note = "the claim is longer than " + std::to_string(kMaxMatchedBytes) + " bytes";
    } else {
      trace.holds = glob_matches(pattern, *text);
    }
  }

  const ClaimSet& claims_;
  Compatibility compatibility_;
};

}  // namespace

Decision evaluate(const ReleasePolicy& policy, const ClaimSet& claims,
                  const std::set<std::string>& authorities) {
  Decision decision;
  decision.policy_digest = policy_digest(policy);
  const auto* root_class = claims.find(kRootClassClaim);
  const bool known = root_class != nullptr && root_class->is_string();
  if (known) {
    decision.root_class = cut(std::string(root_class->get_string()));
  }
  const Evaluation evaluation(claims, policy.compatibility);
  for (std::size_t i = 0; i < policy.any_of.size(); ++i) {
    const auto& block = policy.any_of[i];
    auto trace = evaluation.group(block.conditions, path_of("", Quantifier::kAnyOf, i));
    decision.blocks.push_back({.authority = block.authority,
                               .authority_accepted = authorities.contains(block.authority),
                               .root_class_accepted = decision.root_class == kProduction ||
                                                      (known && trace.by_root_class),
                               .conditions = std::move(trace)});
    decision.allowed |= decision.blocks.back().holds();
  }
  return decision;
}

JointDecision evaluate_all(std::span<const OwnedPolicy> policies, const ClaimSet& claims,
                           const std::set<std::string>& authorities) {
  JointDecision joint;
  joint.allowed = !policies.empty();
  for (const auto& each : policies) {
    joint.owners.push_back({each.owner, evaluate(each.policy, claims, authorities)});
    joint.allowed &= joint.owners.back().decision.allowed;
  }
  return joint;
}

}  // namespace keybroker::policy
