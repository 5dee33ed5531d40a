// SPDX-License-Identifier: Apache-2.0
#include "keybroker/policy/decision.h"

#include <algorithm>
#include <boost/json/array.hpp>

#include "vmgs/base/bytes.h"

namespace keybroker::policy {

namespace {

namespace json = boost::json;

// The condition that a denial comes from, below one that does not hold.
const TraceNode& first_failure(const TraceNode& node) {
  const auto* at = &node;
  for (;;) {
    const auto failed =
        std::ranges::find_if(at->members, [](const TraceNode& each) { return !each.holds; });
    if (failed == at->members.end()) {
      return *at;
    }
    at = &*failed;
  }
}

// Whether an anyOf with alternatives stands on the way from `node` to the condition at `path`.
bool has_alternatives(const TraceNode& node, const std::string& path) {
  if (node.path == path) {
    return false;
  }
  if (node.op == "anyOf" && node.members.size() > 1) {
    return true;
  }
  const auto next =
      std::ranges::find_if(node.members, [](const TraceNode& each) { return !each.holds; });
  return next != node.members.end() && has_alternatives(*next, path);
}

// The block that says most about a denial: the first of our authority.
const BlockTrace& telling_block(const std::vector<BlockTrace>& blocks) {
  const auto ours = std::ranges::find_if(blocks, &BlockTrace::authority_accepted);
  return ours != blocks.end() ? *ours : blocks.front();
}

std::string sentence(const TraceNode& clause) {
  auto text = clause.path + " wants " + clause.claim + " " + clause.op + " " + clause.expected;
  if (clause.op.empty() || clause.claim.empty()) {
    return clause.path + " has no condition";
  }
  if (!clause.note.empty()) {
    text += ", and " + clause.note;
  } else {
    text += ", and it is " + clause.seen.value_or("missing");
  }
  return text;
}

std::string why_denied(const Decision& decision) {
  if (decision.blocks.empty()) {
    return "denied: the policy has no authority";
  }
  const auto& block = telling_block(decision.blocks);
  const auto& root = block.conditions;
  if (!block.authority_accepted) {
    return "denied: " + root.path + " is for the authority '" +
           block.authority.substr(0, kMaxShownBytes) +
           "', which is not this broker, nor is that of any other block";
  }
  if (root.holds) {
    return "denied: " + root.path + " holds, but the root class is " +
           (decision.root_class.empty() ? "not known" : "'" + decision.root_class + "'") +
           " and no condition it holds by names it";
  }
  const auto& clause = first_failure(root);
  auto text = "denied: " + sentence(clause);
  if (decision.blocks.size() > 1 || has_alternatives(root, clause.path)) {
    text += "; no alternative holds either";
  }
  return text;
}

// The first way by which the conditions of a block hold: themselves, or the member of an anyOf.
// Where the root class had to be named, it is the first way that names it.
const TraceNode& first_success(const TraceNode& node) {
  if (node.op != "anyOf") {
    return node;
  }
  const auto held = std::ranges::find_if(node.members, [&](const TraceNode& each) {
    return each.holds && each.by_root_class == node.by_root_class;
  });
  return held == node.members.end() ? node : *held;
}

json::object node_json(const TraceNode& node) {
  json::object object{{"path", node.path}, {"operator", node.op}, {"holds", node.holds}};
  if (!node.claim.empty()) {
    object["claim"] = node.claim;
    object["expected"] = node.expected;
    object["seen"] = node.seen ? json::value(*node.seen) : json::value(nullptr);
  }
  if (!node.note.empty()) {
    object["note"] = node.note;
  }
  if (!node.members.empty()) {
    auto& members = object["members"].emplace_array();
    for (const auto& member : node.members) {
      members.push_back(node_json(member));
    }
  }
  return object;
}

const BlockTrace* holding_block(const std::vector<BlockTrace>& blocks) {
  const auto found = std::ranges::find_if(blocks, &BlockTrace::holds);
  return found == blocks.end() ? nullptr : &*found;
}

}  // namespace

std::string Decision::decided_by() const {
  if (blocks.empty()) {
    return "";
  }
  if (const auto* block = holding_block(blocks)) {
    return first_success(block->conditions).path;
  }
  const auto& block = telling_block(blocks);
  const bool by_clause = block.authority_accepted && !block.conditions.holds;
  return by_clause ? first_failure(block.conditions).path : block.conditions.path;
}

std::string Decision::why() const {
  const auto* block = holding_block(blocks);
  if (block == nullptr) {
    return why_denied(*this);
  }
  const auto& way = first_success(block->conditions);
  const auto authority = " for the authority '" + block->authority.substr(0, kMaxShownBytes) + "'";
  return way.op == "allOf" ? "allowed: each condition of " + way.path + " holds" + authority
                           : "allowed: " + way.path + " holds" + authority;
}

std::string JointDecision::why() const {
  if (owners.empty()) {
    return "denied: no owner has a policy for it";
  }
  std::string denying;
  for (const auto& each : owners) {
    if (!each.decision.allowed) {
      denying += (denying.empty() ? "" : ", ") + each.owner;
    }
  }
  return denying.empty() ? "allowed: each of " + std::to_string(owners.size()) + " owners allows it"
                         : "denied by " + denying;
}

json::object to_json(const Decision& decision) {
  json::array blocks;
  for (const auto& block : decision.blocks) {
    blocks.push_back({{"authority", block.authority},
                      {"authority_accepted", block.authority_accepted},
                      {"root_class_accepted", block.root_class_accepted},
                      {"holds", block.holds()},
                      {"conditions", node_json(block.conditions)}});
  }
  return {{"allowed", decision.allowed},
          {"why", decision.why()},
          {"decided_by", decision.decided_by()},
          {"policy_digest", base::to_hex(decision.policy_digest)},
          {"root_class", decision.root_class},
          {"blocks", std::move(blocks)}};
}

}  // namespace keybroker::policy
