// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>

#include "keybroker/evidence/policy_json.h"
#include "tools/attest/commands.h"
#include "tools/attest/evidence_file.h"
#include "tools/attest/verdict_text.h"
#include "tools/collateral/folder.h"
#include "tools/collateral/read.h"
#include "tools/collateral/simulators.h"

namespace tools::attest {

namespace {

using namespace keybroker::evidence;
namespace crypto = keybroker::crypto;

constexpr std::size_t kMaxCertificates = 16;
constexpr std::size_t kMaxCrlBytes = 16 * 1024 * 1024;

struct Arguments {
  std::vector<std::string> evidence;
  std::string policy;
  std::string at;
  std::string nonce;
  std::string collateral = collateral::default_collateral_folder().string();
  std::vector<std::string> simulators;
  std::vector<std::string> ak_roots;
  std::vector<std::string> ak_crls;
  bool identifiers = false;
};

base::Result<crypto::Time> time_of(const Arguments& arguments) {
  if (arguments.at.empty()) {
    return std::chrono::time_point_cast<crypto::Time::duration>(std::chrono::system_clock::now());
  }
  auto time = crypto::parse_time(arguments.at);
  if (!time) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "--at " + arguments.at + ": write it as 2026-11-21T00:00:00Z");
  }
  return time;
}

base::Result<Policy> policy_of(const Arguments& arguments) {
  TRY_ASSIGN(text, collateral::read_text(arguments.policy, kMaxPolicyBytes));
  TRY_ASSIGN(policy, decode_policy(text));
  if (!arguments.nonce.empty()) {
    const auto nonce = base::from_hex(arguments.nonce);
    if (!nonce || nonce->empty()) {
      return base::fail(base::ErrorCode::kInvalidArgument,
                        "--nonce is bytes in hexadecimal digits");
    }
    policy.nonce = Expectation::one_of({*nonce});
  }
  return policy;
}

// store_of() is production's, unless the one who runs this names simulators.
base::Result<TrustStore> store_of(const Arguments& arguments) {
  if (arguments.simulators.empty()) {
    return TrustStore::production();
  }
  return collateral::read_simulators(arguments.simulators);
}

base::Result<Collateral> collateral_of(const Arguments& arguments) {
  TRY_ASSIGN(collateral, collateral::read_collateral(arguments.collateral));
  for (const auto& file : arguments.ak_roots) {
    TRY_ASSIGN(roots, collateral::read_certificates(file, kMaxCertificates));
    collateral.ak.roots.insert(collateral.ak.roots.end(), roots.begin(), roots.end());
  }
  for (const auto& file : arguments.ak_crls) {
    TRY_ASSIGN(bytes, collateral::read_bytes(file, kMaxCrlBytes));
    TRY_ASSIGN(crl, crypto::Crl::decode(bytes));
    collateral.ak.crls.push_back(std::move(crl));
  }
  return collateral;
}

cli::ExitStatus status_of(const Verdict& verdict, RootClass root_class) {
  if (verdict.accepted) {
    // Evidence of a simulator is a finding, however right all of it is.
    return root_class == RootClass::kSimulated ? cli::ExitStatus::kFoundProblem
                                               : cli::ExitStatus::kDone;
  }
  if (!verdict.reason) {
    return cli::ExitStatus::kRefused;
  }
  switch (card(*verdict.reason).stage) {
    case Stage::kPolicy:
      return cli::ExitStatus::kRefused;
    case Stage::kStale:
      return cli::ExitStatus::kStale;
    default:
      return cli::ExitStatus::kIntegrity;
  }
}

base::Result<void> answer(const Verdict& verdict, RootClass root_class, const Arguments& arguments,
                          cli::Output& output) {
  const auto identifiers = arguments.identifiers ? Identifiers::kInclude : Identifiers::kLeaveOut;
  if (!output.json()) {
    return output.text(text_of(verdict, root_class, identifiers));
  }
  auto fields = to_json(verdict, identifiers);
  fields["simulated"] = root_class == RootClass::kSimulated;
  return output.document("strongroom.attest.verdict/1", std::move(fields));
}

base::Result<cli::ExitStatus> verify_evidence(const Arguments& arguments, cli::Output& output) {
  TRY_ASSIGN(now, time_of(arguments));
  TRY_ASSIGN(policy, policy_of(arguments));
  TRY_ASSIGN(store, store_of(arguments));
  TRY_ASSIGN(collateral, collateral_of(arguments));
  TRY_ASSIGN(evidence, read_evidence(arguments.evidence));
  TRY(collateral::add_kept_vcek(arguments.collateral, evidence));
  const auto verdict = verify(evidence, policy, collateral, store, now);
  TRY(answer(verdict, store.root_class(), arguments, output));
  return status_of(verdict, store.root_class());
}

}  // namespace

cli::Command verify_command() {
  return {.name = "verify",
          .summary = "Judge evidence by a policy, offline: each check, the verdict and the claims",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<Arguments>();
            app.add_option("BUNDLE", arguments->evidence,
                           "The evidence: one bundle, or its parts in files of their own; - for "
                           "stdin")
                ->required();
            app.add_option("--policy", arguments->policy, "What is accepted (strongroom.policy/1)")
                ->required()
                ->type_name("FILE");
            app.add_option("--at", arguments->at, "Judge as of this time; now without it")
                ->type_name("TIME");
            app.add_option("--nonce", arguments->nonce,
                           "The nonce that the evidence was asked for; instead of the policy's")
                ->type_name("HEX");
            app.add_option("--collateral", arguments->collateral,
                           "Where certificates, revocation lists and TCB info lie")
                ->type_name("FOLDER")
                ->capture_default_str();
            app.add_option("--ak-root", arguments->ak_roots,
                           "Authorities whose AK certificates count, in PEM")
                ->type_name("FILE");
            app.add_option("--ak-crl", arguments->ak_crls, "Their revocation lists, in DER")
                ->type_name("FILE");
            app.add_option("--trust-simulator", arguments->simulators,
                           "Roots of simulated hardware; nothing else is trusted then, and what is "
                           "accepted exits 3")
                ->type_name("ROOT.pem");
            app.add_flag("--identifiers", arguments->identifiers,
                         "Show what identifies the machine as well (PPID)");
            app.footer(
                "Exits 0 if accepted; 5 if authentic and not acceptable; 6 if damaged, forged or "
                "contradictory; 7 if stale; 3 if only a simulator vouches for it.");
            return [arguments](cli::Output& output) { return verify_evidence(*arguments, output); };
          }};
}

}  // namespace tools::attest
