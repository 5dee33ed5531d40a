// SPDX-License-Identifier: Apache-2.0
#include "keybroker/policy/release_policy.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "vmgs/crypto/digest.h"

namespace keybroker::policy {

namespace {

namespace json = boost::json;

json::array members_json(const Group& group) {
  json::array members;
  for (const auto& member : group.members) {
    members.push_back(to_json(member));
  }
  return members;
}

json::object test_json(const ClaimTest& test) {
  json::object object{{"claim", test.claim}};
  if (test.op != Operator::kIn) {
    object[name(test.op)] = json_of(test.values.front());
    return object;
  }
  auto& list = object[name(test.op)].emplace_array();
  for (const auto& value : test.values) {
    list.push_back(json_of(value));
  }
  return object;
}

}  // namespace

std::string_view name(Operator op) {
  switch (op) {
    case Operator::kEquals:
      return "equals";
    case Operator::kNotEquals:
      return "notEquals";
    case Operator::kLess:
      return "less";
    case Operator::kLessOrEquals:
      return "lessOrEquals";
    case Operator::kGreater:
      return "greater";
    case Operator::kGreaterOrEquals:
      return "greaterOrEquals";
    case Operator::kExists:
      return "exists";
    case Operator::kIn:
      return "in";
    case Operator::kMatches:
      break;
  }
  return "matches";
}

std::string_view name(Quantifier quantifier) {
  return quantifier == Quantifier::kAllOf ? "allOf" : "anyOf";
}

std::string path_of(const std::string& path, Quantifier quantifier, std::size_t index) {
  return path + (path.empty() ? "" : ".") + std::string(name(quantifier)) + "[" +
         std::to_string(index) + "]";
}

json::object to_json(const Condition& condition) {
  if (const auto* test = std::get_if<ClaimTest>(&condition.what)) {
    return test_json(*test);
  }
  if (const auto* floor = std::get_if<TcbFloor>(&condition.what)) {
    return {{"minTcb", to_json(*floor)}};
  }
  const auto& group = std::get<Group>(condition.what);
  return {{name(group.quantifier), members_json(group)}};
}

std::string canonical_form(const ReleasePolicy& policy) {
  json::array blocks;
  for (const auto& block : policy.any_of) {
    blocks.push_back({{"authority", block.authority},
                      {name(block.conditions.quantifier), members_json(block.conditions)}});
  }
  return json::serialize(
      json::object{{"version", kReleasePolicyVersion}, {"anyOf", std::move(blocks)}});
}

protocol::Sha256Digest policy_digest(const ReleasePolicy& policy) {
  const std::string zero(1, '\0');
  const std::string_view compatibility =
      policy.compatibility == Compatibility::kAkv ? "akv" : "strict";
  return vmgs::crypto::sha256({base::bytes_of("strongroom.release-policy/1"), base::bytes_of(zero),
                               base::bytes_of(compatibility), base::bytes_of(zero),
                               base::bytes_of(canonical_form(policy))});
}

}  // namespace keybroker::policy
