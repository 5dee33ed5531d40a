// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "keybroker/policy/claim_set.h"
#include "keybroker/policy/release_policy.h"

namespace keybroker::policy {

// How much of a value a trace shows; what is longer is cut, and its length said.
inline constexpr std::size_t kMaxShownBytes = 160;

// TraceNode is what became of one condition. Nothing is left out because something else had
// decided already.
struct TraceNode {
  std::string path;                   // "anyOf[0].allOf[2]"
  std::string op;                     // "equals", "minTcb", ...; "allOf" or "anyOf" of a group
  std::string claim{};                // empty of a group
  std::string expected{};             // as JSON; empty of a group
  std::optional<std::string> seen{};  // as JSON; absent: the claim is missing, or this is a group
  bool holds = false;
  bool by_root_class = false;  // it holds by way of a test that names the root class
  std::string note{};          // why it does not hold, where seen and expected do not say so
  std::vector<TraceNode> members{};
};

// BlockTrace is what became of the block of one authority.
struct BlockTrace {
  std::string authority;
  bool authority_accepted = false;
  // False for a root class other than production that nothing which holds has named.
  bool root_class_accepted = false;
  TraceNode conditions;

  [[nodiscard]] bool holds() const {
    return authority_accepted && root_class_accepted && conditions.holds;
  }
};

// Decision is what a policy says of a claim set, and why.
struct Decision {
  bool allowed = false;
  protocol::Sha256Digest policy_digest{};
  std::string root_class;  // as the claims say it; empty: they do not
  std::vector<BlockTrace> blocks;

  // decided_by() is the path of the clause that decided: of a denial the first that would have to
  // change, of a release the block, or the alternative of it, that holds. why() is a sentence about
  // it.
  [[nodiscard]] std::string decided_by() const;
  [[nodiscard]] std::string why() const;
};

// evaluate() applies a policy to claims that come from an issuer of one of these names: a block
// holds only if its authority is, byte for byte, one of them. It reads no clock and no file; any
// thread may call it.
//
// Whatever is not known to hold does not: a missing claim or null, a claim of another type than the
// policy's value, an object, a list or a fraction makes every test false, notEquals too; only
// `exists` asks for absence. A root class other than "production" makes a block false unless the
// block holds by way of a test `strongroom-root-class equals ...`: such a test holds and is one of
// the members of an allOf, or the member of an anyOf, by which the block holds.
Decision evaluate(const ReleasePolicy& policy, const ClaimSet& claims,
                  const std::set<std::string>& authorities);

// OwnedPolicy is the policy of one of several owners of a key.
struct OwnedPolicy {
  std::string owner;
  ReleasePolicy policy;
};

struct OwnerDecision {
  std::string owner;
  Decision decision;
};

// JointDecision is what several owners say. Each may see its own decision; why() names the owners
// that deny and none of their clauses.
struct JointDecision {
  bool allowed = false;
  std::vector<OwnerDecision> owners;

  [[nodiscard]] std::string why() const;
};

// evaluate_all() asks every owner's policy; all must allow. Without an owner nothing is allowed.
JointDecision evaluate_all(std::span<const OwnedPolicy> policies, const ClaimSet& claims,
                           const std::set<std::string>& authorities);

// to_json() is a decision for logs, auditors and owners: allowed, why, decided_by, policy_digest,
// root_class and the whole trace.
boost::json::object to_json(const Decision& decision);

}  // namespace keybroker::policy
