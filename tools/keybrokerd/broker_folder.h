// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <vector>

#include "keybroker/broker/broker_keys.h"
#include "keybroker/broker/token_keys.h"
#include "keybroker/hsm/software_keys.h"
#include "vmgs/base/result.h"

namespace tools::keybrokerd {

// What a broker keeps on disk beside its records, each file closed to others:
//   master.key        under which tenants' software keys are encrypted: one line a version
//   records.key       under which records that decide who gets a key are sealed: who can write the
//                     database can make none. The same at all replicas
//   cluster.secrets   from which challenges and boot keys are computed; the same at all replicas
//   root.pem          signs answer keys, and its hash stands in launch documents; may be taken away
//                     and kept apart as long as the answer key has a year to go
//   answer.pem        signs answers, refusals and receipts
//   tokens.pem        signs attestation tokens; the same at all replicas. One that is lost is made
//                     anew, with a warning: tokens live for minutes
struct BrokerFolder {
  std::vector<keybroker::hsm::MasterKey> master_keys;
  base::Secret<32> records_key;
  keybroker::broker::ClusterSecrets secrets;
  keybroker::broker::AnswerKey answer_key;
  keybroker::broker::TokenKeys token_keys;
};

// open_broker_folder() reads them. In an empty folder all are made; where only some are missing
// that is kCorrupt, with the file and what to do, for a new secret in the place of a lost one opens
// nothing: only an answer key is made anew, while the root is there. `is_new` says that the records
// are empty.
base::Result<BrokerFolder> open_broker_folder(const std::filesystem::path& folder, bool is_new,
                                              keybroker::crypto::Time now);

}  // namespace tools::keybrokerd
