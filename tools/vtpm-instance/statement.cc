// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/statement.h"

#include <span>

#include "tools/vtpm-instance/tee_choice.h"

namespace tools::vtpm_instance {

using keybroker::protocol::Protection;
using keybroker::protocol::TeeFamily;

namespace {

// What counts of the 32 bytes: a TCB version of SNP has eight.
constexpr std::size_t kSnpSvnBytes = 8;

}  // namespace

base::Result<vtpm::provision::Statement> statement_of(const InstanceSetup& setup,
                                                      const LaunchChoice& choice,
                                                      const TpmState::Identity& identity,
                                                      const vtpm::boot::BrokerBoot* broker) {
  vtpm::provision::Statement statement;
  statement.vm_id = identity.vm_id.bytes;
  statement.boot_id = identity.boot_id;
  statement.origin = identity.imported ? keybroker::protocol::SeedOrigin::kImported
                                       : keybroker::protocol::SeedOrigin::kOwn;
  statement.launch = choice.launch_digest_bytes();
  statement.secure_boot = choice.secure_boot;
  statement.home = setup.home == Home::kHost ? keybroker::protocol::Home::kHost
                                             : keybroker::protocol::Home::kParavisor;
  statement.lifetime = choice.lifetime;
  statement.state_protection.mode = choice.protection;
  if (broker != nullptr) {
    tell_freshness(statement, *broker);
  }
  if (choice.tee) {
    TRY_ASSIGN(own, choice.tee->own_report());
    const bool snp = own.family == TeeFamily::kSevSnp;
    if (choice.protection == Protection::kHardware) {
      const auto svn = std::span(own.committed_svn);
      statement.state_protection.tcb = base::to_hex(snp ? svn.first(kSnpSvnBytes) : svn);
    }
    statement.tee_simulated = kSimulatedTee;
  }
  return statement;
}

void tell_freshness(vtpm::provision::Statement& statement, const vtpm::boot::BrokerBoot& broker) {
  statement.state_protection.kek = broker.kek();
  statement.freshness = broker.freshness();
}

}  // namespace tools::vtpm_instance
