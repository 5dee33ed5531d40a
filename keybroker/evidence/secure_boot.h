// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "keybroker/evidence/checklist.h"
#include "keybroker/evidence/event_log.h"
#include "keybroker/evidence/expectation.h"
#include "keybroker/evidence/replay.h"
#include "keybroker/evidence/signature_database.h"

namespace keybroker::evidence {

// One of the signature variables, and the event that measured it.
struct MeasuredDatabase {
  std::size_t event = 0;
  std::vector<EfiSignature> entries{};
};

// Who vouched for something that was started.
struct MeasuredAuthority {
  std::size_t event = 0;
  std::string variable;  // "db", "Shim", "MokList", ...
  base::Bytes digest;    // SHA-256 of the certificate or content; an entry of db that is a hash
  bool is_certificate = false;
  bool in_database = true;  // false: it should be in db and is not
};

// SecureBootState is what PCR 7, or RTMR0, was extended by. It is worth something only if the log
// replays to the quoted value of that register.
struct SecureBootState {
  std::optional<bool> enabled{};  // absent: the log does not say, or says something else
  std::size_t enabled_event = 0;
  std::optional<MeasuredDatabase> pk{};
  std::optional<MeasuredDatabase> kek{};
  std::optional<MeasuredDatabase> db{};
  std::optional<MeasuredDatabase> dbx{};
  std::vector<MeasuredAuthority> authorities{};
  bool debug_mode = false;
  bool dma_protection_disabled = false;

  // What is wrong with the events themselves, each absent if nothing is.
  std::optional<Finding> unexpected_event{};
  std::optional<Finding> separator{};
  std::optional<Finding> repeated_variable{};
  std::optional<Finding> data{};
};

// read_secure_boot() reads the events of PCR 7, or of RTMR0, which shares its register with PCR 1.
SecureBootState read_secure_boot(const EventLog& log, crypto::Hash bank, Registers registers);

// BootPolicy is what an owner wants of a boot.
struct BootPolicy {
  bool require_secure_boot = false;
  // What PK, KEK and db may have, and what may vouch for what starts: SHA-256 of certificates, and
  // the hashes that stand in db in place of one.
  Expectation keys{};
  Expectation authorities{};
  std::vector<base::Bytes> forbidden{};  // SHA-256 digests that dbx must have
};

// judge_boot() makes the checks `boot....`. Without a state (no log, or one that does not replay)
// they cannot be made; without a wish of the policy they are not asked.
void judge_boot(const std::optional<SecureBootState>& state,
                const std::optional<BootPolicy>& policy, Checklist& list);

}  // namespace keybroker::evidence
